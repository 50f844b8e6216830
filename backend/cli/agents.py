"""`numen agents`: list, read, apply and export agents."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from backend.cli.agent_lookup import find_agent
from backend.cli.api_client import ApiClient
from backend.cli.client_settings import ClientSettings
from backend.cli.failures import CommandFailed
from backend.cli.tables import as_json, as_table

app = typer.Typer(no_args_is_help=True, help="List, read, apply and export agents.")

NameOrId = Annotated[str, typer.Argument(metavar="NAME_OR_ID", help="The agent's name or id.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]


@app.command("list")
def list_agents(
    status: Annotated[
        Literal["active", "inactive", "archived"] | None,
        typer.Option(help="Archived ones are shown only if asked for."),
    ] = None,
    agent_type: Annotated[
        Literal["conversational", "voice", "workflow", "autonomous"] | None, typer.Option("--type")
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Only agents with this tag.")] = None,
    q: Annotated[str | None, typer.Option("--query", "-q", help="Words in the name or short description.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many, the newest first.")] = None,
    machine: AsJson = False,
) -> None:
    """List agents, newest first."""
    with ApiClient(ClientSettings.read()) as api:
        found = list(islice(api.pages("/agents", status=status, agent_type=agent_type, tag=tag, q=q), limit))
    if machine:
        typer.echo(as_json(found))
        return
    if not found:
        typer.echo("No agents.", err=True)
        return
    header = ("NAME", "TYPE", "VERSION", "STATUS", "MODEL", "TURNS", "ID")
    typer.echo(as_table(header, [_row(one) for one in found]))
    for one in found:
        for warning in one["warnings"]:
            typer.echo(f"{one['name']}: {warning}", err=True)


def _row(agent: dict[str, Any]) -> Sequence[str]:
    return (
        agent["name"],
        agent["type"],
        agent["version"],
        agent["status"],
        agent["configuration"]["llm_model"],
        str(agent["interaction_count"]),
        agent["id"],
    )


@app.command("get")
def get_agent(agent: NameOrId) -> None:
    """Print an agent as JSON."""
    with ApiClient(ClientSettings.read()) as api:
        typer.echo(as_json(find_agent(api, agent)))


@app.command("export")
def export_agent(
    agent: NameOrId,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file, not to the screen.")
    ] = None,
) -> None:
    """Export an agent with its history as one file that `apply` and the API's import take."""
    with ApiClient(ClientSettings.read()) as api:
        found = find_agent(api, agent)
        document = as_json(api.get(f"/agents/{found['id']}/export"))
    if output is None:
        typer.echo(document)
        return
    try:
        output.write_text(document + "\n", "utf-8")
    except OSError as error:
        raise CommandFailed(f"{output} cannot be written: {error.strerror}.") from error
    typer.echo(f"{found['name']} {found['version']} → {output}")


@app.command("apply")
def apply_agents(
    sources: Annotated[
        list[str],
        typer.Option(
            "--file",
            "-f",
            metavar="FILE_OR_FOLDER",
            help="A contract, a mirrored contract or an export; a folder of them; - is a pipe.",
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="The same, with exit status 2 if there is something to do.")
    ] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Archive agents that have no file in the folder.")] = False,
    prune_tag: Annotated[
        list[str] | None, typer.Option("--prune-tag", metavar="TAG", help="Archive only those with this tag.")
    ] = None,
    sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    from_tenant: Annotated[
        str | None, typer.Option(metavar="ID", help="Of mirrored files take those of this tenant.")
    ] = None,
) -> None:
    """Make agents be what files say: create the one of the file's name, or update it, and print what changed.

    A folder is planned as a whole, shown, and applied after a question if somebody is there to be asked.
    """
    # Checking a contract needs the models, which no other command here has to wait for.
    from backend.cli.agent_apply import Order, apply  # noqa: PLC0415

    order = Order(sources, dry_run, check, prune, prune_tag or (), sure, from_tenant)
    if prune and not order.whole:
        raise typer.BadParameter("says what no file in a folder is for, and no folder is given", param_hint="--prune")
    if prune_tag and not prune:
        raise typer.BadParameter("limits --prune, which was not asked for", param_hint="--prune-tag")
    with ApiClient(ClientSettings.read()) as api:
        raise typer.Exit(apply(api, order))
