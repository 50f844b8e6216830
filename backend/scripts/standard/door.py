"""The public API as one caller uses it: every answer is given back, whatever its status."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from backend.scripts.standard.proof import Unproved

API = "/api/v1"
PROBLEM = "application/problem+json"
_LOCAL = ("127.0.0.1", "localhost", "::1")
_SECONDS = 60.0
Body = dict[str, Any]


class Door:
    """One connection pool with one key, or without any. `again` is the same caller over new connections."""

    def __init__(self, url: str, key: str | None) -> None:
        self._url = url
        self._key = key
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=_SECONDS,
            trust_env=urlsplit(url).hostname not in _LOCAL,
            verify=url.startswith("https"),  # without TLS there are no certificates to read, which takes a while
        )

    def again(self) -> Door:
        """The same caller over new connections."""
        return Door(self._url, self._key)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> httpx.Response:
        """The answer at `path`, which is below `/api/v1` unless it says so itself."""
        where = path if path.startswith(API) else f"{API}{path}"
        return await self._http.request(method, where, json=body, headers=headers, params=params)

    async def raw(self, method: str, path: str, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """The answer to a body as it stands."""
        return await self._http.request(method, f"{API}{path}", content=content, headers=headers)

    async def outside(self, path: str) -> httpx.Response:
        """The answer at a path that is not below `/api/v1`."""
        return await self._http.get(path)

    async def ok(
        self, method: str, path: str, body: Any = None, *, params: Mapping[str, str | int] | None = None
    ) -> Any:
        """The document of an answer that must be good; None where it has none. Errors: `Unproved`."""
        answer = await self.send(method, path, body, params=params)
        if not answer.is_success:
            raise Unproved(f"{method} {path} answers {answer.status_code}: {answer.text[:300]}")
        return answer.json() if answer.content else None

    async def create(self, contract: Body) -> Body:
        """The agent made from this contract. Errors: `Unproved`."""
        return await self.ok("POST", "/agents", contract)

    async def prompt(self, agent_id: str, version: str = "1.0.0") -> str:
        """The system prompt that a version compiles to. Errors: `Unproved`."""
        compared = await self.ok("GET", f"/agents/{agent_id}/versions/{version}/diff/{version}")
        return str(compared["prompt_before"])

    async def events(self, method: str, path: str, body: Any = None) -> AsyncIterator[tuple[str, str, Body]]:
        """(id, type, document) of each event of a stream. Errors: `Unproved`."""
        async with self._http.stream(method, f"{API}{path}", json=body) as answer:
            if answer.headers.get("content-type", "").partition(";")[0] != "text/event-stream":
                raise Unproved(f"{method} {path} answers {answer.status_code}, and no event stream")
            text = (await answer.aread()).decode()
        for block in text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and line[0] != ":")
            if "data" in fields:
                yield fields.get("id", ""), fields.get("event", ""), json.loads(fields["data"])


def is_problem(answer: httpx.Response, status: int, code: str | None = None) -> bool:
    """Whether the answer is a problem document (RFC 9457) of this status, and of this code if one is named."""
    if answer.status_code != status or answer.headers.get("content-type", "").partition(";")[0] != PROBLEM:
        return False
    document = answer.json()
    complete = document.get("status") == status and all(document.get(name) for name in ("type", "title", "detail"))
    return complete and bool(document.get("request_id")) and code in (None, document.get("code"))
