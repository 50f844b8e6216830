"""`numen memories`: look into what agents remember, add to it, and have it forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer

from backend.cli.agent_lookup import find_agent
from backend.cli.api_client import ApiClient
from backend.cli.client_settings import ClientSettings
from backend.cli.failures import CommandFailed, in_one_line
from backend.cli.tables import as_json, as_table

app = typer.Typer(no_args_is_help=True, help="Look into what agents remember, add to it, and have it forgotten.")

_LONGEST_TEXT = 100
Kind = Literal["message", "fact", "reflection", "note"]
Agent = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name or id.")]
User = Annotated[
    str | None, typer.Option(help="Only this person of your product (Numen-User), and as they would see it.")
]
Thread = Annotated[str | None, typer.Option(help="Only what comes from this thread, by id.")]
OfKind = Annotated[Kind | None, typer.Option(help="Only memories of this kind.")]
Superseded = Annotated[bool, typer.Option("--superseded", help="Also what newer knowledge has taken the place of.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]


@app.command("list")
def list_memories(
    agent: Agent,
    user: User = None,
    thread: Thread = None,
    kind: OfKind = None,
    superseded: Superseded = False,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the newest first.")] = 50,
    machine: AsJson = False,
) -> None:
    """List what an agent knows, newest first."""
    with ApiClient(ClientSettings.read(), user) as api:
        path = f"/agents/{find_agent(api, agent)['id']}/memories"
        which = _which(thread, kind, superseded=superseded)
        found = list(islice(api.pages(path, **which), limit))
    _show(found, ("SAID", "SCOPE", "KIND", "ID", "TEXT"), [_row(one) for one in found], machine=machine)


@app.command("search")
def search_memories(
    agent: Agent,
    words: Annotated[list[str], typer.Argument(metavar="WORDS", help="What it is about, in your own words.")],
    user: User = None,
    thread: Thread = None,
    kind: OfKind = None,
    superseded: Superseded = False,
    limit: Annotated[int, typer.Option(min=1, max=100, help="At most this many.")] = 10,
    machine: AsJson = False,
) -> None:
    """Search what an agent knows by meaning and words, the best first."""
    with ApiClient(ClientSettings.read(), user) as api:
        path = f"/agents/{find_agent(api, agent)['id']}/memories/search"
        which = _which(thread, kind, superseded=superseded)
        found: list[dict[str, Any]] = api.get(path, q=" ".join(words), limit=limit, **which)
    rows = [(f"{one['parts']['score']:.2f}", f"{one['parts']['relevance']:.2f}", *_row(one["memory"])) for one in found]
    _show(found, ("SCORE", "RELEVANCE", "SAID", "SCOPE", "KIND", "ID", "TEXT"), rows, machine=machine)


@app.command("add")
def add_memory(
    agent: Agent,
    text: Annotated[str, typer.Argument(help="What the agent is to know.")],
    user: Annotated[
        str | None, typer.Option(help="Of this person of your product (Numen-User); else whoever it talks to.")
    ] = None,
    thread: Annotated[str | None, typer.Option(help="For this thread only, by id.")] = None,
    kind: Annotated[Kind, typer.Option(help="What kind of knowledge it is.")] = "note",
    machine: AsJson = False,
) -> None:
    """Let an agent know something, of a person, for one thread, or whoever it talks to."""
    body: dict[str, Any] = {"text": text, "kind": kind}
    with ApiClient(ClientSettings.read(), user) as api:
        if user is not None:
            body["user_id"] = api.get("/me")["user_id"]
        if thread is not None:
            body["thread_id"] = thread
        kept = api.post(f"/agents/{find_agent(api, agent)['id']}/memories", body)
    if machine:
        typer.echo(as_json(kept))
        return
    new = kept["created_at"] == kept["updated_at"]
    typer.echo(f"{'kept' if new else 'known already, and confirmed'}: {kept['id']}")


@app.command("forget")
def forget_memories(
    memory: Annotated[str | None, typer.Argument(metavar="ID", help="The memory's id.")] = None,
    thread: Annotated[str | None, typer.Option(help="Everything that comes from this thread, by id.")] = None,
    user: Annotated[str | None, typer.Option(help="As this person of your product (Numen-User).")] = None,
) -> None:
    """Forget a memory, or all that comes from a thread, for good."""
    if (memory is None) == (thread is None):
        raise CommandFailed("Name one memory by its id, or a thread with --thread.")
    with ApiClient(ClientSettings.read(), user) as api:
        if thread is not None:
            count: int = api.delete(f"/threads/{quote(thread, safe='')}/memories")["forgotten"]
            typer.echo(f"forgotten: {count} {'memory' if count == 1 else 'memories'}")
        else:
            api.delete(f"/memories/{quote(str(memory), safe='')}")
            typer.echo(f"forgotten: {memory}")


def _which(thread: str | None, kind: str | None, *, superseded: bool) -> dict[str, str | None]:
    return {"thread_id": thread, "kind": kind, "superseded": "true" if superseded else None}


def _row(memory: dict[str, Any]) -> Sequence[str]:
    text = in_one_line(memory["text"])
    shown = text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"
    said = f"{memory['speaker']}: {shown}" if memory["speaker"] else shown
    kind = f"{memory['kind']}, superseded" if memory["superseded_at"] else memory["kind"]
    return memory["valid_from"][:10], memory["scope"], kind, memory["id"], said


def _show(
    found: Sequence[dict[str, Any]], header: Sequence[str], rows: Sequence[Sequence[str]], *, machine: bool
) -> None:
    if machine:
        typer.echo(as_json(found))
    elif rows:
        typer.echo(as_table(header, rows))
    else:
        typer.echo("No memories.", err=True)
