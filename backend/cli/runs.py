"""`numen run` sets an agent to work, `numen runs` is about what agents did and what they wait for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, Literal
from uuid import UUID

import typer

from backend.cli.agent_lookup import find_agent
from backend.cli.api_client import ApiClient
from backend.cli.approvals import answer, described, explain
from backend.cli.client_settings import ClientSettings
from backend.cli.event_stream import RunStream
from backend.cli.failures import CommandFailed, in_one_line
from backend.cli.run_screen import RunScreen, follow
from backend.cli.screen import printable
from backend.cli.tables import as_json, as_table

app = typer.Typer(no_args_is_help=True, help="What agents did, what they wait for, and how to stop them.")

_LONGEST_RESULT = 100
NameOrId = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name or id.")]
RunId = Annotated[UUID, typer.Argument(metavar="RUN", help="The run's id.")]
CallId = Annotated[UUID | None, typer.Argument(metavar="CALL", help="The call's id; not needed if only one waits.")]
User = Annotated[str | None, typer.Option(help="Speak for this person of your product (Numen-User).")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]


def run(
    agent: NameOrId,
    text: Annotated[
        str, typer.Argument(metavar="INPUT", help="What to work on; - reads it from a pipe.", show_default=False)
    ] = "",
    detach: Annotated[bool, typer.Option("--detach", help="Print the run's id, and leave it to itself.")] = False,
    user: User = None,
    machine: Annotated[bool, typer.Option("--json", help="At the end the whole run as JSON.")] = False,
) -> None:
    """Set a workflow or autonomous agent to work, and follow it. Ctrl-C cancels the run.

    Exit status 1: it failed; 3: it waits for a person to agree to what the agent wants to do.
    """
    given = _piped() if text == "-" else text
    with ApiClient(ClientSettings.read(), user) as api:
        found = find_agent(api, agent)
        started = api.post(f"/agents/{found['id']}/runs", {"input": given})
        if detach:
            typer.echo(as_json(started) if machine else started["id"])
            return
        raise typer.Exit(_follow(api, UUID(started["id"]), ours=True, machine=machine))


@app.command("follow")
def follow_run(run_id: RunId, user: User = None, machine: AsJson = False) -> None:
    """Show what a run did and does, to its end. Ctrl-C leaves it to itself. Exit status as of `numen run`."""
    with ApiClient(ClientSettings.read(), user) as api:
        raise typer.Exit(_follow(api, run_id, ours=False, machine=machine))


@app.command("list")
def list_runs(
    agent: NameOrId,
    status: Annotated[
        Literal["running", "waiting", "completed", "failed", "cancelled"] | None, typer.Option(help="Only these.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many, the newest first.")] = 20,
    user: User = None,
    machine: AsJson = False,
) -> None:
    """List an agent's runs, newest first."""
    with ApiClient(ClientSettings.read(), user) as api:
        found_agent = find_agent(api, agent)
        found = list(islice(api.pages(f"/agents/{found_agent['id']}/runs", status=status), limit))
    if machine:
        typer.echo(as_json(found))
    elif found:
        header = ("STARTED", "KIND", "STATUS", "SECONDS", "ID", "RESULT")
        typer.echo(as_table(header, [_row(one) for one in found]))
    else:
        typer.echo("No runs.", err=True)


@app.command("show")
def show_run(run_id: RunId, user: User = None, machine: AsJson = False) -> None:
    """Show a run with its steps."""
    with ApiClient(ClientSettings.read(), user) as api:
        found = api.get(f"/runs/{run_id}")
        steps: list[dict[str, Any]] = api.get(f"/runs/{run_id}/steps")
    if machine:
        typer.echo(as_json({"run": found, "steps": steps}))
        return
    took = _seconds(found["created_at"], found["finished_at"])
    typer.echo(f"{found['kind']} {found['id']}: {found['status']}, {found['created_at'][:19]}Z, {took} s")
    if steps:
        header = ("#", "STEP", "KIND", "TRY", "STATUS", "SECONDS", "GAVE")
        typer.echo(as_table(header, [_step_row(one) for one in steps]))
    if found["text"]:
        typer.echo(f"\n{printable(found['text'])}")
    if found["error"]:
        typer.echo(f"\n{in_one_line(printable(found['error']['detail']))}", err=True)
    if found["approvals"]:
        typer.echo(err=True)
        explain(str(run_id), found["approvals"])


@app.command("approve")
def approve_call(run_id: RunId, call: CallId = None, user: User = None) -> None:
    """Agree to a tool call that waits; the run goes on when no other call waits."""
    _answer(run_id, call, user, approved=True)


@app.command("deny")
def deny_call(
    run_id: RunId,
    call: CallId = None,
    reason: Annotated[str, typer.Option(help="Why; the agent is told.")] = "",
    user: User = None,
) -> None:
    """Refuse a tool call that waits; the agent goes on without it."""
    _answer(run_id, call, user, approved=False, reason=reason)


@app.command("cancel")
def cancel_run(run_id: RunId, user: User = None) -> None:
    """Stop a run. What it had said and done is kept."""
    with ApiClient(ClientSettings.read(), user) as api:
        stopped = api.post(f"/runs/{run_id}/cancel")
    asked = "will stop" if stopped["status"] == "running" else stopped["status"]
    typer.echo(f"{run_id}: {asked}")


def _follow(api: ApiClient, run_id: UUID, *, ours: bool, machine: bool) -> int:
    status = follow(api, RunStream(api, run_id), RunScreen(answer=not machine), ours=ours)
    if machine:
        typer.echo(as_json(api.get(f"/runs/{run_id}")))
    return status


def _answer(run_id: UUID, call: UUID | None, user: str | None, *, approved: bool, reason: str = "") -> None:
    with ApiClient(ClientSettings.read(), user) as api:
        call_id = str(call) if call is not None else _only_call(api, run_id)
        after = answer(api, str(run_id), call_id, approved=approved, reason=reason)
    typer.echo(f"{call_id}: {'approved' if approved else 'denied'}")
    others = len(after["approvals"])
    typer.echo(f"{run_id}: {f'waits for {others} more' if others else after['status']}")


def _only_call(api: ApiClient, run_id: UUID) -> str:
    calls: list[dict[str, Any]] = api.get(f"/runs/{run_id}")["approvals"]
    if len(calls) == 1:
        typer.echo(described(calls[0]), err=True)
        return calls[0]["call_id"]
    if not calls:
        raise CommandFailed("No call of this run waits for an answer.")
    known = ", ".join(f"{one['call_id']} ({one['tool']})" for one in calls)
    raise CommandFailed(f"{len(calls)} calls of this run wait; say which: {known}.")


def _row(found: dict[str, Any]) -> Sequence[str]:
    return (
        found["created_at"][:19],
        found["kind"],
        found["status"],
        _seconds(found["created_at"], found["finished_at"]),
        found["id"],
        _result(found),
    )


def _result(found: dict[str, Any]) -> str:
    if found["status"] == "waiting":
        return "waits for a person"
    return _shortened(found["error"]["detail"] if found["error"] else found["text"])


def _step_row(step: dict[str, Any]) -> Sequence[str]:
    error: dict[str, Any] = step["error"] or {}
    gave: dict[str, Any] = step["output"] or {}
    tool = step["input"].get("tool") if step["kind"] == "tool" else None
    return (
        str(step["ordinal"]),
        step["step"],
        f"{step['kind']} {tool}" if tool else step["kind"],
        str(step["attempt"]),
        step["status"],
        _seconds(step["started_at"], step["finished_at"]),
        _shortened(str(error.get("detail") or gave.get("text") or "")),
    )


def _seconds(start: str, end: str | None) -> str:
    """`3.2`, or how long it has taken up to now."""
    until = datetime.fromisoformat(end) if end else datetime.now(UTC)
    return f"{(until - datetime.fromisoformat(start)).total_seconds():.1f}"


def _shortened(text: str) -> str:
    line = in_one_line(printable(text))
    return line if len(line) <= _LONGEST_RESULT else f"{line[: _LONGEST_RESULT - 1]}…"


def _piped() -> str:
    try:
        return sys.stdin.read().rstrip("\n")
    except UnicodeDecodeError as error:
        raise CommandFailed("What is piped in is not text in UTF-8.") from error
