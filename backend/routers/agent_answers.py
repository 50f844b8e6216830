"""Agents as answers: the stored JSON goes out as it is, for parsing it to write it again costs more than all else."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from backend.services.agent_service import AgentDocument


def agent_answer(
    agent: AgentDocument, *, status_code: int = 200, if_none_match: frozenset[str] | None = None
) -> Response:
    """One agent with its ETag; 304 when the caller has this version already, Location when it is new."""
    headers = {"etag": f'"{agent.version}"'}
    if if_none_match is not None and agent.version in if_none_match:
        return Response(status_code=304, headers=headers)
    if status_code == 201:
        headers["location"] = f"/api/v1/agents/{agent.id}"
    return Response(agent.body, status_code, headers, "application/json")


def agents_answer(agents: Sequence[AgentDocument]) -> Response:
    """A list of agents."""
    return Response(b"[" + b",".join(one.body for one in agents) + b"]", media_type="application/json")
