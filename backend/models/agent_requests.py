"""How agents go in and out of the API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from backend.models.agent import (
    EXAMPLE_CONTRACT,
    EXAMPLE_PARTS,
    AgentContract,
    AgentStatus,
    AgentType,
    ContractParts,
    Metadata,
)
from backend.models.base import FrozenModel, example
from backend.models.capabilities import Capabilities
from backend.models.configuration import Configuration
from backend.models.fields import Line, Tags, Text, Utc
from backend.models.identity import Identity
from backend.models.interview import Interview
from backend.models.memory_settings import MemorySettings
from backend.models.partial import Partial, unsent
from backend.models.script import Script
from backend.models.traits import Traits
from backend.models.voice import VoiceSettings
from backend.models.workflow import Workflow

ChangeSummary = Annotated[str, Text(1000, visible=True)]


class AgentCreateRequest(ContractParts):
    """A new agent. Id, version, owner, tenant and times are the server's."""

    model_config = example(**EXAMPLE_PARTS, tags=["astronomy"])

    tags: Tags = ()

    def to_contract(self, *, agent_id: UUID, tenant_id: UUID, owner_id: UUID, now: datetime) -> AgentContract:
        """The first version of the contract; `now` is timezone-aware."""
        return AgentContract(
            **self.parts(),
            id=agent_id,
            created_at=now,
            updated_at=now,
            metadata=Metadata(tenant_id=tenant_id, owner_id=owner_id, tags=self.tags),
        )


class AgentUpdateRequest(FrozenModel):
    """What to change; everything else stays as it is.

    A section may carry some of its fields; lists are replaced; null takes away an optional section.
    `change_summary` replaces the one that is made from the changed fields.
    """

    model_config = example(traits={"empathy": 90}, change_summary="Warmer answers")

    name: Line = Field(default_factory=unsent)
    type: AgentType = Field(default_factory=unsent)
    identity: Annotated[dict[str, Any], Partial(Identity)] = Field(default_factory=unsent)
    traits: Annotated[dict[str, Any], Partial(Traits)] = Field(default_factory=unsent)
    configuration: Annotated[dict[str, Any], Partial(Configuration)] = Field(default_factory=unsent)
    voice: Annotated[dict[str, Any], Partial(VoiceSettings)] | None = Field(default_factory=unsent)
    memory: Annotated[dict[str, Any], Partial(MemorySettings)] | None = Field(default_factory=unsent)
    capabilities: Annotated[dict[str, Any], Partial(Capabilities)] | None = Field(default_factory=unsent)
    workflow: Annotated[dict[str, Any], Partial(Workflow)] | None = Field(default_factory=unsent)
    interview: Annotated[dict[str, Any], Partial(Interview)] | None = Field(default_factory=unsent)
    script: Annotated[dict[str, Any], Partial(Script)] | None = Field(default_factory=unsent)
    tags: Tags = Field(default_factory=unsent)
    status: AgentStatus = Field(default_factory=unsent)
    change_summary: ChangeSummary | None = Field(default_factory=unsent)

    def changes(self) -> dict[str, Any]:
        """Exactly what was sent, explicit nulls too, for `contract_changes.merge`."""
        sent = self.model_fields_set - {"change_summary"}
        return {name: getattr(self, name) for name in type(self).model_fields if name in sent}


class AgentResponse(AgentContract):
    """An agent as the API shows it. `warnings` are sentences for the people who keep it running."""

    model_config = example(
        **EXAMPLE_CONTRACT,
        status="active",
        interaction_count=12,
        last_interaction_at="2026-11-21T18:30:00Z",
        warnings=[],
    )

    status: AgentStatus
    interaction_count: int = 0
    last_interaction_at: Utc | None = None
    warnings: tuple[str, ...] = ()
