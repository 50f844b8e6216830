"""Start the server: database, migrations, seed, default agents, and the API, until it is stopped.

python -m backend.scripts.serve
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager

import typer
import uvicorn
import uvloop

from backend.container import Container, open_container, system_caller
from backend.errors import Misconfigured
from backend.main import create_app
from backend.routers.slow_sender import deadline_protocol
from backend.routers.socket_protocol import SOCKETS
from backend.scripts.create_default_agents import create_default_agents
from backend.scripts.default_agents import load_default_agents
from backend.scripts.seed_data import seed
from backend.settings import Settings
from backend.telemetry import Metrics, configure_logging


class HouseServer(uvicorn.Server):
    """The API of an open house. Asked to stop, it ends the runs first: whoever listens to one is told how it ended."""

    def __init__(self, settings: Settings, container: Container) -> None:
        super().__init__(_config(settings, container))
        self._runs = container.runs
        self._voice = container.voice
        self._patience = settings.shutdown_seconds / 2

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connections, end conversations and runs, and wait until everybody has been answered."""
        self._voice.close()
        ending = asyncio.create_task(self._runs.end_all(self._patience))
        await super().shutdown(sockets)
        await ending

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        # Uvicorn sends the signal that stopped it once more, which would end us before the database is stopped.
        with super().capture_signals():
            yield
            self._captured_signals.clear()


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM, then stop everything that was started.

    Errors: `NumenError` when a setting, the database or the port does not let us.
    """
    configure_logging(settings.log_level, settings.log_format)
    # Threads that write files give the interpreter back sooner than after the default 5 ms: requests wait for it.
    sys.setswitchinterval(0.0005)
    # What was imported stays: leave it out of every collection, and collect what requests leave less often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    listening = _listen(settings)
    try:
        async with open_container(settings, Metrics()) as container:
            await seed(container.database)
            await create_default_agents(container.agents)
            await _announce(container, listening.getsockname()[1])
            await HouseServer(settings, container).serve(sockets=[listening])
    finally:
        listening.close()


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048, reuse_port=False)
    except OSError as error:
        raise Misconfigured(
            f"Cannot listen on {settings.host}:{settings.port} ({error.strerror}). "
            "Stop what uses it, or set NUMEN_PORT (and NUMEN_HOST) to something else."
        ) from error


def _config(settings: Settings, container: Container) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(settings, container),
        http=deadline_protocol(settings.header_seconds, settings.body_seconds),
        **SOCKETS,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_seconds)),
    )


async def _announce(container: Container, port: int) -> None:
    """What a person needs now: the address, how to get in, and one line that chats."""
    settings = container.settings
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '[::]') else host}:{port}"  # noqa: S104 — for display only
    typer.echo(f"\nNumen is at {url} (API page: {url}/docs)")
    key = await _announce_access(container)
    if settings.model_provider == "offline":
        typer.echo("Answers come from the built-in offline provider: no language model is set up (OPENAI_API_KEY).")
    intake = load_default_agents()["intake"]
    agent = await container.agents.named(system_caller(), intake.name)
    if agent is not None:
        header = f' -H "authorization: Bearer {key}"' if key else ""
        body = json.dumps({"message": "Hello, who are you?"})
        typer.echo(f"Talk to {intake.name}:")
        typer.echo(
            f"  curl -s {url}/api/v1/agents/{agent.id}/chat -H 'content-type: application/json'{header} -d '{body}'"
        )
        typer.echo(f"Or aloud, in a browser: {url}/voice-demo/{agent.id}")


async def _announce_access(container: Container) -> str | None:
    if container.settings.auth_mode == "development":
        typer.echo("Development mode: no key is asked for, from this machine only (NUMEN_AUTH=keys asks for one).")
        return None
    if container.settings.bootstrap_key is not None:
        typer.echo("Keys are asked for; NUMEN_BOOTSTRAP_KEY is an owner's key of the default tenant.")
        return "$NUMEN_BOOTSTRAP_KEY"
    made = await container.access.make_first_key()
    if made is None:
        typer.echo("Keys are asked for. The first one was printed when it was made; `numen keys create` makes more.")
        return "$NUMEN_API_KEY"
    typer.echo(f"Keys are asked for. This is the first one, an owner's; it is not shown again:\n  {made}")
    return made


def main() -> None:
    """Serve with the settings of the environment."""
    serve(Settings())


if __name__ == "__main__":
    main()
