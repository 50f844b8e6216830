"""A small app whose effects are rows, to try on it what every route has in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from fastapi import APIRouter, FastAPI, Response
from pydantic import BaseModel
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from backend.models.tenant import ApiKeyCreate, Caller
from backend.routers import api_keys, me
from backend.routers.dependencies import IfMatch, IfNoneMatch, Member, Operation, Paging
from backend.routers.idempotent_route import IdempotentRoute
from backend.routers.problems import install_problems
from backend.services.access_service import AccessService
from backend.services.idempotency_service import IdempotencyService
from backend.services.identifiers import new_id
from backend.stores.database import Database
from backend.tests.fakes import FrozenClock


class Note(BaseModel):
    text: str


class Shop:
    """A small app whose effects are rows; `before` and `after` the effect it can be made to stop or fail."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.access = AccessService(database, mode="keys", clock=FrozenClock())
        self.operations: list[UUID | None] = []
        self.fails_with: Exception | None = None
        self.made = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.app = FastAPI()
        install_problems(self.app)
        for router in (self._router(), api_keys.router, me.router):
            self.app.include_router(router)
        self._house = SimpleNamespace(access=self.access, idempotency=IdempotencyService(database))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "state": {"container": self._house}}, receive, send)

    async def make(self, caller: Caller, operation: UUID | None) -> UUID:
        """One row, named after the operation: doing it again finds it."""
        self.operations.append(operation)
        note = new_id(operation, "note")
        async with self.database.tenant(caller.tenant_id) as tx:
            await tx.users.insert(note, None, "note")
        self.made.set()
        await self.go_on.wait()
        if self.fails_with is not None:
            raise self.fails_with
        return note

    def _router(self) -> APIRouter:
        router = APIRouter(prefix="/notes", route_class=IdempotentRoute)

        async def make_note(caller: Member, body: Note, response: Response, operation: Operation) -> dict[str, str]:
            note = await self.make(caller, operation)
            response.headers["etag"] = '"1"'
            response.headers["location"] = f"/notes/{note}"
            response.headers["x-other"] = "not kept"
            return {"id": str(note), "text": body.text}

        async def make_silently(caller: Member, operation: Operation) -> None:
            await self.make(caller, operation)

        async def stream_note(caller: Member, operation: Operation) -> Response:
            note = await self.make(caller, operation)

            async def words() -> AsyncIterator[bytes]:
                yield b"data: "
                yield f"{note}\n\n".encode()

            return StreamingResponse(words(), media_type="text/event-stream")

        async def read_notes(caller: Member, paging: Paging, if_none_match: IfNoneMatch) -> dict[str, Any]:
            known = None if if_none_match is None else "7" in if_none_match
            place = paging.place()
            return {"limit": paging.limit, "offset": paging.offset, "cursor": place is not None, "known": known}

        async def delete_notes(caller: Member, if_match: IfMatch) -> dict[str, Any]:
            return {"matches": None if if_match is None else "7" in if_match}

        router.add_api_route("", make_note, methods=["POST"], status_code=201)
        router.add_api_route("/empty", make_silently, methods=["POST"], status_code=204)
        router.add_api_route("/stream", stream_note, methods=["POST"])
        router.add_api_route("", read_notes, methods=["GET"])
        router.add_api_route("", delete_notes, methods=["DELETE"])
        return router


async def headers_of(shop: Shop, caller: Caller, **wanted: Any) -> dict[str, str]:
    made = await shop.access.create_key(caller, ApiKeyCreate(name="a key", **wanted))
    return {"authorization": f"Bearer {made.key}"}
