"""AgentInteractionService: one turn of a conversation, from what a person says to the stored answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from backend.errors import DatabaseUnavailable, NumenError, RunStopped
from backend.graphs.compiled_agents import CompiledAgent, GraphCache
from backend.graphs.state import Turn, TurnState
from backend.models.agent import AgentContract
from backend.models.events import Mark
from backend.models.run import ChatReply, ChatRequest, ReplyMetadata, TokenUsage
from backend.models.tenant import Caller
from backend.ports import Interaction, LanguageModel, Memory, MemoryContext, ModelReply, RecallRequest
from backend.services.conversation_window import Window, window
from backend.services.identifiers import new_id
from backend.services.live_run import LiveRun
from backend.services.model_catalog import ModelCatalog, ModelChoice
from backend.services.run_outcomes import failure_of, receipt_of, reply_of, whole_answer
from backend.services.run_registry import RunRegistry
from backend.services.thread_turns import ThreadTurns
from backend.services.turn_ledger import Kept, OpenTurn, TurnLedger
from backend.stores.runs import Outcome, StoredRun
from backend.telemetry import Metrics, bind_log_context, get_logger

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a turn ended, and what memory keeps of it."""

    outcome: Outcome
    result: ChatReply | NumenError
    kept: Kept | None = None


class AgentInteractionService:
    """Turns belong to the server: whoever asked may go away, the answer is finished and stored all the same."""

    def __init__(
        self,
        ledger: TurnLedger,
        runs: RunRegistry,
        turns: ThreadTurns,
        graphs: GraphCache,
        catalog: ModelCatalog,
        model: LanguageModel,
        memory: Memory,
        metrics: Metrics,
    ) -> None:
        self._ledger = ledger
        self._runs = runs
        self._turns = turns
        self._graphs = graphs
        self._catalog = catalog
        self._model = model
        self._memory = memory
        self._metrics = metrics

    async def process_interaction(
        self, caller: Caller, agent_id: UUID, request: ChatRequest, operation_id: UUID | None = None
    ) -> ChatReply:
        """One turn, answered in one piece. The user's message is stored before the model is asked.

        Errors: those of `TurnLedger.open`; `ModelError`s, and then the thread holds a failed answer.
        """
        run = await self.start(caller, agent_id, request, operation_id, streaming=False)
        return await run.reply()

    async def start(
        self,
        caller: Caller,
        agent_id: UUID,
        request: ChatRequest,
        operation_id: UUID | None = None,
        *,
        streaming: bool = True,
    ) -> LiveRun:
        """Begin a turn and return it while it runs; a repeated request joins or replays its first run.

        Errors: those of `TurnLedger.open`, `ShuttingDown`.
        """
        self._runs.refuse_when_closing()
        if operation_id is not None and (joined := self._joined(caller, operation_id)) is not None:
            return joined
        if request.thread_id is not None:
            await self._turns.take((caller.tenant_id, caller.user_id, request.thread_id))
        try:
            compiled = self._graphs.get(caller.tenant_id, agent_id)
            known_version = compiled.contract.version if compiled else None
            opened = await self._ledger.open(caller, agent_id, request, operation_id, known_version)
        except BaseException:
            self._give_back(caller, request)
            raise
        if isinstance(opened, StoredRun):
            self._give_back(caller, request)
            return _replayed(caller, opened)
        run = LiveRun(opened.ids.run_id, caller.tenant_id, caller.user_id)
        self._runs.add(run)
        self._runs.keep(asyncio.create_task(self._drive(run, opened, request, compiled, streaming=streaming)))
        return run

    def _joined(self, caller: Caller, operation_id: UUID) -> LiveRun | None:
        run = self._runs.get(new_id(operation_id, "run"))
        return run if run is not None and run.tenant_id == caller.tenant_id else None

    def _give_back(self, caller: Caller, request: ChatRequest) -> None:
        if request.thread_id is not None:
            self._turns.give_back((caller.tenant_id, caller.user_id, request.thread_id))

    async def _drive(
        self, run: LiveRun, turn: OpenTurn, request: ChatRequest, known: CompiledAgent | None, *, streaming: bool
    ) -> None:
        bind_log_context(run_id=str(run.run_id))
        keepers: list[asyncio.Task[None]] = []
        start_keeping = asyncio.get_running_loop().call_later(  # most turns are over before there is anything to keep
            self._ledger.keep_seconds, lambda: keepers.append(asyncio.create_task(self._keep(run, turn)))
        )
        try:
            await self._conclude(run, turn, await self._answer(run, turn, known, streaming=streaming))
        except NumenError as error:
            _log.error("run could not be stored", code=error.code)
            run.fail(error)
        except Exception:  # noqa: BLE001 — the outer seam of this task: the answer could not be stored, whatever broke
            _log.exception("run could not be stored")
            run.fail(NumenError("The answer could not be stored; the error has been logged."))
        finally:
            start_keeping.cancel()
            for keeper in keepers:
                keeper.cancel()
            self._runs.remove(run)
            self._give_back(turn.caller, request)
            if not run.ended:
                run.fail(RunStopped("The server stopped before the answer was finished."))

    async def _answer(self, run: LiveRun, turn: OpenTurn, known: CompiledAgent | None, *, streaming: bool) -> Ended:
        run.mark("run.started", _started(turn))
        try:
            compiled = self._compiled(turn, known)
            spoken = _window(compiled, turn)
            choice = self._catalog.resolve(
                compiled.contract.configuration.llm_provider, compiled.contract.configuration.llm_model
            )
            asking = asyncio.create_task(self._ask(run, turn, compiled, spoken, choice, streaming=streaming))
            run.driven_by(asking)
            return self._succeeded(run, turn, compiled, spoken, choice, await asking)
        except asyncio.CancelledError:
            if run.stop_reason is None:
                raise
            return self._failed(run, turn, _stopped(run.stop_reason))
        except NumenError as error:
            return self._failed(run, turn, error)
        except Exception:  # noqa: BLE001 — the seam of this background task: whatever broke, the turn is stored as failed
            _log.exception("run failed")
            return self._failed(run, turn, NumenError("The turn failed on our side; the error has been logged."))

    def _compiled(self, turn: OpenTurn, known: CompiledAgent | None) -> CompiledAgent:
        text = turn.begun.contract_json
        if text is None and known is not None:
            return known
        return self._graphs.add(turn.caller.tenant_id, AgentContract.model_validate_json(text or ""))

    async def _ask(
        self,
        run: LiveRun,
        turn: OpenTurn,
        compiled: CompiledAgent,
        spoken: Window,
        choice: ModelChoice,
        *,
        streaming: bool,
    ) -> TurnState:
        recall = RecallRequest(
            tenant_id=turn.caller.tenant_id,
            agent_id=turn.ids.agent_id,
            user_id=turn.ids.user_id,
            thread_id=turn.ids.thread_id,
            contract=compiled.contract,
            query=turn.message,
            recent_messages=spoken.messages,
        )
        provider = compiled.contract.configuration.llm_provider

        def write(text: str) -> None:
            if not run.text:
                self._metrics.model_first_token_seconds.labels(provider).observe(turn.elapsed_ms() / 1000)
            run.write(text)

        return await compiled.run(
            Turn(
                contract=compiled.contract,
                prompt=compiled.prompt,
                model_name=choice.used,
                history=spoken.messages,
                summary=spoken.summary,
                recall=recall,
                model=self._model,
                memory=self._memory,
                on_event=run.mark,
                on_text=write if streaming else None,
            )
        )

    def _succeeded(
        self,
        run: LiveRun,
        turn: OpenTurn,
        compiled: CompiledAgent,
        spoken: Window,
        choice: ModelChoice,
        state: TurnState,
    ) -> Ended:
        answer = state["reply"]  # type: ignore[typeddict-item]
        found = state.get("memory", MemoryContext())
        metadata = ReplyMetadata(
            memory_confidence=found.confidence_score,
            message_count=turn.begun.count_after,
            model=answer.model,
            model_asked=None if answer.offline or choice.asked == choice.used else choice.asked,
            provider=answer.provider,
            offline=answer.offline,
            usage=TokenUsage(input_tokens=answer.usage.input_tokens, output_tokens=answer.usage.output_tokens),
            latency_ms=turn.elapsed_ms(),
            memory=found.state,
            finish_reason=answer.finish_reason,
            left_out=list(answer.left_out),
            run_id=turn.ids.run_id,
            agent_version=turn.begun.version,
        )
        outcome, reply = whole_answer(run, turn, answer.text, metadata, spoken)
        return Ended(outcome, reply, self._kept(turn, compiled.contract, answer, found))

    def _kept(self, turn: OpenTurn, contract: AgentContract, answer: ModelReply, found: MemoryContext) -> Kept | None:
        if found.state == "off":
            return None
        interaction = Interaction(
            tenant_id=turn.caller.tenant_id,
            agent_id=turn.ids.agent_id,
            user_id=turn.ids.user_id,
            thread_id=turn.ids.thread_id,
            contract=contract,
            user_message_id=turn.ids.user_message_id,
            assistant_message_id=turn.ids.assistant_message_id,
            position=turn.begun.position,
            message=turn.message,
            answer=answer.text,
            offline=answer.offline,
        )
        return Kept(receipt_of(turn, found), self._memory.harvest(interaction))

    def _failed(self, run: LiveRun, turn: OpenTurn, error: NumenError) -> Ended:
        return Ended(failure_of(run, turn, error), error)

    async def _conclude(self, run: LiveRun, turn: OpenTurn, ended: Ended) -> None:
        outcome, result = ended.outcome, ended.result
        if not await self._ledger.finish(turn, outcome, ended.kept):
            result = RunStopped("Another server took this turn over while this one was away.")
            outcome = failure_of(run, turn, result)
        last: Mark = outcome.marks[-1]
        if isinstance(result, ChatReply):
            run.text = result.response
            run.marks.append(last)
            run.succeed(result)
        else:
            run.marks.append(last)
            run.fail(result)
        self._count(outcome, result)

    def _count(self, outcome: Outcome, result: ChatReply | NumenError) -> None:
        self._metrics.runs_total.labels(outcome.run_status).inc()
        if isinstance(result, ChatReply):
            provider, usage = result.metadata.provider, result.metadata.usage
            self._metrics.model_calls_total.labels(provider, "ok").inc()
            self._metrics.tokens_total.labels(provider, "input").inc(usage.input_tokens)
            self._metrics.tokens_total.labels(provider, "output").inc(usage.output_tokens)
        else:
            self._metrics.model_calls_total.labels(result.context.get("provider", "none"), result.code).inc()

    async def _keep(self, run: LiveRun, turn: OpenTurn) -> None:
        while True:
            with suppress(DatabaseUnavailable):  # the lease outlives short outages
                stop = await self._ledger.keep(turn, run.text, run.marks)
                if stop is None or stop:
                    run.stop("cancelled" if stop else "shutdown")
                    return
            await asyncio.sleep(self._ledger.keep_seconds)


def _window(compiled: CompiledAgent, turn: OpenTurn) -> Window:
    begun = turn.begun
    return window(
        begun.history,
        turn.message,
        size=compiled.contract.configuration.thread_window,
        summary=begun.summary,
        summarized_through=begun.summarized_through,
    )


def _started(turn: OpenTurn) -> dict[str, Any]:
    ids = turn.ids
    named = {"run_id": ids.run_id, "thread_id": ids.thread_id, "agent_id": ids.agent_id}
    return {name: str(value) for name, value in named.items()} | {"message_id": str(ids.user_message_id)}


def _stopped(reason: str) -> RunStopped:
    if reason == "cancelled":
        return RunStopped("The run was cancelled; what had been said is kept.")
    return RunStopped("The server was stopped in the middle of the answer; what had been said is kept.", retry_after=2)


def _replayed(caller: Caller, stored: StoredRun) -> LiveRun:
    run = LiveRun(stored.run.id, caller.tenant_id, caller.user_id)
    run.text = stored.run.text
    run.marks.extend(stored.marks)
    if stored.run.status == "completed":
        run.succeed(reply_of(stored))
    else:
        run.fail(_stopped("cancelled"))
    return run
