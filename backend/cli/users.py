"""`numen users`: what an operator does about people."""

from __future__ import annotations

import time
from typing import Annotated, Any
from uuid import UUID

import typer

from backend.cli.api_client import ApiClient
from backend.cli.client_settings import ClientSettings
from backend.cli.failures import CommandFailed
from backend.cli.tables import as_json, as_table

app = typer.Typer(no_args_is_help=True, help="What is stored about people.")

_POLL_SECONDS = 0.2


@app.callback()
def users() -> None:
    """What is stored about people."""


@app.command("erase")
def erase(
    person: Annotated[
        str, typer.Argument(metavar="PERSON", help="Their id, or your product's own id of them (Numen-User).")
    ],
    sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Wait so many seconds for the certificate.")] = 60.0,
    machine: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Remove everything about a person, for good, and print the certificate."""
    settings = ClientSettings.read()
    user_id = _id_of(settings, person)
    if not sure:
        typer.confirm(f"Remove every conversation, memory and key of {person} ({user_id}) for good?", abort=True)
    with ApiClient(settings) as api:
        erasure = api.delete(f"/users/{user_id}/data")
        give_up = time.monotonic() + wait
        while erasure["status"] == "pending" and time.monotonic() < give_up:
            time.sleep(_POLL_SECONDS)
            erasure = api.get(f"/erasures/{erasure['id']}")
    typer.echo(as_json(erasure) if machine else _shown(erasure))
    if erasure["status"] == "pending":
        raise CommandFailed(
            f"The rows are gone; search index and files are not confirmed yet. `numen users erase {user_id}` tells."
        )


def _id_of(settings: ClientSettings, person: str) -> UUID:
    try:
        return UUID(person)
    except ValueError:
        with ApiClient(settings, person) as api:
            return UUID(api.get("/me")["user_id"])


def _shown(erasure: dict[str, Any]) -> str:
    certificate = erasure["certificate"]
    if certificate is None:
        return f"Erasure {erasure['id']}: {erasure['status']}"
    rows = [(one["store"], str(one["removed"]), str(one["found_after"])) for one in certificate["stores"]]
    lines = [f"Erasure {erasure['id']}: done at {certificate['completed_at']}", ""]
    lines += [as_table(("STORE", "REMOVED", "FOUND AFTER"), rows), "", "Not verified:"]
    return "\n".join([*lines, *(f"- {one}" for one in certificate["not_verified"])])
