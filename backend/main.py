"""The application: middleware, routers and the lifespan that opens the house. Nothing happens at import."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from typing import TypedDict

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from backend import __version__
from backend.container import Container, open_container
from backend.routers import (
    agents,
    api_keys,
    chat,
    erasures,
    health,
    me,
    memories,
    problem_types,
    runs,
    schedules,
    schemas,
    sessions,
    threads,
    voice,
    voice_demo,
    voice_socket,
    webhooks,
)
from backend.routers.problems import install_problems
from backend.routers.request_context import RequestContext
from backend.routers.request_guard import RequestGuard
from backend.routers.trailing_slash import TrailingSlash
from backend.settings import Settings
from backend.telemetry import Metrics

_DESCRIPTION = "Self-hosted platform for AI agents that are defined by a JSON contract."
_EXPOSED = [
    "ETag", "Link", "Location", "Retry-After", "X-Request-ID", "X-Total-Count", "Accept-Ranges", "Content-Range",
    "Numen-Voice-Provider", "Numen-Voice-Note",
]  # fmt: skip


class State(TypedDict):
    """What the lifespan hands to every request."""

    container: Container


def create_app(settings: Settings | None = None, opened: Container | None = None) -> FastAPI:
    """The whole API for these settings (those of the environment by default).

    Its lifespan opens the house and closes it, unless an `opened` one is handed in, which stays its owner's.
    """
    settings = settings or Settings()
    metrics = opened.metrics if opened else Metrics()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[State]:
        async with nullcontext(opened) if opened else open_container(settings, metrics) as container:
            yield {"container": container}

    app = FastAPI(
        title="Numen",
        version=__version__,
        description=_DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # our own cost less and name fewer things
    )
    install_problems(app)
    for part in (
        agents, threads, chat, runs, sessions, voice, voice_demo, voice_socket, schedules, webhooks, memories, me,
        api_keys, erasures, schemas,
    ):  # fmt: skip
        app.router.routes.extend(part.router.routes)  # an included router matches each request twice
    app.include_router(health.router)
    app.include_router(problem_types.router)
    # The last one added is the outermost.
    app.add_middleware(TrailingSlash)
    app.add_middleware(
        RequestGuard,
        body_limit_bytes=settings.body_limit_bytes,
        read_by_route={voice.RECORDINGS: voice.RECORDING_BYTES},
    )
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=_EXPOSED,
        )
    app.add_middleware(RequestContext, metrics=metrics)
    return app
