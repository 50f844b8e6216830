"""What others wrote, on a screen: as text, never as commands to the terminal."""

from __future__ import annotations

import re
import sys

import typer

_TERMINAL_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # a text must not move cursors or rename windows


def printable(text: str) -> str:
    """The text without anything that steers a terminal."""
    return _TERMINAL_CONTROL.sub("", text)


def write(text: str) -> None:
    """A piece of a text that is still being written, at once and without a line break."""
    sys.stdout.write(printable(text))
    sys.stdout.flush()


def aside(text: str) -> None:
    """A line beside the answer: on standard error, dim where that is a terminal."""
    typer.echo(typer.style(printable(text), dim=True), err=True)


def somebody_is_there() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty()
