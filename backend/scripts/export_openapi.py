"""Write the OpenAPI document to docs/openapi.json, or with --check say whether the file is what the code says.

python -m backend.scripts.export_openapi [--check]
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from backend.main import create_app
from backend.settings import Settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"


def openapi_text() -> str:
    """The document as it is committed: indented, in the order of the routes."""
    return json.dumps(create_app(Settings()).openapi(), indent=2, ensure_ascii=False) + "\n"


def main(check: Annotated[bool, typer.Option(help="Write nothing; fail when the file is stale.")] = False) -> None:
    """Write docs/openapi.json, or check it."""
    text = openapi_text()
    if not check:
        DOCUMENT.write_text(text, "utf-8")
        typer.echo(f"Wrote {DOCUMENT}")
    elif not DOCUMENT.is_file() or DOCUMENT.read_text("utf-8") != text:
        typer.echo("docs/openapi.json is not what the code says: run `make openapi` and commit it.", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
