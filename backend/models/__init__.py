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
from backend.models.base import FrozenModel

__all__ = [
    "AgentContract",
    "AgentStatus",
    "AgentType",
    "ContractParts",
    "FrozenModel",
    "Metadata",
    "contract_schema",
]
