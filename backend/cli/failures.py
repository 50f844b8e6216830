"""What a command ends with when it cannot do what it was asked: one line for a person, never a traceback."""

from __future__ import annotations

from backend.errors import NumenError


class CommandFailed(NumenError):
    """The command cannot go on; `detail` says why and what to do."""

    code, title = "command-failed", "The command did not succeed"


class Unreachable(CommandFailed):
    """Nothing answered at the server's address, or the connection broke."""

    code, title = "unreachable", "The server is not reachable"


class Refused(CommandFailed):
    """The server answered with a problem; `problem` is its document, `status` its HTTP status."""

    code, title = "refused", "The server refused"

    def __init__(self, detail: str, status: int, problem: dict[str, object]) -> None:
        super().__init__(detail)
        self.status = status
        self.problem = problem


def in_one_line(text: str) -> str:
    """The text without line breaks."""
    return " ".join(text.split())
