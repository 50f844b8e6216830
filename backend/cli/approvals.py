"""Tool calls that wait for a person: asked at a terminal, told elsewhere."""

from __future__ import annotations

from typing import Any

import typer

from backend.cli.api_client import ApiClient
from backend.cli.failures import Refused
from backend.cli.screen import printable, somebody_is_there
from backend.cli.tables import as_json

Call = dict[str, Any]


def settle(api: ApiClient, run_id: str) -> bool:
    """Have a person answer every call that waits; False when nobody does, and then it is said how to."""
    calls: list[Call] = api.get(f"/runs/{run_id}")["approvals"]
    if not somebody_is_there():
        explain(run_id, calls)
        return False
    for at, call in enumerate(calls):
        typer.echo(f"\n{described(call)}", err=True)
        try:
            approved = typer.confirm("Allow it?", default=None, err=True)
        except typer.Abort:
            typer.echo(err=True)
            explain(run_id, calls[at:])
            return False
        try:
            answer(api, run_id, call["call_id"], approved=approved)
        except Refused as refused:
            if refused.status != 409:  # somebody else was faster, or the run is over
                raise
            typer.echo(refused.detail, err=True)
    return True


def answer(api: ApiClient, run_id: str, call_id: str, *, approved: bool, reason: str = "") -> dict[str, Any]:
    """Answer one call; the run as it is then. Errors: `Refused`."""
    return api.post(f"/runs/{run_id}/approvals/{call_id}", {"approved": approved, "reason": reason})


def described(call: Call) -> str:
    """What is to be agreed to, whole: nobody agrees to what is cut off."""
    because = f" ({call['reason']})" if call.get("reason") else ""
    return printable(f"The agent wants to use {call['tool']}{because}:\n{as_json(call['arguments'])}")


def explain(run_id: str, calls: list[Call]) -> None:
    """Say how the calls are answered by somebody else, or later."""
    for call in calls:
        typer.echo(described(call), err=True)
        typer.echo(f"  numen runs approve {run_id} {call['call_id']}", err=True)
        typer.echo(f"  numen runs deny {run_id} {call['call_id']} --reason WHY", err=True)
