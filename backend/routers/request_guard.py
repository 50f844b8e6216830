"""What a message must be before any route sees it: an address that can be read, and a body within the limit.

The framework's own `max_body_size` was not taken: it counts only what a route reads (an unknown address, or a GET with
a body, is left to flow on), answers in plain text, and hangs up on a client that is still sending.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import unquote_to_bytes

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.errors import NumenError
from backend.routers.http_errors import BodyTooLarge, MalformedUrl, UnsupportedMedia
from backend.routers.problems import problem_response

_BROKEN_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ENCODED_SLASH = re.compile(rb"%(?:2[Ff]|5[Cc])")
_PATH_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

LINGER_BYTES = 64 * 1024 * 1024
"""How much of a refused body is thrown away after the answer: most clients read an answer only when they have sent
everything, and one that is hung up on meanwhile sees a broken connection instead of the reason."""


class RequestGuard:
    """ASGI middleware. Reads a body whole, at most `body_limit_bytes`, before the app runs; requests without one pass.

    So nothing of a body is left on the connection whatever route answers, and a route never waits for a slow sender.
    A refused sender gets the whole answer at once; what it still sends is thrown away for `linger_seconds` at most.

    The addresses of `read_by_route` take bodies of another size, which is too much to hold for whoever comes: the route
    reads them itself, when it knows who is calling. What it leaves is thrown away by the server, which also times it.
    """

    def __init__(
        self,
        app: ASGIApp,
        body_limit_bytes: int,
        linger_seconds: float = 2.0,
        read_by_route: Mapping[re.Pattern[str], int] | None = None,
    ) -> None:
        self.app = app
        self.body_limit_bytes = body_limit_bytes
        self.linger_seconds = linger_seconds
        self.read_by_route = dict(read_by_route or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            refusal = unreadable_address(scope) if scope["type"] == "websocket" else None
            app = self.app if refusal is None else problem_response(refusal, scope)
            await app(scope, receive, send)
            return
        length: bytes | None = None
        encoding: bytes | None = None
        chunked = False
        for name, value in scope["headers"]:
            if name == b"content-length":
                length = value
            elif name == b"transfer-encoding":
                chunked = True
            elif name == b"content-encoding":
                encoding = value
        unread = unreadable_address(scope)
        if not chunked and (length is None or length == b"0"):
            app = self.app if unread is None else problem_response(unread, scope)
            await app(scope, receive, send)
            return
        large = self._read_by_route(scope)
        refusal = unread or _refuse_header(length, encoding, large or self.body_limit_bytes)
        if refusal is not None:
            await self._refuse(refusal, scope, receive, send)
        elif large:
            with suppress(ClientDisconnect):  # in the middle of its body: there is nobody to answer
                await self.app(scope, _counted(receive, large), send)
        else:
            await self._with_body(scope, receive, send)

    def _read_by_route(self, scope: Scope) -> int:
        if scope["method"] == "POST":
            for address, limit in self.read_by_route.items():
                if address.fullmatch(scope["path"]):
                    return limit
        return 0

    async def _with_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        first = await receive()
        body, more = first.get("body", b""), first.get("more_body", False)
        if more:
            parts = bytearray(body)
            while more and len(parts) <= self.body_limit_bytes:
                message = await receive()
                if message["type"] != "http.request":
                    return  # the client is gone, and so is the one to answer
                parts += message.get("body", b"")
                more = message.get("more_body", False)
            body = bytes(parts)
        elif first["type"] != "http.request":
            return
        if len(body) > self.body_limit_bytes:
            await self._refuse(_too_large(self.body_limit_bytes), scope, receive, send, more=more)
            return
        whole: Message | None = {"type": "http.request", "body": body, "more_body": False}

        async def replay() -> Message:
            nonlocal whole
            if whole is None:
                return await receive()
            message, whole = whole, None
            return message

        await self.app(scope, replay, send)

    async def _refuse(
        self, error: NumenError, scope: Scope, receive: Receive, send: Send, *, more: bool = True
    ) -> None:
        """Answer at once; end the answer, which closes the connection, when what comes after it was taken in."""
        headers = {"connection": "close"}
        if isinstance(error, UnsupportedMedia):
            headers["accept-encoding"] = "identity"
        answer = problem_response(error, scope, headers)
        await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
        await send({"type": "http.response.body", "body": answer.body, "more_body": True})
        if more:
            await self._linger(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _linger(self, receive: Receive) -> None:
        read = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(self.linger_seconds):
                while read < LINGER_BYTES:
                    message = await receive()
                    if message["type"] != "http.request" or not message.get("more_body"):
                        return
                    read += len(message.get("body", b""))


def _refuse_header(length: bytes | None, encoding: bytes | None, limit: int) -> NumenError | None:
    if encoding is not None and encoding.lower() != b"identity":
        return UnsupportedMedia("Content-Encoding is not supported; send the body as it is.")
    # Twenty digits are more than enough to be too large, and no feast for int().
    if length is not None and (not length.isdigit() or int(length[:20]) > limit):
        return _too_large(limit)
    return None


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body may have at most {limit} bytes.")


def _counted(receive: Receive, limit: int) -> Receive:
    """The same messages. Errors: `BodyTooLarge`, raised in who reads them."""
    read = 0

    async def count() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > limit:
            raise _too_large(limit)
        return message

    return count


def unreadable_address(scope: Scope) -> MalformedUrl | None:
    """What is wrong with the path or query: a broken encoding, no UTF-8, U+0000, control characters, a hidden slash.

    Servers decode such bytes to U+FFFD or leave them as they are, and the database refuses U+0000 only at the end.
    """
    raw: bytes = scope.get("raw_path") or b""
    query: bytes = scope["query_string"]
    if b"%" not in raw and b"%" not in query and raw.isascii() and query.isascii():
        return None
    if _BROKEN_PERCENT.search(raw) or _BROKEN_PERCENT.search(query):
        return MalformedUrl("A % in the address must be followed by two hexadecimal digits; write a real % as %25.")
    try:
        path = unquote_to_bytes(raw).decode()
        text = unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        return MalformedUrl("The address is not UTF-8 once its percent-encoding is resolved.")
    if _PATH_CONTROL.search(path) or _ENCODED_SLASH.search(raw):
        return MalformedUrl("The path must not contain control characters or an encoded / or \\.")
    if "\0" in text:
        return MalformedUrl("The query must not contain the character U+0000.")
    return None
