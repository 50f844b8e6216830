"""Agents over HTTP: `/api/v1/agents`."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from backend.errors import AgentNotFound, PreconditionFailed, VersionNotFound
from backend.models.agent import AgentStatus, AgentType
from backend.models.agent_graph import AgentGraph
from backend.models.agent_record import AgentFilter
from backend.models.agent_requests import AgentCreateRequest, AgentResponse, AgentUpdateRequest
from backend.models.agent_versions import (
    AgentExport,
    AgentVersion,
    AgentVersionSummary,
    DuplicateRequest,
    RollbackRequest,
    VersionDiff,
)
from backend.routers.agent_answers import agent_answer, agents_answer
from backend.routers.dependencies import (
    Admin,
    Agents,
    IfMatch,
    IfNoneMatch,
    Limit,
    Offset,
    Operation,
    PageQuery,
    Viewer,
)
from backend.routers.idempotent_route import IdempotentRoute
from backend.routers.pages import add_page_headers
from backend.routers.problems import PROBLEM_RESPONSES, problem_responses

SemVer = Annotated[str, Path(pattern=r"^\d{1,9}\.\d{1,9}\.\d{1,9}$", examples=["1.0.0"])]

router = APIRouter(prefix="/api/v1/agents", tags=["agents"], route_class=IdempotentRoute, responses=PROBLEM_RESPONSES)
_ABSENT = problem_responses(AgentNotFound)
_CHANGED = problem_responses(AgentNotFound, PreconditionFailed)
_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "You have this version already (If-None-Match)"}}


class AgentQuery(PageQuery):
    """Which agents a list holds."""

    status: AgentStatus | None = None
    agent_type: AgentType | None = None
    tag: str | None = Field(default=None, max_length=64)
    q: str | None = Field(default=None, max_length=200, description="Words in the name or short description.")


@router.post("", status_code=201, response_model=AgentResponse, operation_id="createAgent")
async def create_agent(caller: Admin, agents: Agents, body: AgentCreateRequest, operation: Operation) -> Response:
    """Create an agent from its contract; everything not given has its default."""
    return agent_answer(await agents.create(caller, body, operation), status_code=201)


@router.get("", response_model=list[AgentResponse], operation_id="listAgents")
async def list_agents(
    request: Request,
    caller: Viewer,
    agents: Agents,
    query: Annotated[AgentQuery, Query()],
) -> Response:
    """List agents, newest first. The total is in X-Total-Count, the next page in Link. Archived ones only by status."""
    which = AgentFilter(query.status, query.agent_type, query.tag, query.q)
    page = await agents.list_page(caller, which, query.place(), query.limit, query.offset)
    return add_page_headers(agents_answer(page.items), request, page.total, page.next)


@router.post("/import", status_code=201, response_model=AgentResponse, operation_id="importAgent")
async def import_agent(caller: Admin, agents: Agents, body: AgentExport, operation: Operation) -> Response:
    """Create an agent from an exported file, with its history, under a new id."""
    return agent_answer(await agents.import_file(caller, body, operation), status_code=201)


@router.get("/{agent_id}", response_model=AgentResponse, responses={**_ABSENT, **_UNCHANGED}, operation_id="getAgent")
async def get_agent(caller: Viewer, agents: Agents, agent_id: UUID, if_none_match: IfNoneMatch) -> Response:
    """Read an agent. Its ETag is its version; the counters of its use do not change it."""
    return agent_answer(await agents.get(caller, agent_id), if_none_match=if_none_match)


@router.patch("/{agent_id}", response_model=AgentResponse, responses=_CHANGED, operation_id="updateAgent")
async def update_agent(
    caller: Admin, agents: Agents, agent_id: UUID, body: AgentUpdateRequest, if_match: IfMatch
) -> Response:
    """Merge changes into the contract. A change makes a new version; null clears an optional section."""
    return agent_answer(await agents.update(caller, agent_id, body, if_match))


@router.delete("/{agent_id}", status_code=204, responses=_CHANGED, operation_id="archiveAgent")
async def archive_agent(caller: Admin, agents: Agents, agent_id: UUID, if_match: IfMatch) -> None:
    """Archive an agent: it stays readable, leaves the default list, and no longer chats."""
    await agents.archive(caller, agent_id, if_match)


@router.get("/{agent_id}/graph", response_model=AgentGraph, responses=_ABSENT, operation_id="getAgentGraph")
async def get_agent_graph(caller: Viewer, agents: Agents, agent_id: UUID) -> AgentGraph:
    """See how the agent works: the graph made from its contract, as Mermaid text that editors and GitHub draw."""
    return await agents.graph(caller, agent_id)


@router.get(
    "/{agent_id}/versions",
    response_model=list[AgentVersionSummary],
    responses=_ABSENT,
    operation_id="listAgentVersions",
)
async def list_versions(
    request: Request, response: Response, caller: Viewer, agents: Agents, agent_id: UUID, limit: Limit, offset: Offset
) -> list[AgentVersionSummary]:
    """List an agent's versions, newest first; the number of all is in X-Total-Count."""
    versions, total = await agents.versions(caller, agent_id, limit, offset)
    add_page_headers(response, request, total)
    return versions


@router.get(
    "/{agent_id}/versions/{version}",
    response_model=AgentVersion,
    responses=problem_responses(VersionNotFound),
    operation_id="getAgentVersion",
)
async def get_version(caller: Viewer, agents: Agents, agent_id: UUID, version: SemVer) -> AgentVersion:
    """Read one version with its contract."""
    return await agents.version(caller, agent_id, version)


@router.get(
    "/{agent_id}/versions/{a}/diff/{b}",
    response_model=VersionDiff,
    responses=problem_responses(VersionNotFound),
    operation_id="compareAgentVersions",
)
async def compare_versions(caller: Viewer, agents: Agents, agent_id: UUID, a: SemVer, b: SemVer) -> VersionDiff:
    """Compare two versions field by field, with the prompts they compile to."""
    return await agents.compare(caller, agent_id, a, b)


@router.post(
    "/{agent_id}/rollback",
    response_model=AgentResponse,
    responses=problem_responses(VersionNotFound, PreconditionFailed),
    operation_id="rollbackAgent",
)
async def roll_back_agent(
    caller: Admin, agents: Agents, agent_id: UUID, body: RollbackRequest, operation: Operation, if_match: IfMatch
) -> Response:
    """Make a new version that equals an old one."""
    return agent_answer(await agents.rollback(caller, agent_id, body, operation, if_match))


@router.get("/{agent_id}/export", response_model=AgentExport, responses=_ABSENT, operation_id="exportAgent")
async def export_agent(caller: Admin, agents: Agents, response: Response, agent_id: UUID) -> AgentExport:
    """Export contract and history as one portable file, without anything of the tenant."""
    response.headers["content-disposition"] = f'attachment; filename="{agent_id}.numen.json"'
    return await agents.export(caller, agent_id)


@router.post(
    "/{agent_id}/duplicate",
    status_code=201,
    response_model=AgentResponse,
    responses=_ABSENT,
    operation_id="duplicateAgent",
)
async def duplicate_agent(
    caller: Admin, agents: Agents, agent_id: UUID, operation: Operation, body: DuplicateRequest | None = None
) -> Response:
    """Copy an agent under a new id and name, beginning at version 1.0.0."""
    copy = await agents.duplicate(caller, agent_id, body or DuplicateRequest(), operation)
    return agent_answer(copy, status_code=201)
