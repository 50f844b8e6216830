"""The `numen` command."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from backend import __version__
from backend.cli import agents, keys, memories, runs, users
from backend.cli.chat import chat
from backend.cli.doctor import doctor
from backend.cli.failures import in_one_line
from backend.cli.operations import migrate, reindex, seed, serve
from backend.cli.session import session
from backend.errors import NumenError


class OneLineOfTrouble(TyperGroup):
    """What goes wrong is one line on standard error, and exit status 1: never a traceback for a person's mistake."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except NumenError as error:
            typer.echo(f"numen: {in_one_line(error.detail)}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    name="numen",
    cls=OneLineOfTrouble,
    help="Numen: AI agents that are defined by a JSON contract.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(serve)
app.command()(migrate)
app.command()(seed)
app.command()(chat)
app.command()(runs.run)
app.command()(session)
app.add_typer(agents.app, name="agents")
app.add_typer(runs.app, name="runs")
memories.app.command()(reindex)
app.add_typer(memories.app, name="memories")
app.add_typer(keys.app, name="keys")
app.add_typer(users.app, name="users")
app.command()(doctor)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"numen {__version__}")
        raise typer.Exit


@app.callback()
def numen(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """Numen: AI agents that are defined by a JSON contract."""


def main() -> None:
    """Run the command line."""
    app(prog_name="numen")


if __name__ == "__main__":
    main()
