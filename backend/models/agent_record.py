"""An agent as its row holds it: the contract stays JSON text until somebody needs its fields."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from backend.models.agent import AgentContract


@dataclass(frozen=True, slots=True)
class AgentFilter:
    """Which agents a list holds. Without a status the archived ones stay out."""

    status: str | None = None
    agent_type: str | None = None
    tag: str | None = None
    q: str | None = None


class AgentRecord(NamedTuple):
    """One row of `agents`. Parsing a contract costs more than reading it, so reads pass the text through."""

    id: UUID
    type: str
    version: str
    status: str
    interaction_count: int
    last_interaction_at: datetime | None
    created_at: datetime
    llm_provider: str
    llm_model: str
    contract_json: str

    @classmethod
    def of(cls, contract: AgentContract) -> AgentRecord:
        """The row of an agent that was just made."""
        return cls(
            id=contract.id,
            type=contract.type,
            version=contract.version,
            status=contract.metadata.status,
            interaction_count=0,
            last_interaction_at=None,
            created_at=contract.created_at,
            llm_provider=contract.configuration.llm_provider,
            llm_model=contract.configuration.llm_model,
            contract_json=contract.stored_json(),
        )

    def with_contract(self, contract: AgentContract) -> AgentRecord:
        """The same row after an update."""
        return self._replace(
            type=contract.type,
            version=contract.version,
            status=contract.metadata.status,
            llm_provider=contract.configuration.llm_provider,
            llm_model=contract.configuration.llm_model,
            contract_json=contract.stored_json(),
        )

    def contract(self) -> AgentContract:
        """The contract, validated."""
        return AgentContract.model_validate_json(self.contract_json)
