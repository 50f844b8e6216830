"""`numen session`: interviewed at a terminal, asked for consent, and then the script as it is written."""

from __future__ import annotations

import readline
import sys
from typing import Annotated, Any
from uuid import UUID

import typer

from backend.cli.agent_lookup import find_agent
from backend.cli.api_client import ApiClient
from backend.cli.client_settings import ClientSettings
from backend.cli.event_stream import RunStream
from backend.cli.failures import CommandFailed, Refused, in_one_line
from backend.cli.run_screen import INTERRUPTED, WAITS, RunScreen, follow
from backend.cli.screen import printable, somebody_is_there

_YES, _NO = ("y", "yes"), ("n", "no")
_REMEMBERED = 1000
Session = dict[str, Any]


def session(
    session_id: Annotated[UUID | None, typer.Option("--id", help="Go on with this session.")] = None,
    intake: Annotated[str | None, typer.Option(help="Who interviews; otherwise the default agent.")] = None,
    therapy: Annotated[str | None, typer.Option(help="Who writes; otherwise the default agent.")] = None,
    user: Annotated[str | None, typer.Option(help="Speak for this person of your product (Numen-User).")] = None,
) -> None:
    """Be interviewed, agree to the plan, and read the script while it is written; a pipe is read line by line.

    Ctrl-D leaves, and --id goes on, at any time. Exit status 3: what was piped in ended before the session did.
    """
    with ApiClient(ClientSettings.read(), user) as api:
        if session_id is not None:
            if intake is not None or therapy is not None:
                raise typer.BadParameter("has its agents already", param_hint="--id")
            now: Session = api.get(f"/sessions/{session_id}")
        else:
            named = {"intake_agent_id": intake, "therapy_agent_id": therapy}
            now = api.post("/sessions", {name: find_agent(api, one)["id"] for name, one in named.items() if one})
        raise typer.Exit(Sitting(api, now).hold())


class Sitting:
    """A person in a session, from wherever it stands to its end."""

    def __init__(self, api: ApiClient, now: Session) -> None:
        self._api = api
        self._now = now
        self._path = f"/sessions/{now['id']}"
        self._somebody = somebody_is_there()

    def hold(self) -> int:
        """The exit status."""
        readline.set_history_length(_REMEMBERED)  # loading it is what gives input() its history and editing
        typer.echo(f"Session {self._now['id']}", err=True)
        self._say()
        try:
            return self._go_on()
        except EOFError:
            self._leave()
            return 0 if self._somebody else WAITS
        except KeyboardInterrupt:
            self._leave()
            return INTERRUPTED

    def _go_on(self) -> int:
        while not self._over():
            if self._now["stage"] != "complete":
                self._answer()
            elif self._now["consented_at"] is None:
                self._ask_for_consent()
            else:
                return self._read_script()
        if self._now["status"] == "completed":
            self._show_script()
            return 0
        raise CommandFailed(self._now["error"]["detail"])

    def _over(self) -> bool:
        """Completed, or ended by what the person said; a script that failed can be gone on with."""
        status: str = self._now["status"]
        error: dict[str, Any] = self._now["error"] or {}
        return status == "completed" or (status == "failed" and error.get("code") == "crisis")

    def _answer(self) -> None:
        message = self._read("\nyou> ")
        if not message.strip():
            return
        try:
            self._now = self._api.post(f"{self._path}/messages", {"message": message})
        except Refused as refused:
            if not self._somebody:
                raise
            typer.echo(f"numen: {in_one_line(refused.detail)}", err=True)
        else:
            self._say()

    def _ask_for_consent(self) -> None:
        typer.echo("")
        plan: dict[str, str | list[str]] = self._now["plan"]
        for name in sorted(plan, key=self._asked().index):
            answer = plan[name]
            typer.echo(printable(f"  {name}: {(answer if isinstance(answer, str) else '; '.join(answer)) or '–'}"))
        said = ""
        while said not in (*_YES, *_NO):
            said = self._read("\nDo you agree to this plan? [y/n] ").strip().lower()
        self._now = self._api.post(f"{self._path}/consent", {"accepted": said in _YES})
        if said in _NO:
            self._say()

    def _asked(self) -> list[str]:
        """The names of the plan's answers in the order in which the interview asks for them."""
        interview: dict[str, Any] = self._api.get(f"/agents/{self._now['intake_agent_id']}").get("interview") or {}
        names: list[str] = [one["name"] for one in interview.get("fields", [])]
        return [*names, *(one for one in self._now["plan"] if one not in names)]  # the contract may have changed

    def _read_script(self) -> int:
        typer.echo("")
        run = self._api.post(f"{self._path}/therapy")
        status = follow(self._api, RunStream(self._api, UUID(run["id"])), RunScreen(), ours=False)
        if status != 0:
            self._leave()
        return status

    def _show_script(self) -> None:
        for part in self._api.get(f"{self._path}/script")["parts"]:
            typer.echo(printable(f"\n{part['text']}"))

    def _say(self) -> None:
        typer.echo(printable(self._now["response"]))

    def _leave(self) -> None:
        typer.echo(f"\nTo go on: numen session --id {self._now['id']}", err=True)

    def _read(self, prompt: str) -> str:
        if self._somebody:
            return input(prompt)
        try:
            line = sys.stdin.readline()
        except UnicodeDecodeError as error:
            raise CommandFailed("What is piped in is not text in UTF-8.") from error
        if not line:
            raise EOFError
        return line.rstrip("\n")
