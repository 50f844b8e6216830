"""What agents remember over HTTP: to browse, search, add, correct and forget, and the receipts of answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from backend.errors import (
    AgentNotFound,
    Conflict,
    DatabaseUnavailable,
    EmbedderUnavailable,
    IndexUnavailable,
    Invalid,
    MemoryNotFound,
    MessageNotFound,
    PreconditionFailed,
    ReceiptNotFound,
    ThreadNotFound,
    UserNotFound,
)
from backend.models.memory import (
    Forgotten,
    FoundMemory,
    MemoriesKept,
    Memory,
    MemoryBatch,
    MemoryCreate,
    MemoryFilter,
    MemoryKind,
    MemoryRevision,
    MemoryUpdate,
    RecallReceipt,
)
from backend.models.namespace import MemoryScope
from backend.routers.dependencies import (
    IfMatch,
    IfNoneMatch,
    Member,
    Memories,
    Operation,
    PageQuery,
    Receipts,
    Viewer,
)
from backend.routers.http_errors import ParameterError
from backend.routers.idempotent_route import IdempotentRoute
from backend.routers.pages import add_page_headers
from backend.routers.problems import PROBLEM_RESPONSES, problem_responses

router = APIRouter(prefix="/api/v1", tags=["memories"], route_class=IdempotentRoute, responses=PROBLEM_RESPONSES)
LONGEST_WORDS = 2000
_NO_MEMORY = problem_responses(MemoryNotFound)
_WRITING = problem_responses(AgentNotFound, ThreadNotFound, UserNotFound)
_NO_SEARCH = (DatabaseUnavailable, IndexUnavailable, EmbedderUnavailable)
_SEARCHING = problem_responses(AgentNotFound, *_NO_SEARCH)
_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "You have this revision already (If-None-Match)"}}
_KNOWN: dict[int | str, dict[str, Any]] = {
    200: {"model": Memory, "description": "This was known already: the memory that says so, confirmed"}
}
_WORDS = "Search by meaning and words: best first instead of newest first."
_ABOUT = "What it is about, in your own words."
_AS_OF = Query(description="`now`: with the rank that each memory would have if the same were said today.")


class WhichMemories(BaseModel):
    """What narrows a list or a search down."""

    user_id: UUID | None = Field(default=None, description="Only what is known of this person.")
    thread_id: UUID | None = Field(default=None, description="Only what comes from this thread.")
    kind: MemoryKind | None = None
    scope: MemoryScope | None = None
    superseded: bool = Field(default=False, description="Also what newer knowledge has taken the place of.")

    def filter(self, agent_id: UUID) -> MemoryFilter:
        """The rows that are meant."""
        return MemoryFilter(agent_id, self.user_id, self.thread_id, self.kind, self.scope, self.superseded)


class MemoryQuery(WhichMemories, PageQuery):
    """Which memories a list holds."""

    q: str | None = Field(default=None, max_length=LONGEST_WORDS, description=_WORDS)


class SearchQuery(WhichMemories):
    """What a search looks for, and where."""

    q: str = Field(min_length=1, max_length=LONGEST_WORDS, description=_ABOUT, examples=["Where does she live?"])
    limit: int = Field(default=10, ge=1, le=100, description="At most so many.")


@router.get(
    "/agents/{agent_id}/memories", response_model=list[Memory], responses=_SEARCHING, operation_id="listMemories"
)
async def list_memories(
    request: Request,
    response: Response,
    caller: Viewer,
    memories: Memories,
    agent_id: UUID,
    query: Annotated[MemoryQuery, Query()],
) -> list[Memory]:
    """List what an agent knows of you, newest first (an admin: of everybody, and in general); `q` searches instead."""
    which = query.filter(agent_id)
    if query.q is None or not query.q.strip():
        page = await memories.list_page(caller, which, query.place(), query.limit, query.offset)
        add_page_headers(response, request, page.total, page.next)
        return list(page.items)
    _refuse_cursor(query)
    found = await memories.search(caller, which, query.q)
    add_page_headers(response, request, len(found))
    return [one.memory for one in found[query.offset : query.offset + query.limit]]


@router.get(
    "/agents/{agent_id}/memories/search",
    response_model=list[FoundMemory],
    responses=_SEARCHING,
    operation_id="searchMemories",
)
async def search_memories(
    caller: Viewer, memories: Memories, agent_id: UUID, query: Annotated[SearchQuery, Query()]
) -> list[FoundMemory]:
    """Search what an agent knows by meaning and words, as its turns do, and see why each memory has its place."""
    found = await memories.search(caller, query.filter(agent_id), query.q)
    return found[: query.limit]


@router.post(
    "/agents/{agent_id}/memories",
    status_code=201,
    response_model=Memory,
    responses={**_WRITING, **_KNOWN},
    operation_id="createMemory",
)
async def create_memory(
    caller: Member, memories: Memories, agent_id: UUID, body: MemoryCreate, operation: Operation
) -> Response:
    """Let an agent know something: of a person, of a thread, or (for admins) whoever it talks to.

    What it knows already is not kept twice: the answer is then 200 with that memory, confirmed.
    """
    memory, is_new = await memories.create(caller, agent_id, body, operation)
    return _answer(memory, status_code=201 if is_new else 200)


@router.post(
    "/agents/{agent_id}/memories/batch",
    status_code=201,
    response_model=MemoriesKept,
    responses=_WRITING,
    operation_id="createMemories",
)
async def create_memories(
    caller: Member, memories: Memories, agent_id: UUID, body: MemoryBatch, operation: Operation
) -> MemoriesKept:
    """Let an agent know many things at once: all of them are kept, or none."""
    return await memories.create_all(caller, agent_id, body.memories, operation)


@router.get("/memories/{memory_id}", response_model=Memory, responses=_UNCHANGED | _NO_MEMORY, operation_id="getMemory")
async def get_memory(caller: Viewer, memories: Memories, memory_id: UUID, if_none_match: IfNoneMatch) -> Response:
    """Read a memory. Its ETag is its revision; being used and confirmed does not change it."""
    return _answer(await memories.get(caller, memory_id), if_none_match=if_none_match)


@router.patch(
    "/memories/{memory_id}",
    response_model=Memory,
    responses=problem_responses(MemoryNotFound, Conflict, PreconditionFailed),
    operation_id="updateMemory",
)
async def update_memory(
    caller: Member, memories: Memories, memory_id: UUID, body: MemoryUpdate, if_match: IfMatch
) -> Response:
    """Correct a memory; what it said before stays in its history."""
    return _answer(await memories.update(caller, memory_id, body, if_match))


@router.delete("/memories/{memory_id}", status_code=204, responses=_NO_MEMORY, operation_id="forgetMemory")
async def forget_memory(caller: Member, memories: Memories, memory_id: UUID) -> None:
    """Forget this: its text leaves the memories, their history and the search index, for good."""
    await memories.forget(caller, memory_id)


@router.get(
    "/memories/{memory_id}/history",
    response_model=list[MemoryRevision],
    responses=_NO_MEMORY,
    operation_id="listMemoryRevisions",
)
async def list_memory_revisions(caller: Viewer, memories: Memories, memory_id: UUID) -> list[MemoryRevision]:
    """Read what a memory was before, oldest first. Of a forgotten one the dates remain, and no text."""
    return await memories.history(caller, memory_id)


@router.delete(
    "/threads/{thread_id}/memories",
    response_model=Forgotten,
    responses=problem_responses(ThreadNotFound),
    operation_id="forgetThreadMemories",
)
async def forget_thread_memories(caller: Member, memories: Memories, thread_id: UUID) -> Forgotten:
    """Forget everything that comes from a thread. The thread and its messages stay; deleting it is another request."""
    return Forgotten(forgotten=await memories.forget_thread(caller, thread_id))


@router.get(
    "/messages/{message_id}/recall",
    response_model=RecallReceipt,
    responses=problem_responses(MessageNotFound, ReceiptNotFound, *_NO_SEARCH),
    operation_id="getRecall",
)
async def get_recall(
    caller: Viewer, receipts: Receipts, message_id: UUID, as_of: Annotated[Literal["now"] | None, _AS_OF] = None
) -> RecallReceipt:
    """Read the receipt of an answer: which memories it was given and why, and which it nearly was.

    Texts are those of today; of what was forgotten there are none.
    """
    return await receipts.read(caller, message_id, compare_with_now=as_of is not None)


def _answer(memory: Memory, *, status_code: int = 200, if_none_match: frozenset[str] | None = None) -> Response:
    headers = {"etag": f'"{memory.revision}"'}
    if if_none_match is not None and str(memory.revision) in if_none_match:
        return Response(status_code=304, headers=headers)
    if status_code == 201:
        headers["location"] = f"/api/v1/memories/{memory.id}"
    return Response(memory.model_dump_json(), status_code, headers, "application/json")


def _refuse_cursor(query: MemoryQuery) -> None:
    if query.cursor is not None:
        detail = "does not go with q: what a search finds has ranks; use offset"
        raise Invalid(f"The cursor {detail}.", [ParameterError("", detail, location="query", name="cursor")])
