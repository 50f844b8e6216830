"""What a contract may ask of this deployment: refused when it cannot be honoured, warned of when it soon cannot."""

from __future__ import annotations

from collections.abc import Collection

from backend.errors import FieldError, InvalidContract
from backend.models.agent import AgentContract
from backend.models.agent_record import AgentRecord
from backend.services.model_catalog import ModelCatalog

_NOT_RUN = "Agents of type {type} are stored, versioned and mirrored, but this release does not run their steps yet."


class ContractCheck:
    """`providers` are the names that `configuration.llm_provider` may have; `tools` those that may be granted."""

    def __init__(self, catalog: ModelCatalog, providers: Collection[str], tools: Collection[str] = ()) -> None:
        self._catalog = catalog
        self._providers = sorted(providers)
        self._tools = sorted(tools)

    def refuse(self, contract: AgentContract) -> None:
        """Errors: `InvalidContract`, naming what is known, for a provider or tool that is not here."""
        found = [*self._provider_errors(contract), *self._tool_errors(contract)]
        if found:
            raise InvalidContract("The contract asks for what this deployment does not have.", found)

    def warnings(self, record: AgentRecord) -> list[str]:
        """Sentences for the people who keep the agent running."""
        warnings = self._catalog.warnings(record.llm_provider, record.llm_model)
        if record.type in ("workflow", "autonomous"):
            return [*warnings, _NOT_RUN.format(type=record.type)]
        return warnings

    def _provider_errors(self, contract: AgentContract) -> list[FieldError]:
        name = contract.configuration.llm_provider
        if name in self._providers:
            return []
        detail = f"no provider of this name is set up here; known: {', '.join(self._providers)}"
        return [FieldError("/configuration/llm_provider", detail)]

    def _tool_errors(self, contract: AgentContract) -> list[FieldError]:
        granted = contract.capabilities.tools if contract.capabilities else ()
        known = ", ".join(self._tools) or "none"
        return [
            FieldError(f"/capabilities/tools/{at}", f"no tool of this name is available here; known: {known}")
            for at, grant in enumerate(granted)
            if grant.name not in self._tools
        ]
