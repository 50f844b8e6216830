"""For those who keep the server running: is it alive, can it work, and how is it doing."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from backend.models.readiness import Readiness
from backend.routers.dependencies import container
from backend.routers.http_errors import NotReady
from backend.routers.problems import problem_responses
from backend.telemetry import METRICS_CONTENT_TYPE

router = APIRouter(tags=["operations"])


@router.get("/healthz", operation_id="isAlive")
async def is_alive() -> dict[str, str]:
    """Tell that the process answers; it asks nothing else."""
    return {"status": "alive"}


@router.get("/readyz", operation_id="isReady", responses=problem_responses(NotReady))
async def is_ready(request: Request) -> Readiness:
    """Ask each dependency now; 503 while one is down that the server cannot work without."""
    readiness = await container(request).readiness.check()
    if readiness.status == "down":
        told = {name: one.model_dump() for name, one in readiness.dependencies.items()}
        raise NotReady("Something that the server needs is down.", dependencies=told)
    return readiness


_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Samples, one a line"}
}


@router.get("/metrics", operation_id="readMetrics", response_class=Response, responses=_TEXT)
async def read_metrics(request: Request) -> Response:
    """Read the counters in Prometheus' text format."""
    return Response(container(request).metrics.exposition(), media_type=METRICS_CONTENT_TYPE)
