"""An app of a few routes behind the real edge, and two ways to reach it: in process, and on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

import httpx
import uvicorn
from fastapi import APIRouter, FastAPI, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp

from backend.errors import AgentNotFound, Unauthenticated
from backend.routers.problems import PROBLEM_RESPONSES, install_problems, problem_responses
from backend.routers.request_context import RequestContext
from backend.routers.request_guard import RequestGuard
from backend.routers.slow_sender import deadline_protocol
from backend.routers.socket_protocol import SOCKETS
from backend.routers.strict_json import StrictRoute
from backend.telemetry import Metrics, bind_log_context
from backend.tests.fair_time import fair_timeout

BODY_LIMIT = 1_000_000
UPLOAD_LIMIT = 5_000_000


class Note(BaseModel):
    """What is sent to /notes."""

    model_config = ConfigDict(extra="forbid")

    message: str = Field(max_length=200_000)
    meta: dict[str, Any] = {}


router = APIRouter(route_class=StrictRoute, prefix="/notes")


@router.post("", status_code=201)
async def make_note(note: Note) -> Note:
    """Answer what was sent, so that whatever comes in must also be writable."""
    return note


@router.get("", responses=problem_responses(AgentNotFound))
async def list_notes(q: str | None = None, limit: Annotated[int, Query(ge=1, le=100)] = 50) -> dict[str, Any]:
    """Answer the query."""
    return {"q": q, "limit": limit}


@router.get("/{note_id}")
async def get_note(note_id: UUID) -> None:
    """There are none."""
    bind_log_context(tenant_id="a-tenant")
    raise AgentNotFound("No note has this id, or it is not yours.", note_id=str(note_id))


@router.get("/{note_id}/pages/{page}")
async def get_page(note_id: UUID, page: Annotated[str, Path(max_length=40)]) -> dict[str, str]:
    """Answer the path."""
    return {"note": str(note_id), "page": page}


@router.post("/{note_id}/explode")
async def explode(note_id: UUID) -> None:
    """Fail in a way that nobody expects."""
    raise RuntimeError(f"a secret detail of {note_id}: password=hunter2")


uploads = APIRouter(route_class=StrictRoute, prefix="/uploads")


@uploads.post("")
async def take_upload(request: Request) -> dict[str, int]:
    """Read the body by itself, when it is known who sends it. Answer how much came."""
    if request.headers.get("authorization") is None:
        raise Unauthenticated("Who are you?")
    return {"bytes": len(await request.body())}


def small_app(*more: APIRouter, metrics: Metrics | None = None, linger_seconds: float = 5.0) -> FastAPI:
    """The routes above and these, with the layers of the real application around them."""
    app = FastAPI(redirect_slashes=False)
    install_problems(app)
    for one in (router, uploads, *more):
        app.include_router(one, prefix="/api", responses=PROBLEM_RESPONSES)
    app.add_middleware(
        RequestGuard,
        body_limit_bytes=BODY_LIMIT,
        linger_seconds=linger_seconds,
        read_by_route={re.compile("/api/uploads/?"): UPLOAD_LIMIT},
    )
    app.add_middleware(RequestContext, metrics=metrics or Metrics())
    return app


@asynccontextmanager
async def client_of(app: ASGIApp) -> AsyncGenerator[httpx.AsyncClient]:
    """A client in this process; an exception that escapes from the app fails the test."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://numen.test") as client:
        yield client


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield  # Ctrl-C belongs to pytest

    def ask_to_stop(self) -> None:
        self.should_exit = True


class Wire:
    """A served app: its port, how much it has taken as HTTP, its open connections, and how it is asked to stop."""

    def __init__(self) -> None:
        self.port = 0
        self.bytes_read = 0
        self.stop: Callable[[], None] = lambda: None
        self.connections: Callable[[], int] = lambda: 0

    async def ask(self, *parts: bytes, pause: float = 0.0, seconds: float = 10.0) -> bytes:
        """Send these parts on a new connection and read until the server hangs up. Errors: `TimeoutError`."""
        async with fair_timeout(seconds):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                for number, part in enumerate(parts):
                    if number and pause:
                        await asyncio.sleep(pause)
                    writer.write(part)
                return await reader.read()
            finally:
                writer.transport.abort()


@asynccontextmanager
async def served(
    app: ASGIApp, header_seconds: float = 5.0, body_seconds: float = 5.0, sockets: Mapping[str, Any] | None = None
) -> AsyncGenerator[Wire]:
    """The app on a port of this machine, in this event loop, with the protocols of the real server."""
    wire = Wire()
    protocol: Any = deadline_protocol(header_seconds, body_seconds)

    class Counting(protocol):
        def data_received(self, data: bytes) -> None:
            wire.bytes_read += len(data)
            super().data_received(data)  # pyright: ignore[reportUnknownMemberType] — the base is a made class

    options: dict[str, Any] = {**SOCKETS, **(sockets or {})}
    config = uvicorn.Config(
        app, port=0, http=Counting, log_config=None, access_log=False, lifespan="off", server_header=False, **options
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done(), task.result()
        await asyncio.sleep(0.005)
    wire.port = server.servers[0].sockets[0].getsockname()[1]
    wire.stop = server.ask_to_stop
    wire.connections = lambda: len(server.server_state.connections)
    try:
        yield wire
    finally:
        server.should_exit = True
        await task


def request(method: str, path: str, body: bytes = b"", headers: Iterable[str] = ()) -> bytes:
    """The bytes of a request that asks to close the connection afterwards."""
    length = [f"Content-Length: {len(body)}"] if body else []
    lines = [f"{method} {path} HTTP/1.1", "Host: numen.test", "Connection: close", *length, *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def status_of(answer: bytes) -> int:
    """The status of the first answer in these bytes."""
    return int(answer.split(b" ", 2)[1])
