"""TaskService: sets workflow and autonomous agents to work, and tells what their runs did."""

from __future__ import annotations

from uuid import UUID

from backend.errors import AgentHasNoRuns, AgentNotFound, RequestInProgress
from backend.graphs.compiled_agents import WORKING_TYPES
from backend.models.page import Cursor, Page
from backend.models.run import ChatRequest, Run, RunKind, RunRequest, RunStatus
from backend.models.tenant import Caller, Role
from backend.services.identifiers import new_id
from backend.services.run_driver import RunDriver
from backend.services.run_orders import RunOrder
from backend.services.turn_ledger import shown_run, with_calls
from backend.stores.database import Database
from backend.stores.runs import RunNature


class TaskService:
    """Work that is begun by a person, a schedule or an event."""

    def __init__(self, database: Database, driver: RunDriver) -> None:
        self._database = database
        self._driver = driver

    async def start(
        self,
        caller: Caller,
        agent_id: UUID,
        request: RunRequest,
        operation_id: UUID | None = None,
        *,
        trigger: str = "manual",
    ) -> Run:
        """Begin a run; its events tell how it goes on.

        Errors: `AgentNotFound`, `AgentHasNoRuns`, `AgentArchived`, `AgentInactive`, `ShuttingDown`.
        """
        kind = await self._kind(caller, agent_id)
        # What is worked on may be empty, which a message of a person may not.
        message = ChatRequest.model_construct(message=request.input, metadata=request.metadata, thread_id=None)
        nature = RunNature(kind, detail={"trigger": trigger})
        live = await self._driver.start(caller, agent_id, message, operation_id, nature=nature)
        return await self._driver.stored(caller, live.run_id)

    async def start_order(self, order: RunOrder) -> Run:
        """Begin the run that a schedule or an event orders; a repeated order is the same run, failed or not.

        Errors: as above.
        """
        caller = Caller(order.tenant_id, order.user_id, Role.MEMBER)
        run_id = new_id(order.operation_id, "run")
        async with self._database.tenant(caller.tenant_id) as tx:
            known = await shown_run(tx, caller, run_id)
        if known is not None:
            return known
        request = RunRequest.model_construct(input=order.input, metadata=order.metadata)
        try:
            return await self.start(caller, order.agent_id, request, order.operation_id, trigger=order.trigger)
        except RequestInProgress:  # the same order came twice at once
            return await self._driver.stored(caller, run_id)

    async def runs_of(
        self, caller: Caller, agent_id: UUID, status: RunStatus | None, cursor: Cursor | None, limit: int, offset: int
    ) -> Page[Run]:
        """The agent's runs, chats included, newest first. Errors: `AgentNotFound`."""
        async with self._database.tenant(caller.tenant_id) as tx:
            if await tx.agents.get(agent_id) is None:
                raise AgentNotFound("There is no agent with this id.")
            page = await tx.runs.page(agent_id, caller.sees_only, status, cursor, limit, offset)
            return Page([await with_calls(tx, run) for run in page.items], page.total, page.next)

    async def _kind(self, caller: Caller, agent_id: UUID) -> RunKind:
        agent = await self._database.statements(caller.tenant_id).agents.get(agent_id)
        if agent is None:
            raise AgentNotFound("There is no agent with this id.")
        if agent.type == "workflow":
            return "workflow"
        if agent.type == "autonomous":
            return "autonomous"
        raise AgentHasNoRuns(
            f"An agent of type {agent.type} is talked to: POST /agents/{{id}}/chat. The types that are run are "
            f"{' and '.join(WORKING_TYPES)}."
        )
