"""`numen doctor`: what is right and wrong with the deployment, and the proof of the ten rules."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.client_settings import ClientSettings
from backend.cli.tables import as_json

if TYPE_CHECKING:
    from backend.scripts.doctor.check import Check
    from backend.scripts.standard.rule import Verdict
    from backend.scripts.standard.run import Score
    from backend.settings import Settings

_HUNDRED = 100
_SIGNS = {True: "passed", False: "FAILED", None: "      "}


def doctor(
    standard: Annotated[
        bool, typer.Option("--standard", help="Prove the ten rules of the platform, in a scratch tenant.")
    ] = False,
    machine: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Examine this deployment.

    Every check says what it found, and what to do about what is wrong.
    """
    url = ClientSettings.read().url
    if not standard:
        raise typer.Exit(asyncio.run(_examine(url, machine=machine)))
    from backend.scripts.deployment_settings import read_settings  # noqa: PLC0415 — heavy

    raise typer.Exit(_prove(read_settings(), url, machine=machine))


async def _examine(url: str, *, machine: bool) -> int:
    from backend.scripts.doctor.examination import examine  # noqa: PLC0415 — heavy

    found: list[Check] = []
    async for check in examine(url):
        found.append(check)
        if not machine:
            typer.echo(f"{check.status:<5} {check.name:<14} {check.found}")
            if check.advice:
                typer.echo(f"{'':<20} → {check.advice}")
    if machine:
        typer.echo(as_json([asdict(one) for one in found]))
    return int(any(one.status == "fail" for one in found))


def _prove(settings: Settings, url: str, *, machine: bool) -> int:
    from backend.scripts.standard.run import prove_standard  # noqa: PLC0415 — heavy

    verdicts: list[Verdict] = []

    def tell(verdict: Verdict) -> None:
        verdicts.append(verdict)
        if not machine:
            typer.echo("\n".join(lines_of(verdict)))

    return report(verdicts, asyncio.run(prove_standard(settings, url, tell)), machine=machine)


def report(verdicts: Sequence[Verdict], score: Score, *, machine: bool) -> int:
    """Tell the score (as JSON with all verdicts); the exit status is 0 when what counts holds and is cleaned up."""
    if machine:
        told: dict[str, Any] = {"score": score.points, "of": _HUNDRED, "counted": score.counted}
        told |= {"seconds": round(score.seconds, 1), "cleaned_up": score.cleaned_up}
        typer.echo(as_json({**told, "rules": [asdict(one) for one in verdicts]}))
    else:
        typer.echo(f"{score.points}/{score.counted} of what is counted, in {score.seconds:.1f} s")
        typer.echo(f"score {score.points}/{_HUNDRED}")
    if not score.cleaned_up:
        typer.echo("numen: folders of scratch agents are left over; the server takes them away when it runs.", err=True)
    return int(score.points < score.counted or not score.cleaned_up)


def lines_of(verdict: Verdict) -> list[str]:
    """A verdict for people."""
    told = [f"{verdict.number:>2} {_SIGNS[verdict.passed]} {verdict.title}"]
    told += [f"          {one}" for one in verdict.evidence]
    return told + [f"          NOT: {one}" for one in verdict.failures]
