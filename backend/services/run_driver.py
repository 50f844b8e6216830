"""RunDriver: carries a run from its claim to its stored end, whoever goes away meanwhile; and takes up lost ones."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from backend.errors import DatabaseUnavailable, NumenError, RunStopped
from backend.graphs.compiled_agents import CompiledAgent, GraphCache
from backend.graphs.journal import Paused, UnrecordedJournal
from backend.models.agent import AgentContract
from backend.models.events import Mark
from backend.models.run import ChatReply, ChatRequest, Run, RunKind
from backend.models.tenant import Caller
from backend.ports import LanguageModel, Memory, Toolbox, ToolRequest, ToolSet
from backend.services.desk import Desk, Ended, Work
from backend.services.hearing import Hearing
from backend.services.identifiers import new_id
from backend.services.live_run import LiveRun
from backend.services.model_catalog import ModelCatalog
from backend.services.run_journal import ClaimLost, RunJournal
from backend.services.run_outcomes import failure_of, reply_of, started, stopped
from backend.services.run_registry import RunRegistry
from backend.services.safety_desk import SafetyDesk
from backend.services.thread_turns import ThreadTurns, TurnQueue
from backend.services.turn_ledger import Along, OpenTurn, TurnLedger
from backend.stores.database import Database, TenantTransaction
from backend.stores.runs import CHAT, Outcome, RunNature, StoredRun
from backend.telemetry import Metrics, bind_log_context, get_logger

_KEEP_RECORDED_SECONDS = 0.25  # listeners of a recorded run are told only what is stored
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Equipment:
    """What runs work with. `works`: for each kind of run, how its answer comes to be."""

    graphs: GraphCache
    catalog: ModelCatalog
    model: LanguageModel
    memory: Memory
    toolbox: Toolbox
    safety: SafetyDesk
    works: Mapping[RunKind, Work]


class RunDriver:
    """Runs belong to the server: whoever asked may go away, the work is finished and stored all the same."""

    def __init__(
        self,
        database: Database,
        ledger: TurnLedger,
        runs: RunRegistry,
        turns: ThreadTurns,
        equipment: Equipment,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._runs = runs
        self._turns = turns
        self._use = equipment
        self._metrics = metrics

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
        """Begin a run and return it while it goes on; a repeated request joins or replays its first run.

        With a `hearing` a voice speaks the answer, and it is stored when it is known how much of it was heard.

        Errors: those of `TurnLedger.open`, `ShuttingDown`.
        """
        self._runs.refuse_when_closing()
        if operation_id is not None and (joined := self._joined(caller, operation_id)) is not None:
            return joined
        queue = None if request.thread_id is None else (caller.tenant_id, caller.user_id, request.thread_id)
        if queue is not None:
            await self._turns.take(queue)
        try:
            known = self._use.graphs.get(caller.tenant_id, agent_id)
            version = known.contract.version if known else None
            opened = await self._ledger.open(caller, agent_id, request, operation_id, version, nature)
        except BaseException:
            self._give_back(queue)
            raise
        if isinstance(opened, StoredRun):
            self._give_back(queue)
            return _replayed(caller, opened)
        run = self._live(opened, hearing)
        self._set_off(self._drive(run, opened, known, queue, streaming=streaming))
        return run

    async def resume(self, tenant_id: UUID, run_id: UUID, *, even_leased: bool = False) -> bool:
        """Go on with a recorded run whose server is gone, or that waited for a person; False when there is none."""
        if self._runs.get(run_id) is not None or self._runs.closing:
            return False
        turn = await self._ledger.resume(tenant_id, run_id, even_leased=even_leased)
        if turn is None:
            return False
        run = self._live(turn)
        if turn.before is not None:
            run.take_up(self._use.works[turn.nature.kind].so_far(turn), turn.before.marks)
        _log.info("run taken up", run_id=str(run_id), kind=turn.nature.kind)
        self._set_off(self._drive(run, turn, None, None, streaming=True))
        return True

    async def stored(self, caller: Caller, run_id: UUID) -> Run:
        """The run as it is stored, with the calls that wait for a person. Errors: `RunNotFound`."""
        return await self._ledger.stored(caller, run_id)

    def _joined(self, caller: Caller, operation_id: UUID) -> LiveRun | None:
        run = self._runs.get(new_id(operation_id, "run"))
        return run if run is not None and run.tenant_id == caller.tenant_id else None

    def _give_back(self, queue: TurnQueue | None) -> None:
        if queue is not None:
            self._turns.give_back(queue)

    def _live(self, turn: OpenTurn, hearing: Hearing | None = None) -> LiveRun:
        caller = turn.caller
        run = LiveRun(turn.ids.run_id, caller.tenant_id, caller.user_id, recorded=_recorded(turn), hearing=hearing)
        self._runs.add(run)
        return run

    def _set_off(self, driving: Coroutine[Any, Any, None]) -> None:
        self._runs.keep(asyncio.create_task(driving))

    async def _drive(
        self, run: LiveRun, turn: OpenTurn, known: CompiledAgent | None, queue: TurnQueue | None, *, streaming: bool
    ) -> None:
        bind_log_context(run_id=str(run.run_id))
        pause = _KEEP_RECORDED_SECONDS if _recorded(turn) else self._ledger.keep_seconds
        keepers: list[asyncio.Task[None]] = []
        start_keeping = asyncio.get_running_loop().call_later(  # most turns are over before there is anything to keep
            pause, lambda: keepers.append(asyncio.create_task(self._keep(run, turn, pause)))
        )
        answered = False
        try:
            answered = await self._store(run, turn, await self._answer(run, turn, known, streaming=streaming))
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
            self._give_back(queue)
            if not run.ended:
                run.fail(RunStopped("The server stopped before the answer was finished."))
        if answered:  # before the pause was stored
            await self._go_on(run)

    async def _go_on(self, run: LiveRun) -> None:
        with suppress(DatabaseUnavailable):  # then whoever looks for runs without a server finds it
            await self.resume(run.tenant_id, run.run_id)

    async def _answer(
        self, run: LiveRun, turn: OpenTurn, known: CompiledAgent | None, *, streaming: bool
    ) -> Ended | Literal["waits", "left"]:
        """How the run ended; that a person has to be asked first; or that another server is to go on with it."""
        if turn.before is None:
            run.mark("run.started", started(turn))
        working = asyncio.create_task(self._work(run, turn, known, streaming=streaming))
        run.driven_by(working)
        try:
            return await working
        except Paused:
            return "waits"
        except ClaimLost:
            return "left"
        except asyncio.CancelledError:
            if run.stop_reason is None:
                raise
            return "left" if run.stop_reason == "shutdown" and _recorded(turn) else self._stopped(run, turn)
        except NumenError as error:
            return Ended(failure_of(run, turn, error), error)
        except Exception:  # noqa: BLE001 — the seam of this background task: whatever broke, the turn is stored as failed
            _log.exception("run failed")
            error = NumenError("The turn failed on our side; the error has been logged.")
            return Ended(failure_of(run, turn, error), error, along=self._works_along(turn, error))

    def _stopped(self, run: LiveRun, turn: OpenTurn) -> Ended:
        error = stopped(run.stop_reason)
        return Ended(failure_of(run, turn, error), error, along=self._works_along(turn, error))

    async def _work(self, run: LiveRun, turn: OpenTurn, known: CompiledAgent | None, *, streaming: bool) -> Ended:
        work = self._use.works[turn.nature.kind]
        try:
            agent = self._compiled(turn, known)
            crisis = await self._use.safety.answer(run, turn, agent)
            if crisis is not None:
                return crisis
            return await work.answer(await self._desk(run, turn, agent, streaming=streaming))
        except DatabaseUnavailable:
            if _recorded(turn):
                raise ClaimLost from None  # what is recorded is enough for whoever goes on when it is back
            raise
        except NumenError as error:
            return Ended(failure_of(run, turn, error), error, along=work.failed(turn, error))

    def _works_along(self, turn: OpenTurn, error: NumenError) -> Along | None:
        return self._use.works[turn.nature.kind].failed(turn, error)

    def _compiled(self, turn: OpenTurn, known: CompiledAgent | None) -> CompiledAgent:
        text = turn.begun.contract_json
        if text is None and known is not None:
            return known
        contract = AgentContract.model_validate_json(text or "")
        if turn.before is not None:  # of an older version, perhaps: not what the next turn runs on
            return CompiledAgent(contract)
        return self._use.graphs.add(turn.caller.tenant_id, contract)

    async def _desk(self, run: LiveRun, turn: OpenTurn, agent: CompiledAgent, *, streaming: bool) -> Desk:
        contract, ids = agent.contract, turn.ids
        tools = ToolSet()
        if contract.configuration.tools_enabled:
            request = ToolRequest(
                tenant_id=turn.caller.tenant_id,
                agent_id=ids.agent_id,
                user_id=ids.user_id,
                thread_id=ids.thread_id,
                run_id=ids.run_id,
                contract=contract,
                depth=turn.nature.depth,
            )
            tools = await self._use.toolbox.open(request)
        run.has_steps = _recorded(turn) or bool(tools.tools) or bool(turn.steps)
        return Desk(
            run=run,
            turn=turn,
            agent=agent,
            choice=self._use.catalog.resolve(contract.configuration.llm_provider, contract.configuration.llm_model),
            journal=RunJournal(self._database, run.tenant_id, turn.claimed, turn.steps)
            if run.has_steps
            else UnrecordedJournal(),
            tools=tools,
            model=self._use.model,
            memory=self._use.memory,
            metrics=self._metrics,
            streaming=streaming,
        )

    async def _store(self, run: LiveRun, turn: OpenTurn, ended: Ended | Literal["waits", "left"]) -> bool:
        """Store how it ended, and tell; True when it was to wait for people who have all answered by now."""
        if isinstance(ended, Ended):
            await self._conclude(run, turn, ended)
            return False
        if ended == "waits":
            return await self._pause(run, turn)
        await self._ledger.let_go(turn, run.kept_text, run.marks)
        return False

    async def _pause(self, run: LiveRun, turn: OpenTurn) -> bool:
        calls = await self._ledger.pending_calls(turn)
        for call in calls:
            run.mark("approval.required", call.model_dump(mode="json"))
        run.mark("run.waiting", {"run_id": str(run.run_id), "approvals": [str(call.call_id) for call in calls]})
        status = await self._ledger.pause(turn, run.text, run.marks)
        if status is None:
            run.fail(RunStopped("Another server took this run over while this one was away."))
            return False
        self._metrics.runs_total.labels("waiting").inc()
        run.pause()
        return status == "running"

    async def _conclude(self, run: LiveRun, turn: OpenTurn, ended: Ended) -> None:
        outcome, result = ended.outcome, ended.result
        along = _closing(turn, ended.along) if run.has_steps else ended.along
        if not await self._ledger.finish(turn, outcome, ended.kept, along):
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

    async def _keep(self, run: LiveRun, turn: OpenTurn, pause: float) -> None:
        while True:
            with suppress(DatabaseUnavailable):  # the lease outlives short outages
                marks, text = len(run.marks), run.kept_text
                stop = await self._ledger.keep(turn, text, run.marks[:marks])
                if stop is None or stop:
                    run.stop("cancelled" if stop else "shutdown")
                    return
                run.stored(marks, len(text))
            await asyncio.sleep(pause)


def _recorded(turn: OpenTurn) -> bool:
    """Whether another server may go on with it."""
    return turn.nature.durable or turn.before is not None


def _closing(turn: OpenTurn, along: Along | None) -> Along:
    async def store(tx: TenantTransaction) -> None:
        await tx.run_steps.close(turn.ids.run_id)
        if along is not None:
            await along(tx)

    return store


def _replayed(caller: Caller, stored: StoredRun) -> LiveRun:
    run = LiveRun(stored.run.id, caller.tenant_id, caller.user_id)
    run.text = stored.run.text
    run.marks.extend(stored.marks)
    if stored.run.status == "completed":
        run.succeed(reply_of(stored))
    elif stored.run.status == "waiting":
        run.pause()
    else:
        run.fail(stopped("cancelled"))
    return run
