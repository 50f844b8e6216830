"""`numen chat`: talk to an agent from a terminal or a pipe."""

from __future__ import annotations

import readline
import sys
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer

from backend.cli.agent_lookup import find_agent
from backend.cli.api_client import ApiClient
from backend.cli.client_settings import ClientSettings
from backend.cli.event_stream import ChatTurn
from backend.cli.failures import CommandFailed
from backend.cli.run_screen import INTERRUPTED, WAITS, RunScreen, follow

_REMEMBERED = 1000


def chat(
    agent: Annotated[str, typer.Argument(help="The agent's name or id.")],
    message: Annotated[str | None, typer.Option("--message", "-m", help="Say this one thing, and leave.")] = None,
    thread: Annotated[str | None, typer.Option(help="Go on in this thread.")] = None,
    user: Annotated[str | None, typer.Option(help="Speak for this person of your product (Numen-User).")] = None,
) -> None:
    """Talk to an agent. Ctrl-C stops an answer, Ctrl-D leaves; a pipe is read line by line.

    Exit status 3: the answer waits for a person to agree to what the agent wants to do.
    """
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
                self.say(message, RunScreen(in_a_line=True))
        if self._thread_id is not None:
            typer.echo(f"\nTo go on: --thread {self._thread_id}", err=True)
        return 0

    def read(self, messages: Iterable[str]) -> int:
        """One turn after the other, until they end or Ctrl-C; the worst exit status of them."""
        worst = 0
        for message in messages:
            worst = max(worst, self.say(message))
            if worst in (INTERRUPTED, WAITS):  # nothing can be said in a thread that waits
                break
        return worst

    def say(self, message: str, screen: RunScreen | None = None) -> int:
        """One turn, written out while it comes; the exit status that it deserves."""
        screen = screen or RunScreen()
        turn = ChatTurn(self._api, self._agent["id"], message, self._thread_id)
        try:
            return follow(self._api, turn, screen)
        finally:
            self._thread_id = screen.thread_id or self._thread_id


def _piped_lines() -> Iterator[str]:
    try:
        for line in sys.stdin:
            if line.strip():
                yield line.rstrip("\n")
    except UnicodeDecodeError as error:
        raise CommandFailed("What is piped in is not text in UTF-8.") from error
