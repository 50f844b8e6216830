"""AgentInteractionService: one turn of a conversation, from what a person says to the stored answer."""

from __future__ import annotations

from uuid import UUID

from backend.models.run import ChatReply, ChatRequest, Run
from backend.models.tenant import Caller
from backend.services.hearing import Hearing
from backend.services.live_run import LiveRun
from backend.services.run_driver import RunDriver
from backend.stores.runs import CHAT, RunNature


class AgentInteractionService:
    """Turns belong to the server: whoever asked may go away, the answer is finished and stored all the same."""

    def __init__(self, driver: RunDriver) -> None:
        self._driver = driver

    async def process_interaction(
        self,
        caller: Caller,
        agent_id: UUID,
        request: ChatRequest,
        operation_id: UUID | None = None,
        nature: RunNature = CHAT,
    ) -> ChatReply | Run:
        """One turn, answered in one piece. The user's message is stored before the model is asked.

        A run comes back instead of an answer when it waits until a person has agreed to a tool call.

        Errors: those of `TurnLedger.open`; `ModelError`s, and then the thread holds a failed answer.
        """
        run = await self.start(caller, agent_id, request, operation_id, streaming=False, nature=nature)
        reply = await run.reply()
        return reply if reply is not None else await self._driver.stored(caller, run.run_id)

    async def start(
        self,
        caller: Caller,
        agent_id: UUID,
        request: ChatRequest,
        operation_id: UUID | None = None,
        *,
        streaming: bool = True,
        nature: RunNature = CHAT,
        hearing: Hearing | None = None,
    ) -> LiveRun:
        """Begin a turn and return it while it runs; a repeated request joins or replays its first run.

        With a `hearing` a voice speaks the answer, and it is stored when it is known how much of it was heard.

        Errors: those of `TurnLedger.open`, `ShuttingDown`.
        """
        return await self._driver.start(
            caller, agent_id, request, operation_id, streaming=streaming, nature=nature, hearing=hearing
        )
