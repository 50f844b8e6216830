"""The outermost layer of every request: its id, its log line, its metrics, its security headers, and the last seam.

One layer for all of these, because each layer costs every request. The error seam is here, since what escapes from
the routes must be answered with the request's id and logged once.
"""

from __future__ import annotations

from secrets import token_hex
from time import perf_counter
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from backend.errors import NumenError
from backend.routers.http_errors import RouteNotFound
from backend.routers.problems import problem_response
from backend.telemetry import Metrics, get_logger, start_log_context

_log = get_logger(__name__)
_ID_CHARACTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_LONGEST_ID = 128
CLIENT_LEFT = 499
"""The status that logs and metrics give to a request whose client went away before the answer began."""
_SWITCHED = 101
_GONE = 1006

_SECURITY_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
_NO_STORE = (b"cache-control", b"no-store")


class RequestContext:
    """ASGI middleware, the first of all. Takes the caller's X-Request-ID where it is a sane one, else makes one.

    The id is in `request.state.request_id`, in every log line of the request, in the answer's header and problem.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        start_log_context(request_id=request_id)
        state = scope.setdefault("state", {})
        state["request_id"], state["metrics"] = request_id, self.metrics
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send, request_id)
            return
        started, status = perf_counter(), 0

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_our_headers(message["headers"], request_id)
            await send(message)

        try:
            await self.app(scope, receive, send_named)
        except Exception as error:  # noqa: BLE001 — the seam of requests: whatever escapes is answered and logged here, once
            _log.error("request failed", method=scope["method"], route=route_template(scope), exc_info=error)
            if not status:  # else the answer has begun: returning without its end makes the server close the connection
                problem = NumenError("The error has been logged; quote the request id when you report it.")
                await problem_response(problem, scope)(scope, receive, send_named)
        self._told(scope, status or CLIENT_LEFT, perf_counter() - started)

    async def _socket(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        started = perf_counter()
        answer = _SocketAnswer(scope, receive, send, request_id)
        try:
            await self.app(scope, receive, answer.send)
        except WebSocketDisconnect:
            answer.status = answer.status or CLIENT_LEFT
        except Exception as error:  # noqa: BLE001 — the same seam, for what escapes before a socket is accepted
            _log.error("socket failed", route=route_template(scope), exc_info=error)
            if not answer.status:
                problem = NumenError("The error has been logged; quote the request id when you report it.")
                await answer.refuse(problem)
        seconds, route, status = perf_counter() - started, route_template(scope), answer.status or CLIENT_LEFT
        if status != _SWITCHED:  # conversations have metrics of their own, and last too long for these
            self.metrics.answered("GET", route, status, seconds)
        _log.info("socket", route=route, status=status, closed=answer.closed, ms=round(seconds * 1000, 2))

    def _told(self, scope: Scope, status: int, seconds: float) -> None:
        method, route = scope["method"], route_template(scope)
        self.metrics.answered(method, route, status, seconds)
        _log.info("request", method=method, route=route, status=status, ms=round(seconds * 1000, 2))


class _SocketAnswer:
    """What is sent to a WebSocket's client: with the request's id, and a problem where the handshake is refused."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        self.status = 0
        self.closed: int | None = None
        self._scope, self._receive, self._send = scope, receive, send
        self._request_id = request_id

    async def send(self, message: Message) -> None:
        kind, status = message["type"], self.status
        if kind == "websocket.close":
            if not self.status:  # what the framework does where there is no such socket
                await self.refuse(RouteNotFound("No WebSocket answers at this address."))
                return
            self.closed = message["code"]
        elif kind == "websocket.accept":
            status = _SWITCHED
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self._request_id.encode())]
        elif kind == "websocket.http.response.start":
            status = message["status"]
            message["headers"] = _with_our_headers(message["headers"], self._request_id)
        try:
            await self._send(message)
        except OSError as error:  # so servers say that the client has gone
            raise WebSocketDisconnect(_GONE) from error
        self.status = status

    async def refuse(self, error: NumenError) -> None:
        await problem_response(error, self._scope)(self._scope, self._receive, self.send)


def route_template(scope: Scope) -> str:
    """The path of the route that answered, as it was written (`/api/v1/agents/{agent_id}`), else "unmatched"."""
    # FastAPI puts the route with all its prefixes here; scope["route"] knows only its own router's.
    effective = scope.get("fastapi", _NOTHING).get("effective_route_context")
    path = getattr(scope.get("route") if effective is None else effective, "path_format", None)
    return path or "unmatched"


_NOTHING: dict[str, Any] = {}


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            if 0 < len(value) <= _LONGEST_ID and _ID_CHARACTERS.issuperset(value):
                return value.decode()
            break
    return token_hex(16)


def _with_our_headers(headers: Any, request_id: str) -> list[tuple[bytes, bytes]]:
    named = [*headers, *_SECURITY_HEADERS, (b"x-request-id", request_id.encode())]
    if not any(name == b"cache-control" for name, _ in headers):
        named.append(_NO_STORE)
    return named
