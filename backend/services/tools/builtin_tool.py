"""What a tool that the platform brings along is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID

from backend.ports import ToolOutcome, ToolRequest, ToolSpec


class BuiltinTool(Protocol):
    """A tool, granted by the name in its `spec`. A call that is repeated with its key has its effect once."""

    @property
    def spec(self) -> ToolSpec:
        """What a model is told of it."""
        ...

    async def call(self, request: ToolRequest, arguments: Mapping[str, Any], key: UUID) -> ToolOutcome:
        """Do it for this run. The arguments fit `spec.parameters`."""
        ...
