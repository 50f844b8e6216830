"""The page on which a person talks with an agent: plain files of this package, with nothing of any tenant in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Path
from starlette.responses import Response

from backend.routers.dependencies import IfNoneMatch
from backend.routers.http_errors import RouteNotFound

router = APIRouter(prefix="/voice-demo", include_in_schema=False)
PAGE = "index.html"
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HOST = re.compile(r"[A-Za-z0-9.-]+(?::\d+)?|\[[0-9A-Fa-f:.]+\](?::\d+)?")
_HEADERS = {
    "cache-control": "no-cache",  # kept, but asked about each time: the modules must be of one version
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=(), display-capture=()",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'{sockets}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file of the page."""

    content: bytes
    media_type: str
    tag: str


@cache
def page_files() -> dict[str, PageFile]:
    """The files by name."""
    found = (files("backend.routers") / "voice_page").iterdir()
    return {one.name: _page_file(one.name, one.read_bytes()) for one in found if _suffix(one.name) in _MEDIA_TYPES}


@router.get("/{agent_id}")
async def show_page(
    agent_id: UUID,  # noqa: ARG001 — the page's script reads it from the address
    if_none_match: IfNoneMatch,
    host: Annotated[str, Header()] = "",
) -> Response:
    """The page itself, the same for every agent."""
    return _answer(PAGE, if_none_match, {"content-security-policy": _policy(host), "vary": "Host"})


@router.get("/files/{name}")
async def show_file(name: Annotated[str, Path(max_length=64)], if_none_match: IfNoneMatch) -> Response:
    """What the page is made of. Errors: `RouteNotFound`."""
    if name == PAGE or name not in page_files():
        raise RouteNotFound("The page has no such file.")
    return _answer(name, if_none_match, {"content-security-policy": "default-src 'none'; sandbox"})


def _answer(name: str, if_none_match: frozenset[str] | None, headers: dict[str, str]) -> Response:
    file = page_files()[name]
    headers = {**_HEADERS, **headers, "etag": f'"{file.tag}"'}
    if if_none_match is not None and file.tag in if_none_match:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)


def _policy(host: str) -> str:
    """Some browsers do not count WebSockets to 'self', so that they are named."""
    named = _HOST.fullmatch(host)
    return _POLICY.format(sockets=f" ws://{host} wss://{host}" if named else "")


def _page_file(name: str, content: bytes) -> PageFile:
    return PageFile(content, _MEDIA_TYPES[_suffix(name)], sha256(content).hexdigest()[:32])


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]
