"""`/agents/` is `/agents`, without a redirect: clients drop bodies and headers when they follow one."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class TrailingSlash:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            path: str = scope["path"]
            if len(path) > 1 and path[-1] == "/" and path[-2] != "/":
                scope["path"] = path[:-1]
        await self.app(scope, receive, send)
