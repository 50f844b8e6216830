"""The shapes of everything that goes in and out: pure, frozen Pydantic models."""

from __future__ import annotations

from backend.models.agent import (
    AgentContract,
    AgentStatus,
    AgentType,
    ContractParts,
    Metadata,
    contract_schema,
)
from backend.models.agent_requests import AgentCreateRequest, AgentResponse, AgentUpdateRequest
from backend.models.agent_versions import (
    AgentExport,
    AgentVersion,
    AgentVersionSummary,
    DuplicateRequest,
    FieldChange,
    PortableContract,
    PortableVersion,
    RollbackRequest,
    VersionDiff,
)
from backend.models.base import FrozenModel
from backend.models.capabilities import BuiltinTool, Capabilities, McpServer
from backend.models.configuration import Configuration
from backend.models.identity import Identity
from backend.models.interview import Confirmation, Interview, InterviewField, InterviewOption
from backend.models.memory_settings import MemorySettings
from backend.models.script import Script, ScriptPart
from backend.models.traits import Traits
from backend.models.voice import VoiceSettings
from backend.models.workflow import AgentStep, ConditionStep, PromptStep, RetryPolicy, ToolStep, Workflow

__all__ = [
    "AgentContract",
    "AgentCreateRequest",
    "AgentExport",
    "AgentResponse",
    "AgentStatus",
    "AgentStep",
    "AgentType",
    "AgentUpdateRequest",
    "AgentVersion",
    "AgentVersionSummary",
    "BuiltinTool",
    "Capabilities",
    "ConditionStep",
    "Configuration",
    "Confirmation",
    "ContractParts",
    "DuplicateRequest",
    "FieldChange",
    "FrozenModel",
    "Identity",
    "Interview",
    "InterviewField",
    "InterviewOption",
    "McpServer",
    "MemorySettings",
    "Metadata",
    "PortableContract",
    "PortableVersion",
    "PromptStep",
    "RetryPolicy",
    "RollbackRequest",
    "Script",
    "ScriptPart",
    "ToolStep",
    "Traits",
    "VersionDiff",
    "VoiceSettings",
    "Workflow",
    "contract_schema",
]
