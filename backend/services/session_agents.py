"""Which two agents a session is with: those that are named, or the oldest that can do their part."""

from __future__ import annotations

from uuid import UUID

from backend.errors import AgentArchived, AgentInactive, AgentNotFound, FieldError, Invalid
from backend.graphs.compiled_agents import CONVERSATIONAL_TYPES
from backend.models.agent import AgentContract
from backend.stores.database import TenantTransaction


async def interviewer(tx: TenantTransaction, agent_id: UUID | None) -> AgentContract:
    """Who leads the interview: this agent, or the tenant's oldest that does.

    Errors: those of `_agent`; `Invalid` for an agent without `interview`.
    """
    field = "intake_agent_id"
    contract = await _agent(tx, agent_id or await tx.agents.interviewer(CONVERSATIONAL_TYPES), "interview", field)
    if contract.interview is None:
        raise _lacks(contract, "interview", field)
    return contract


async def writer(tx: TenantTransaction, agent_id: UUID | None) -> AgentContract:
    """Who writes: this agent, or the tenant's oldest that does.

    Errors: those of `_agent`; `Invalid` for an agent without `script`.
    """
    field = "therapy_agent_id"
    contract = await _agent(tx, agent_id or await tx.agents.writer(CONVERSATIONAL_TYPES), "script", field)
    if contract.script is None:
        raise _lacks(contract, "script", field)
    return contract


async def _agent(tx: TenantTransaction, agent_id: UUID | None, section: str, field: str) -> AgentContract:
    """Errors: `AgentNotFound`, `AgentArchived`, `AgentInactive`; `Invalid` for an agent that nobody talks to."""
    if agent_id is None:
        raise AgentNotFound(
            f"There is no active agent whose contract has `{section}`: make one, or name one as {field}."
        )
    record = await tx.agents.get(agent_id)
    if record is None:
        raise AgentNotFound("There is no agent with this id.")
    contract = record.contract()
    if contract.metadata.status == "archived":
        raise AgentArchived(f"{contract.name} is archived: name another agent as {field}.")
    if contract.metadata.status == "inactive":
        raise AgentInactive(f"{contract.name} is switched off: set its status to active, or name another agent.")
    if contract.type not in CONVERSATIONAL_TYPES:
        told = FieldError(f"/{field}", f"must be an agent of type {' or '.join(CONVERSATIONAL_TYPES)}")
        raise Invalid(f"{contract.name} is of type {contract.type} and talks to nobody.", [told])
    return contract


def _lacks(contract: AgentContract, section: str, field: str) -> Invalid:
    told = FieldError(f"/{field}", f"names an agent whose contract has no `{section}`")
    return Invalid(f"The contract of {contract.name} has no `{section}`; name an agent that has one.", [told])
