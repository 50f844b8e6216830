"""`numen keys`: make, list and revoke API keys."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import typer

from backend.cli.api_client import ApiClient
from backend.cli.client_settings import ClientSettings
from backend.cli.failures import CommandFailed
from backend.cli.tables import as_json, as_table

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_SPAN = re.compile(r"([1-9][0-9]{0,4})([hdw])")


@app.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="What the key is for, to recognise it by.")],
    role: Annotated[Literal["owner", "admin", "member", "viewer"], typer.Option(help="What it may do.")] = "member",
    scope: Annotated[list[str] | None, typer.Option(help="act_as: speak for people of a product.")] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="WHEN", help="90d, 12h, 2w, or a date such as 2027-06-30; never if left out.")
    ] = None,
    machine: Annotated[bool, typer.Option("--json", help="Everything about the key, as JSON.")] = False,
) -> None:
    """Make an API key and print it, this once. Only the key goes to standard output."""
    wanted: dict[str, Any] = {"name": name, "role": role, "scopes": list(scope or [])}
    if expires is not None:
        wanted["expires_at"] = when(expires, datetime.now(UTC)).isoformat()
    with ApiClient(ClientSettings.read()) as api:
        made = api.post("/api-keys", wanted)
    if machine:
        typer.echo(as_json(made))
        return
    typer.echo(f"{made['name']}, {made['role']}; it is not stored and not shown again:", err=True)
    typer.echo(made["key"])


@app.command("list")
def list_keys(
    machine: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """List the keys of your tenant, without their secrets."""
    with ApiClient(ClientSettings.read()) as api:
        found: list[dict[str, Any]] = api.get("/api-keys")
    if machine:
        typer.echo(as_json(found))
        return
    rows = [
        (
            one["name"],
            one["role"],
            ",".join(one["scopes"]),
            _state(one),
            _day(one["last_used_at"]),
            one["prefix"],
            one["id"],
        )
        for one in found
    ]
    typer.echo(as_table(("NAME", "ROLE", "SCOPES", "STATE", "LAST USED", "BEGINS WITH", "ID"), rows))


@app.command("revoke")
def revoke_key(
    key: Annotated[str, typer.Argument(metavar="ID_OR_NAME", help="The key's id, name or beginning.")],
) -> None:
    """Close the door for a key, at once and for good."""
    with ApiClient(ClientSettings.read()) as api:
        live = [one for one in api.get("/api-keys") if one["revoked_at"] is None]
        found = [one for one in live if key in (one["id"], one["name"], one["prefix"])]
        if not found:
            raise CommandFailed(f"There is no live key {key}; `numen keys list` shows them.")
        if len(found) > 1:
            ids = ", ".join(one["id"] for one in found)
            raise CommandFailed(f"{len(found)} keys are named {key}; say which by id: {ids}.")
        api.delete(f"/api-keys/{found[0]['id']}")
    typer.echo(f"{found[0]['name']} ({found[0]['prefix']}…): revoked")


def when(text: str, now: datetime) -> datetime:
    """`text` (a span from `now`, a date, or a date and time) as a moment with a time zone; UTC unless it says another.

    Errors: `CommandFailed`.
    """
    span = _SPAN.fullmatch(text.strip())
    if span is not None:
        return now + int(span[1]) * _UNITS[span[2]]
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise CommandFailed(f"--expires takes 90d, 12h, 2w or a date such as 2027-06-30, not {text!r}.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _state(key: dict[str, Any]) -> str:
    if key["revoked_at"] is not None:
        return "revoked"
    expires_at = key["expires_at"]
    if expires_at is None:
        return "live"
    over = datetime.fromisoformat(expires_at) <= datetime.now(UTC)
    return "expired" if over else f"until {_day(expires_at)}"


def _day(moment: str | None) -> str:
    return moment[:10] if moment else "never"
