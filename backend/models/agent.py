"""The agent contract: the one place where an agent's behaviour is defined."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal, Self
from uuid import UUID, uuid4

from pydantic import Field, model_validator

from backend.models.base import FrozenModel, Problem, example, refusal
from backend.models.capabilities import Capabilities, grants
from backend.models.configuration import Configuration
from backend.models.fields import Line, SemanticVersion, Tags, Utc, shown
from backend.models.identity import Identity
from backend.models.interview import Interview
from backend.models.memory_settings import MemorySettings
from backend.models.script import Script
from backend.models.traits import Traits
from backend.models.voice import VoiceSettings
from backend.models.workflow import ToolStep, Workflow

AgentType = Literal["conversational", "voice", "workflow", "autonomous"]
AgentStatus = Literal["active", "inactive", "archived"]
FIRST_VERSION = "1.0.0"
SCHEMA_ID = "urn:numen:schema:agent-contract:1"

EXAMPLE_PARTS: dict[str, Any] = {
    "name": "Stargazer",
    "type": "conversational",
    "identity": {
        "short_description": "A patient guide to the night sky",
        "mission": "help people find and understand what they see above them",
    },
    "traits": {"empathy": 70, "technicality": 35},
    "configuration": {"llm_provider": "openai", "llm_model": "gpt-6-luna", "max_tokens": 500},
}


def _now() -> datetime:
    return datetime.now(UTC)


class ContractParts(FrozenModel):
    """What a person writes of a contract; the rules between its parts hold wherever it appears."""

    name: Line
    type: AgentType = "conversational"
    identity: Identity
    traits: Traits = Traits()
    configuration: Configuration = Configuration()
    voice: VoiceSettings | None = None
    memory: MemorySettings | None = None
    capabilities: Capabilities | None = None
    workflow: Workflow | None = None
    interview: Interview | None = None
    script: Script | None = None

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        problems = list(self._problems())
        if problems:
            raise refusal(type(self), problems)
        return self

    def _problems(self) -> Iterator[Problem]:
        if self.type == "voice" and self.voice is None:
            yield ("voice",), "a voice agent needs a voice section with at least a voice_id"
        elif self.configuration.voice_enabled and self.voice is None:
            yield ("voice",), "voice_enabled is true, so a voice section with at least a voice_id is needed"
        if self.type == "workflow":
            if self.workflow is None:
                yield ("workflow",), "a workflow agent needs a workflow section with at least one step"
            elif not self.workflow.steps:
                yield ("workflow", "steps"), "a workflow agent needs at least one step"
        elif self.workflow is not None:
            if self.type != "autonomous":
                yield ("workflow",), f"only workflow and autonomous agents have a workflow; this one is {self.type}"
            elif self.workflow.steps:
                yield ("workflow", "steps"), "an autonomous agent plans its own steps; only a workflow agent has them"
        if self.workflow is not None:
            yield from self._tool_problems(self.workflow)

    def _tool_problems(self, workflow: Workflow) -> Iterator[Problem]:
        granted = self.capabilities.tools if self.capabilities else ()
        for index, step in enumerate(workflow.steps):
            if not isinstance(step, ToolStep):
                continue
            where = ("workflow", "steps", index, "tool")
            if not self.configuration.tools_enabled:
                yield where, "configuration.tools_enabled is false, so no step can call a tool"
            elif not any(grants(grant, step.tool) for grant in granted):
                named = ", ".join(grant.name if grant.kind == "builtin" else f"{grant.name}__…" for grant in granted)
                yield where, f"capabilities.tools grants no tool {shown(step.tool)}; granted: {named or 'none'}"

    def parts(self) -> dict[str, Any]:
        """The parts as a mapping of name to model, to build another contract model from."""
        return {name: getattr(self, name) for name in ContractParts.model_fields}


class ContractHeader(FrozenModel):
    """What the server writes of a contract."""

    id: UUID = Field(default_factory=uuid4)
    version: SemanticVersion = FIRST_VERSION
    created_at: Utc = Field(default_factory=_now)
    updated_at: Utc = Field(default_factory=_now)


class Metadata(FrozenModel):
    """Whose the agent is (set by the server), its tags and its status."""

    model_config = example(
        tenant_id="550e8400-e29b-41d4-a716-446655440000",
        owner_id="660e8400-e29b-41d4-a716-446655440001",
        tags=["astronomy"],
        status="active",
    )

    tenant_id: UUID
    owner_id: UUID
    tags: Tags = ()
    status: AgentStatus = "active"


EXAMPLE_CONTRACT: dict[str, Any] = {
    "id": "0b9a4b5e-52a2-4c0f-8a55-1d2f6f0f7c11",
    "version": FIRST_VERSION,
    "created_at": "2026-11-01T09:00:00Z",
    "updated_at": "2026-11-01T09:00:00Z",
    **EXAMPLE_PARTS,
    "metadata": {
        "tenant_id": "550e8400-e29b-41d4-a716-446655440000",
        "owner_id": "660e8400-e29b-41d4-a716-446655440001",
        "tags": ["astronomy"],
        "status": "active",
    },
}


class AgentContract(ContractParts, ContractHeader):
    """The whole contract as it is stored, versioned, mirrored and compiled into prompt and graph."""

    model_config = example(**EXAMPLE_CONTRACT)

    metadata: Metadata

    def stored_json(self) -> str:
        """The contract as JSON text, without the sections it does not have."""
        return self.model_dump_json(exclude_none=True)


def contract_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `AgentContract`, with examples."""
    schema = AgentContract.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        **schema,
        "title": "Numen agent contract",
    }
