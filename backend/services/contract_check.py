"""What a contract may ask of this deployment: refused when it cannot be honoured, warned of when it soon cannot."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from backend.errors import FieldError, InvalidContract
from backend.models.agent import AgentContract
from backend.models.agent_record import AgentRecord
from backend.models.capabilities import McpServer
from backend.ports import ToolServers
from backend.services.model_catalog import ModelCatalog


class ContractCheck:
    """`providers` are the names that `configuration.llm_provider` may have; `servers` knows which addresses of tools
    may be called from here.
    """

    def __init__(self, catalog: ModelCatalog, providers: Collection[str], servers: ToolServers) -> None:
        self._catalog = catalog
        self._providers = sorted(providers)
        self._servers = servers

    def refuse(self, contract: AgentContract) -> None:
        """Errors: `InvalidContract`, saying what there is, for a provider or tool server that may not be used here."""
        found = [*self._provider_errors(contract), *self._tool_errors(contract)]
        if found:
            raise InvalidContract("The contract asks for what this deployment does not have.", found)

    def warnings(self, record: AgentRecord) -> list[str]:
        """Sentences for the people who keep the agent running."""
        return self._catalog.warnings(record.llm_provider, record.llm_model)

    def _provider_errors(self, contract: AgentContract) -> Iterator[FieldError]:
        name = contract.configuration.llm_provider
        if name not in self._providers:
            detail = f"no provider of this name is set up here; known: {', '.join(self._providers)}"
            yield FieldError("/configuration/llm_provider", detail)

    def _tool_errors(self, contract: AgentContract) -> Iterator[FieldError]:
        granted = contract.capabilities.tools if contract.capabilities else ()
        for at, grant in enumerate(granted):
            reason = self._servers.refusal(grant.url) if isinstance(grant, McpServer) else None
            if reason is not None:
                yield FieldError(f"/capabilities/tools/{at}/url", reason)
