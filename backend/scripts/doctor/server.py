"""The server: is it up, and what does it say about itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import httpx

from backend import __version__
from backend.scripts.doctor.check import Check

LOCAL = ("127.0.0.1", "localhost", "::1")
_SECONDS = httpx.Timeout(15.0, connect=5.0)
"""The first document of the API that a server describes takes it a while."""


async def server_checks(url: str) -> AsyncIterator[Check]:
    """Whether the server is ready, of which release it is, and how far the mirror lags."""
    local = urlsplit(url).hostname in LOCAL
    async with httpx.AsyncClient(base_url=url, timeout=_SECONDS, trust_env=not local) as http:
        try:
            answer = await http.get("/readyz")
        except httpx.TransportError as error:
            found = f"nothing answers at {url} ({type(error).__name__})"
            yield Check("server", "fail", found, "Start it with `numen serve`, or set NUMEN_URL.")
            return
        document = _object(answer)
        told = cast("Mapping[str, Mapping[str, str]] | None", document.get("dependencies"))
        if told is None:
            yield Check("server", "fail", f"{url} does not answer like Numen", "Correct NUMEN_URL.")
            return
        yield _readiness(url, answer.status_code, told)
        yield await _release(http)
        if "mirror" in told:
            yield _mirror(told["mirror"])
        if "index" in told:
            yield _index(told["index"])


def _readiness(url: str, status: int, told: Mapping[str, Mapping[str, str]]) -> Check:
    if status == 200:
        return Check("server", "ok", f"ready at {url}")
    down = ", ".join(f"{name} ({one.get('detail', '')})" for name, one in told.items() if one.get("status") == "down")
    return Check("server", "fail", f"not ready: {down}", "See to what is down, and read the server's log.")


async def _release(http: httpx.AsyncClient) -> Check:
    try:
        document = _object(await http.get("/openapi.json"))
    except httpx.TransportError as error:
        found = f"the server does not say which it is ({type(error).__name__})"
        return Check("release", "warn", found, "Read the server's log: it answers /readyz, and not /openapi.json.")
    running = str(document.get("info", {}).get("version", "unknown"))
    if running == __version__:
        return Check("release", "ok", running)
    return Check("release", "warn", f"the server is {running}, this command {__version__}", "Restart the server.")


def _mirror(told: Mapping[str, str]) -> Check:
    if told["status"] == "ok":
        return Check("mirror", "ok", told["detail"])
    return Check("mirror", "warn", told["detail"], "See why NUMEN_PROMPTS_DIR cannot be written; the log says more.")


def _index(told: Mapping[str, str]) -> Check:
    if told["status"] == "ok":
        return Check("index", "ok", told["detail"])
    if told["status"] == "late":
        return Check("index", "warn", told["detail"], "Memories are found late; if it grows, the log says why.")
    return Check(
        "index", "warn", told["detail"], "Agents answer without memories: see to QDRANT_URL, and read the log."
    )


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return cast("dict[str, Any]", document) if isinstance(document, dict) else {}
