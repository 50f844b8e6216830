"""`numen chat`: talk to an agent from a terminal or a pipe."""

from __future__ import annotations

import re
import readline
import sys
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import httpx
import typer

from backend.cli.agent_lookup import find_agent
from backend.cli.api_client import ApiClient
from backend.cli.client_settings import ClientSettings
from backend.cli.event_stream import RunStream
from backend.cli.failures import CommandFailed, in_one_line

_INTERRUPTED = 130  # what shells say of a program that Ctrl-C ended
_REMEMBERED = 1000
_TERMINAL_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # an answer must not move cursors or rename windows


def chat(
    agent: Annotated[str, typer.Argument(help="The agent's name or id.")],
    message: Annotated[str | None, typer.Option("--message", "-m", help="Say this one thing, and leave.")] = None,
    thread: Annotated[str | None, typer.Option(help="Go on in this thread.")] = None,
    user: Annotated[str | None, typer.Option(help="Speak for this person of your product (Numen-User).")] = None,
) -> None:
    """Talk to an agent. Ctrl-C stops an answer, Ctrl-D leaves; a pipe is read line by line."""
    with ApiClient(ClientSettings.read(), user) as api:
        found = find_agent(api, agent)
        conversation = Conversation(api, found, thread)
        if message is not None:
            status = conversation.say(message)
        elif sys.stdin.isatty():
            status = conversation.talk()
        else:
            status = conversation.read(_piped_lines())
    raise typer.Exit(status)


class Conversation:
    """Turns with one agent in one thread, which begins with the first turn unless one is given."""

    def __init__(self, api: ApiClient, agent: dict[str, Any], thread_id: str | None) -> None:
        self._api = api
        self._agent = agent
        self._thread_id = thread_id

    def talk(self) -> int:
        """Ask and answer until Ctrl-D."""
        readline.set_history_length(_REMEMBERED)  # loading it is what gives input() its history and editing
        name: str = self._agent["name"]
        typer.echo(f"{name} {self._agent['version']}, {self._agent['identity']['short_description']}")
        typer.echo("Ctrl-C stops an answer, Ctrl-D leaves.", err=True)
        while True:
            try:
                message = input("\nyou> ")
            except EOFError:
                break
            except KeyboardInterrupt:
                typer.echo("\nCtrl-D leaves.", err=True)
                continue
            if message.strip():
                typer.echo(f"{name}> ", nl=False)
                self.say(message)
        if self._thread_id is not None:
            typer.echo(f"\nTo go on: --thread {self._thread_id}", err=True)
        return 0

    def read(self, messages: Iterable[str]) -> int:
        """One turn after the other, until they end or Ctrl-C; the worst exit status of them."""
        worst = 0
        for message in messages:
            worst = max(worst, self.say(message))
            if worst == _INTERRUPTED:
                break
        return worst

    def say(self, message: str) -> int:
        """One turn, written out while it comes; the exit status that it deserves."""
        run = RunStream(self._api, self._agent["id"], message, self._thread_id)
        try:
            return self._show(run)
        except KeyboardInterrupt:
            run.cancel()
            self._show(run)
            return _INTERRUPTED
        except httpx.TransportError as error:
            raise self._api.unreachable(error) from error

    def _show(self, run: RunStream) -> int:
        for event in run:
            self._thread_id = event.data.get("thread_id", self._thread_id)
            match event.type:
                case "message.delta":
                    sys.stdout.write(_TERMINAL_CONTROL.sub("", event.data["text"]))
                    sys.stdout.flush()
                case "message.completed":
                    typer.echo()
                case "run.failed":
                    typer.echo()
                    typer.echo(f"numen: {in_one_line(event.data['detail'])}", err=True)
                    return 1
                case _:
                    pass
        return 0


def _piped_lines() -> Iterator[str]:
    try:
        for line in sys.stdin:
            if line.strip():
                yield line.rstrip("\n")
    except UnicodeDecodeError as error:
        raise CommandFailed("What is piped in is not text in UTF-8.") from error
