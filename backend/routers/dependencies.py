"""What handlers ask for: who is calling, the services, paging and preconditions.

They take `HTTPConnection`, so that WebSockets use the same ones, and are `async def`: FastAPI runs others in threads.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, cast
from uuid import UUID

from fastapi import Depends, Query
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import HTTPConnection, Request

from backend.errors import Forbidden, Invalid
from backend.models.page import Cursor
from backend.models.tenant import Caller, Role
from backend.routers.http_errors import ParameterError
from backend.routers.idempotent_route import IDEMPOTENCY_KEY, claim_operation, header_parameter, idempotency_key
from backend.services.access_service import AccessService, Credentials
from backend.services.agent_interaction_service import AgentInteractionService
from backend.services.agent_service import AgentService
from backend.services.compressed_audio import CompressedAudio
from backend.services.erasure_service import ErasureService
from backend.services.memory_service import MemoryService
from backend.services.receipt_service import ReceiptService
from backend.services.run_service import RunService
from backend.services.schedule_service import ScheduleService
from backend.services.session_audio import SessionAudio
from backend.services.session_service import SessionService
from backend.services.speech_service import SpeechService
from backend.services.task_service import TaskService
from backend.services.thread_manager import ThreadManager
from backend.services.webhook_service import WebhookService
from backend.telemetry import bind_log_context

if TYPE_CHECKING:
    from backend.container import Container

# --- services --------------------------------------------------------------------------------------------


def container(connection: HTTPConnection) -> Container:
    """The house, which the lifespan put into the state of every connection."""
    return connection.scope["state"]["container"]


async def _access(connection: HTTPConnection) -> AccessService:
    return container(connection).access


async def _agents(connection: HTTPConnection) -> AgentService:
    return container(connection).agents


async def _threads(connection: HTTPConnection) -> ThreadManager:
    return container(connection).threads


async def _interactions(connection: HTTPConnection) -> AgentInteractionService:
    return container(connection).interactions


async def _memories(connection: HTTPConnection) -> MemoryService:
    return container(connection).memories


async def _receipts(connection: HTTPConnection) -> ReceiptService:
    return container(connection).receipts


async def _erasures(connection: HTTPConnection) -> ErasureService:
    return container(connection).erasures


async def _tasks(connection: HTTPConnection) -> TaskService:
    return container(connection).tasks


async def _runs(connection: HTTPConnection) -> RunService:
    return container(connection).runs


async def _schedules(connection: HTTPConnection) -> ScheduleService:
    return container(connection).schedules


async def _sessions(connection: HTTPConnection) -> SessionService:
    return container(connection).sessions


async def _webhooks(connection: HTTPConnection) -> WebhookService:
    return container(connection).webhooks


async def _speech(connection: HTTPConnection) -> SpeechService:
    return container(connection).speech


async def _compression(connection: HTTPConnection) -> CompressedAudio:
    return container(connection).compression


async def _session_audio(connection: HTTPConnection) -> SessionAudio:
    return container(connection).session_audio


Access = Annotated[AccessService, Depends(_access)]
Agents = Annotated[AgentService, Depends(_agents)]
Threads = Annotated[ThreadManager, Depends(_threads)]
Interactions = Annotated[AgentInteractionService, Depends(_interactions)]
Memories = Annotated[MemoryService, Depends(_memories)]
Receipts = Annotated[ReceiptService, Depends(_receipts)]
Erasures = Annotated[ErasureService, Depends(_erasures)]
Tasks = Annotated[TaskService, Depends(_tasks)]
Runs = Annotated[RunService, Depends(_runs)]
Schedules = Annotated[ScheduleService, Depends(_schedules)]
Sessions = Annotated[SessionService, Depends(_sessions)]
Webhooks = Annotated[WebhookService, Depends(_webhooks)]
Speech = Annotated[SpeechService, Depends(_speech)]
Compression = Annotated[CompressedAudio, Depends(_compression)]
SessionRecordings = Annotated[SessionAudio, Depends(_session_audio)]

# --- who is calling --------------------------------------------------------------------------------------


async def caller_of(connection: HTTPConnection) -> Caller:
    """Who is calling, asked once a request. Errors: those of `AccessService.authenticate`."""
    state: dict[str, Any] = connection.scope["state"]
    caller = cast("Caller | None", state.get("caller"))
    if caller is None:
        caller = state["caller"] = await container(connection).access.authenticate(credentials_of(connection))
        bind_log_context(tenant_id=str(caller.tenant_id))
    return caller


def credentials_of(connection: HTTPConnection) -> Credentials:
    """What the headers say about who is calling."""
    # One walk over the raw headers. One that came twice is joined, and then is no valid value of its kind.
    found = Credentials()
    for name, value in connection.scope["headers"]:
        attribute = _CREDENTIALS.get(name)
        if attribute is not None:
            # Bytes that are no UTF-8 become lone surrogates, which no valid value has.
            text = value.decode("utf-8", "surrogateescape")
            before = getattr(found, attribute)
            setattr(found, attribute, text if before is None else f"{before}, {text}")
    return found


_CREDENTIALS = {b"authorization": "authorization", b"numen-user": "numen_user", b"host": "host", b"origin": "origin"}


class CallerWith(SecurityBase):
    """A dependency: the caller, who must have at least this role. The OpenAPI document shows it as bearer security."""

    parameters = (
        header_parameter(
            "Numen-User",
            "Your own id of the person you speak for; needs credentials with the scope act_as.",
            "customer-42",
            maxLength=200,
            pattern="^[!-~]+$",
        ),
    )

    def __init__(self, role: Role) -> None:
        self.role = role
        self.scheme_name = "bearer"
        self.model = HTTPBearer(description="An API key (`numen_sk_...`) or a JSON web token.")

    async def __call__(self, connection: HTTPConnection) -> Caller:
        """The caller. Errors: `Forbidden` for a lower role, and those of `caller_of`."""
        return at_least(self.role, await caller_of(connection))


def at_least(role: Role, caller: Caller) -> Caller:
    """The caller. Errors: `Forbidden` for a lower role."""
    if caller.role < role:
        raise Forbidden(f"This needs the role {role.name.lower()}; you are {caller.role.name.lower()}.")
    return caller


Viewer = Annotated[Caller, Depends(CallerWith(Role.VIEWER))]
Member = Annotated[Caller, Depends(CallerWith(Role.MEMBER))]
Admin = Annotated[Caller, Depends(CallerWith(Role.ADMIN))]
Owner = Annotated[Caller, Depends(CallerWith(Role.OWNER))]

# --- requests that may come twice ------------------------------------------------------------------------


class _Operation:
    parameters = (IDEMPOTENCY_KEY,)

    def __init__(self, *, keeps_answer: bool) -> None:
        self._keeps_answer = keeps_answer

    async def __call__(self, request: Request) -> UUID | None:
        if idempotency_key(request) is None:
            return None
        caller = await caller_of(request)
        service = container(request).idempotency
        return await claim_operation(request, service, caller, keeps_answer=self._keeps_answer)


Operation = Annotated[UUID | None, Depends(_Operation(keeps_answer=True))]
"""For every POST, after the caller: the id of what this request does, the same for each repeat of it."""
SecretOperation = Annotated[UUID | None, Depends(_Operation(keeps_answer=False))]
"""The same for a POST whose answer must not be stored: a repeat calls the handler again, which says so."""

# --- paging ----------------------------------------------------------------------------------------------

_LARGEST_OFFSET = 2**31 - 1

Limit = Annotated[
    int,
    Query(default_factory=lambda: 50, ge=1, le=100, description="At most so many.", json_schema_extra={"default": 50}),
]
Offset = Annotated[
    int,
    Query(
        default_factory=lambda: 0,
        ge=0,
        le=_LARGEST_OFFSET,
        description="Leave out the first so many; `cursor` is faster.",
        json_schema_extra={"default": 0},
    ),
]
TextQuery = str | None
"""Text of a query; the edge has already refused what is not UTF-8 and U+0000."""


class PageQuery(BaseModel):
    """Which page of a list: by offset, or by cursor from where the one before ended.

    One model is several times cheaper for FastAPI than the same parameters one by one.
    """

    model_config = ConfigDict(frozen=True)

    limit: int = Field(default=50, ge=1, le=100, description="At most so many.")
    offset: int = Field(default=0, ge=0, le=_LARGEST_OFFSET, description="Leave out the first so many.")
    cursor: str | None = Field(default=None, max_length=200, description="Where to go on, from the Link header.")

    def place(self) -> Cursor | None:
        """Where to go on. Errors: `Invalid` for what is no cursor of ours."""
        if self.cursor is None:
            return None
        try:
            return Cursor.decode(self.cursor)
        except Invalid as error:
            refused = ParameterError("", "is not a cursor of this server", location="query", name="cursor")
            raise Invalid(error.detail, [refused]) from error


Paging = Annotated[PageQuery, Query()]

# --- preconditions ---------------------------------------------------------------------------------------

_TAG = re.compile(r'[ \t]*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?:,|$)')


_LONGEST_TAGS = 2000


class _Everything(frozenset[str]):
    """What `*` stands for."""

    def __contains__(self, _: object) -> bool:
        return True


class _EntityTags:
    """A dependency: the tags of one header, None without it."""

    def __init__(self, header: str, meaning: str, *, weak: bool) -> None:
        self.parameters = (header_parameter(header, meaning, '"1.2.0"', maxLength=_LONGEST_TAGS),)
        self._header = header
        self._name = header.lower().encode()
        self._weak = weak

    async def __call__(self, connection: HTTPConnection) -> frozenset[str] | None:
        """The tags. Errors: `Invalid`."""
        found = [value for name, value in connection.scope["headers"] if name == self._name]
        return _entity_tags(self._header, b", ".join(found).decode("latin-1"), weak=self._weak) if found else None


def _entity_tags(header: str, text: str, *, weak: bool) -> frozenset[str]:
    """The tags in the header; weak ones only where a weak comparison is meant. Errors: `Invalid`."""
    if text.strip() == "*":
        return _Everything()
    tags: set[str] = set()
    at = 0
    while at < len(text) <= _LONGEST_TAGS:
        found = _TAG.match(text, at)
        if found is None:
            break
        if weak or not found[1]:
            tags.add(found[2])
        at = found.end()
    if at < len(text) or not text.strip() or len(text) > _LONGEST_TAGS:
        detail = 'must be * or a list of ETags in quotes, such as "1.2.0"'
        raise Invalid(f"{header} {detail}.", [ParameterError("", detail, location="header", name=header)])
    return frozenset(tags)


IfMatch = Annotated[
    frozenset[str] | None, Depends(_EntityTags("If-Match", "ETags, one of which it must have.", weak=False))
]
"""The versions of which the resource must have one; None when anything goes."""
IfNoneMatch = Annotated[frozenset[str] | None, Depends(_EntityTags("If-None-Match", "ETags that you have.", weak=True))]
"""The versions that the caller has already."""
