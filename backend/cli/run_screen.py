"""A run on a screen: the answer on standard output, what leads to it dimly beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Literal

import httpx
import typer

from backend.cli.api_client import ApiClient
from backend.cli.approvals import settle
from backend.cli.event_stream import WAITING, Event, RunStream
from backend.cli.failures import in_one_line
from backend.cli.screen import aside, write

INTERRUPTED = 130  # what shells say of a program that Ctrl-C ended
WAITS = 3
Ending = Literal["completed", "failed", "waits"]


def follow(api: ApiClient, run: RunStream, screen: RunScreen, *, ours: bool = True) -> int:
    """Show a run to its end, with a person's agreement where it needs it. The exit status.

    Ctrl-C cancels the run if it is `ours`, and otherwise leaves it to itself.
    """
    try:
        return _follow(api, run, screen)
    except KeyboardInterrupt:
        if ours:
            run.cancel()
            screen.show(run)
        return INTERRUPTED
    except httpx.TransportError as error:
        raise api.unreachable(error) from error


def _follow(api: ApiClient, run: RunStream, screen: RunScreen) -> int:
    while True:
        ending = screen.show(run)
        if ending != "waits":
            return int(ending == "failed")
        if not settle(api, str(run.run_id)):
            return WAITS


class RunScreen:
    """Shows one run. `in_a_line`: something stands in the line already; without `answer` the answer is not shown."""

    def __init__(self, *, in_a_line: bool = False, answer: bool = True) -> None:
        self.thread_id: str | None = None
        self._in_a_line = in_a_line
        self._answer = answer
        self._written = 0

    def show(self, events: Iterable[Event]) -> Ending:
        """Show these events; what the last of them means."""
        ending: Ending = "completed"
        for event in events:
            self.thread_id = event.data.get("thread_id", self.thread_id)
            match event.type:
                case "message.delta":
                    self._write(event.data["text"])
                case "message.completed":
                    self._complete(event.data.get("response", ""))
                    ending = "completed"
                case "run.failed":
                    self._end_line()
                    typer.echo(f"numen: {in_one_line(event.data['detail'])}", err=True)
                    ending = "failed"
                case "run.resumed":
                    self._go_back(event.data["offset"])
                case _ if event.type == WAITING:
                    ending = "waits"
                case _ if (said := _beside(event)) is not None:
                    self._aside(said)
                case _:
                    pass
        return ending

    def _write(self, text: str) -> None:
        self._written += len(text)
        if self._answer and text:
            write(text)
            self._in_a_line = not text.endswith("\n")

    def _complete(self, answer: str) -> None:
        if not self._written:
            self._write(answer)
        if self._answer:
            typer.echo()
            self._in_a_line = False

    def _go_back(self, offset: int) -> None:
        if offset < self._written:
            self._aside("The server was lost; another one goes on, and says this again:")
            self._written = offset

    def _aside(self, text: str) -> None:
        if sys.stdout.isatty():
            self._end_line()
        aside(text)

    def _end_line(self) -> None:
        if self._in_a_line:
            typer.echo()
            self._in_a_line = False


def _beside(event: Event) -> str | None:
    """What stands beside the answer for this event, if anything."""
    data = event.data
    said: str | None = None
    match event.type:
        case "tool.call":
            said = f"· {data['tool']}"
        case "tool.result" if data["status"] != "completed":
            said = f"· {data['tool']}: {data['status']}"
        case "step.started":
            said = f"▸ {data['step']}" + (f", try {data['attempt']}" if data["attempt"] > 1 else "")
        case "step.completed":
            said = f"✓ {data['step']}"
        case "step.failed":
            said = f"✗ {data['step']}: {in_one_line(data['detail'])}"
        case "part.started":
            said = f"— {data['name']}, {data['ordinal']} of {data['of']}"
        case _:
            pass
    return said
