"""What those who keep the server running ask, and that it needs no key."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from starlette.types import Receive, Scope, Send

from backend.models.readiness import DependencyStatus, Readiness
from backend.routers import health
from backend.telemetry import Metrics
from backend.tests.routers.small_app import client_of, small_app

READY = Readiness(status="ready", dependencies={"database": DependencyStatus(status="ok")})
DOWN = Readiness(status="down", dependencies={"database": DependencyStatus(status="down", detail="refused")})


@dataclass
class Checks:
    """Answers as it is told to."""

    answer: Readiness

    async def check(self) -> Readiness:
        return self.answer


@dataclass
class House:
    """As much of a container as these routes use."""

    readiness: Checks
    metrics: Metrics


@asynccontextmanager
async def client_in(state: Readiness) -> AsyncGenerator[httpx.AsyncClient]:
    metrics = Metrics()
    app = small_app(health.router, metrics=metrics)

    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"container": House(Checks(state), metrics)}  # as a server does after the lifespan
        await app(scope, receive, send)

    async with client_of(with_state) as client:
        yield client


async def test_alive_asks_nobody() -> None:
    async with client_in(DOWN) as client:
        answer = await client.get("/api/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


async def test_ready_tells_each_dependency() -> None:
    async with client_in(READY) as client:
        answer = await client.get("/api/readyz")
    assert (answer.status_code, answer.json()) == (200, READY.model_dump())


async def test_not_ready_is_a_problem_that_says_what_is_down() -> None:
    async with client_in(DOWN) as client:
        answer = await client.get("/api/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "not-ready")
    assert answer.json()["dependencies"] == {"database": {"status": "down", "detail": "refused"}}
    assert answer.headers["retry-after"] == "1"


async def test_metrics_are_those_of_this_app() -> None:
    async with client_in(READY) as client:
        await client.get("/api/healthz")
        answer = await client.get("/api/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'numen_http_requests_total{method="GET",route="/api/healthz",status="200"} 1.0' in answer.text
