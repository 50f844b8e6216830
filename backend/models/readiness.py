"""Whether a server can do its work, and what of what it depends on cannot."""

from __future__ import annotations

from typing import Literal

from backend.models.base import FrozenModel, example


class DependencyStatus(FrozenModel):
    """One thing the server depends on: "late" works, but lags; `detail` says how much, or what is wrong."""

    model_config = example(status="ok", detail="0 waiting, the oldest for 0.0 s")

    status: Literal["ok", "late", "down"]
    detail: str = ""


class Readiness(FrozenModel):
    """The server as a whole: "down" while something is that it cannot work without, "degraded" while something is that
    it works without: conversations go on without memories while the search index is away.
    """

    model_config = example(status="ready", dependencies={"database": {"status": "ok", "detail": ""}})

    status: Literal["ready", "degraded", "down"]
    dependencies: dict[str, DependencyStatus]
