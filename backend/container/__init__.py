"""The one composition root: opens the database, builds stores → gateways → services, and closes all in good order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from backend.container.memory import MemoryParts, erasing_relay, extracting_relay, memory_jobs, open_memory, warm_up
from backend.container.runs import RunGround, RunParts, build_runs
from backend.container.speech import SpeechParts, build_voice, open_speech
from backend.container.tools import build_toolbox, open_tool_servers
from backend.embedded.data_folder import DataFolderLock
from backend.embedded.postgres import EmbeddedPostgres
from backend.errors import Misconfigured
from backend.gateways.contract_files import DiskContractFiles
from backend.gateways.model_router import ModelRouter
from backend.gateways.offline_model import OfflineModel
from backend.graphs.compiled_agents import load_compiler
from backend.models.tenant import ADMIN_USER_ID, DEFAULT_TENANT_ID, Caller, Role
from backend.services.access_service import AccessService
from backend.services.agent_interaction_service import AgentInteractionService
from backend.services.agent_memory import AgentMemory
from backend.services.agent_service import AgentService
from backend.services.compressed_audio import CompressedAudio
from backend.services.contract_check import ContractCheck
from backend.services.contract_mirror import KIND, ContractMirror
from backend.services.crisis.crisis_gate import CrisisGate
from backend.services.erasure_service import ErasureService
from backend.services.idempotency_service import IdempotencyService
from backend.services.janitor import Janitor
from backend.services.memory_service import MemoryService
from backend.services.model_catalog import ModelCatalog
from backend.services.outbox_relay import OutboxRelay
from backend.services.readiness_service import ReadinessService
from backend.services.receipt_service import ReceiptService
from backend.services.run_registry import RunRegistry
from backend.services.run_service import RunService
from backend.services.schedule_service import ScheduleService
from backend.services.scheduled_runs import KIND as SCHEDULED
from backend.services.scheduled_runs import ScheduledRuns
from backend.services.scheduler import Scheduler
from backend.services.script_writer import ScriptWork
from backend.services.session_audio import SessionAudio
from backend.services.session_service import SessionService
from backend.services.session_turns import SessionTurns
from backend.services.speech_service import SpeechService
from backend.services.task_service import TaskService
from backend.services.thread_manager import ThreadManager
from backend.services.turn_ledger import TurnLedger
from backend.services.uncancelled import done_in_thread
from backend.services.voice.voice_service import VoiceService
from backend.services.webhook_service import WebhookService
from backend.stores.database import Database
from backend.stores.pool import open_pool
from backend.stores.roles import Logins
from backend.stores.schema import bring_up_to_date, create_database
from backend.stores.wall import refuse_gaps
from backend.telemetry import Metrics

if TYPE_CHECKING:
    from backend.gateways.jwt_tokens import JwtTokens
    from backend.ports import Clock, LanguageModel, TokenVerifier, ToolServers
    from backend.settings import Settings

DATABASE_NAME = "numen"
_WORKER_CONNECTIONS = 4
_CANCEL_SECONDS = 3.0


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The current moment, UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Container:
    """Everything that routers may use."""

    settings: Settings
    database: Database
    access: AccessService
    idempotency: IdempotencyService
    agents: AgentService
    threads: ThreadManager
    interactions: AgentInteractionService
    memories: MemoryService
    receipts: ReceiptService
    erasures: ErasureService
    tasks: TaskService
    runs: RunService
    sessions: SessionService
    speech: SpeechService
    voice: VoiceService
    session_audio: SessionAudio
    compression: CompressedAudio
    schedules: ScheduleService
    webhooks: WebhookService
    readiness: ReadinessService
    relay: OutboxRelay
    memory: MemoryParts
    metrics: Metrics


def system_caller() -> Caller:
    """Who acts when the server itself does: the default tenant's admin."""
    return Caller(DEFAULT_TENANT_ID, ADMIN_USER_ID, Role.OWNER, frozenset({"act_as"}))


@asynccontextmanager
async def open_logins(settings: Settings) -> AsyncGenerator[Logins]:
    """Where to connect, and as whom. Embedded, PostgreSQL is started, or joined where it runs; nothing is migrated.

    Errors: `Misconfigured`, `DatabaseUnavailable`.
    """
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        owner = settings.database_owner_url
        yield Logins.derived(url) if owner is None else Logins.derived(owner.get_secret_value(), url)
        return
    async with AsyncExitStack() as stack:
        postgres = EmbeddedPostgres(settings.data_dir.resolve())
        stack.push_async_callback(done_in_thread, postgres.stop)  # also what was begun when we are cancelled
        await done_in_thread(postgres.start)
        await create_database(postgres.dsn("postgres"), DATABASE_NAME)
        yield Logins.derived(postgres.dsn(DATABASE_NAME))


@asynccontextmanager
async def connect(logins: Logins, size: int) -> AsyncGenerator[Database]:
    """The database as it is, its walls checked; `size` is the most connections of the app.

    Errors: `DatabaseUnavailable`, `BrokenWall`.
    """
    async with AsyncExitStack() as stack:
        app = await open_pool(logins.app, size=size, name="numen")
        stack.push_async_callback(app.close)
        worker = await open_pool(logins.worker, size=_WORKER_CONNECTIONS, name="numen worker")
        stack.push_async_callback(worker.close)
        await refuse_gaps(app, worker)
        database = Database(app, worker)
        stack.push_async_callback(database.close)
        yield database


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncGenerator[Database]:
    """The database, brought up to date. Errors: those of `open_logins` and `connect`."""
    async with open_logins(settings) as logins:
        await bring_up_to_date(logins)
        async with connect(logins, settings.database_pool_size) as database:
            yield database


@asynccontextmanager
async def open_agents(settings: Settings, database: Database) -> AsyncGenerator[AgentService]:
    """Agents for a script; a server may run beside it. On the way out their files are brought up to date."""
    async with AsyncExitStack() as stack:
        clock = SystemClock()
        model = build_models(settings, clock)
        stack.push_async_callback(model.close)
        mirror = ContractMirror(database, DiskContractFiles(settings.prompts_dir))
        relay = OutboxRelay(database, {KIND: mirror.deliver}, Metrics())
        stack.push_async_callback(relay.drain, settings.shutdown_seconds)
        servers = open_tool_servers(stack, settings)
        check = ContractCheck(ModelCatalog(settings.llm_model, clock), model.names, servers)
        yield AgentService(database, check, relay, clock)


@asynccontextmanager
async def open_container(settings: Settings, metrics: Metrics) -> AsyncGenerator[Container]:
    """The whole house for as long as a server runs.

    On the way out: no new turns, the running ones are finished or marked, the outbox is emptied, and everything that
    was started is stopped; each step is bounded by `shutdown_seconds`. Errors: those of `open_database`.
    """
    async with AsyncExitStack() as stack:
        if settings.embedded:
            stack.enter_context(DataFolderLock(settings.data_dir.resolve()))
        logins = await stack.enter_async_context(open_logins(settings))
        await bring_up_to_date(logins)
        database = await stack.enter_async_context(connect(logins, settings.database_pool_size))
        grounds = await _grounds(stack, settings, database, metrics)
        memory = grounds.memory
        mirror = ContractMirror(database, DiskContractFiles(settings.prompts_dir))
        relay = OutboxRelay(database, {KIND: mirror.deliver}, metrics)
        extracting = extracting_relay(stack, settings, database, memory, grounds.model, grounds.catalog)
        erasing = erasing_relay(settings, database, memory, logins, grounds.speech.recordings)
        parts = _runs(grounds, extracting)
        scheduled = OutboxRelay(
            database, {SCHEDULED: ScheduledRuns(database, parts.tasks.start_order).deliver}, metrics
        )
        access = _access(settings, database, _tokens(stack, settings, grounds.clock), grounds.clock)
        container = _furnished(grounds, parts, access, relay, erasing)
        jobs = [*memory_jobs(memory, extracting, erasing, scheduled), *grounds.speech.jobs()]
        janitor = Janitor(
            database, container.idempotency, relay, parts.runs, mirror, grounds.catalog, grounds.model, jobs
        )
        scheduler = Scheduler(database, scheduled.wake, metrics)
        await _set_to_work(stack, container, janitor, scheduler, extracting, erasing, scheduled)
        stack.push_async_callback(grounds.registry.close, settings.shutdown_seconds / 2)
        stack.callback(container.voice.close)
        yield container


@dataclass(frozen=True, slots=True)
class _Grounds:
    """What the services stand on."""

    settings: Settings
    database: Database
    clock: Clock
    model: ModelRouter
    catalog: ModelCatalog
    memory: MemoryParts
    speech: SpeechParts
    servers: ToolServers
    registry: RunRegistry
    metrics: Metrics


async def _grounds(stack: AsyncExitStack, settings: Settings, database: Database, metrics: Metrics) -> _Grounds:
    clock = SystemClock()
    model = build_models(settings, clock)
    stack.push_async_callback(model.close)
    memory = await stack.enter_async_context(open_memory(settings, database, clock, metrics))
    return _Grounds(
        settings=settings,
        database=database,
        clock=clock,
        model=model,
        catalog=ModelCatalog(settings.llm_model, clock),
        memory=memory,
        speech=open_speech(stack, settings, database, clock, metrics),
        servers=open_tool_servers(stack, settings),
        registry=RunRegistry(),
        metrics=metrics,
    )


def _furnished(
    grounds: _Grounds, parts: RunParts, access: AccessService, relay: OutboxRelay, erasing: OutboxRelay
) -> Container:
    database, memory, clock = grounds.database, grounds.memory, grounds.clock
    threads, sessions = ThreadManager(database), SessionService(database, parts.interactions, parts.driver)
    check = ContractCheck(grounds.catalog, grounds.model.names, grounds.servers)
    return Container(
        settings=grounds.settings,
        database=database,
        access=access,
        idempotency=IdempotencyService(database),
        agents=AgentService(database, check, relay, clock),
        threads=threads,
        interactions=parts.interactions,
        memories=MemoryService(database, memory.engine),
        receipts=ReceiptService(database, memory.engine),
        erasures=ErasureService(database, access, grounds.registry, erasing.wake),
        tasks=parts.tasks,
        runs=parts.runs,
        sessions=sessions,
        speech=grounds.speech.speech,
        voice=build_voice(grounds.settings, grounds.speech, parts.interactions, threads, sessions, grounds.registry),
        session_audio=grounds.speech.recordings,
        compression=grounds.speech.compression,
        schedules=ScheduleService(database),
        webhooks=WebhookService(database, parts.tasks.start_order, clock),
        readiness=ReadinessService(database, relay, memory.relay, memory.reindex),
        relay=relay,
        memory=memory,
        metrics=grounds.metrics,
    )


async def _set_to_work(
    stack: AsyncExitStack, container: Container, janitor: Janitor, scheduler: Scheduler, *more: OutboxRelay
) -> None:
    """Start what works in the background; on the way out it is stopped, and what is due is delivered."""
    await janitor.take_over(alone=container.settings.embedded)
    database, memory, limit = container.database, container.memory, container.settings.database_pool_size
    container.metrics.watch_pool(lambda: database.sizes()[0], lambda: database.sizes()[1], limit)
    for one in (memory.relay, container.relay):
        stack.push_async_callback(one.drain, container.settings.shutdown_seconds / 8)
    relays = (container.relay, memory.relay, *more)
    working = (*(one.run() for one in relays), janitor.run(), scheduler.run())
    loops = (*working, warm_up(memory), asyncio.to_thread(_load, container.settings))
    for loop in loops:
        stack.push_async_callback(_cancel, asyncio.create_task(loop))


def _load(settings: Settings) -> None:
    """What takes a second to load is there before the first turn needs it."""
    CrisisGate(settings.region).detect("Good morning")
    load_compiler()


def _runs(grounds: _Grounds, extracting: OutboxRelay) -> RunParts:
    settings, memory, engine = grounds.settings, grounds.memory, grounds.memory.engine
    remembering = AgentMemory(engine, extraction=settings.memory_extraction)

    def remembered() -> None:
        memory.relay.wake()
        extracting.wake()

    ground = RunGround(
        database=grounds.database,
        ledger=TurnLedger(grounds.database, settings.llm_total_seconds, on_remembered=remembered),
        registry=grounds.registry,
        catalog=grounds.catalog,
        model=grounds.model,
        memory=remembering,
        gate=CrisisGate(settings.region),
        sessions=SessionTurns(),
        scripts=ScriptWork(grounds.database),
        metrics=grounds.metrics,
        patience_seconds=settings.llm_total_seconds,
    )
    return build_runs(ground, lambda ask: build_toolbox(grounds.servers, engine, remembering, ask))


async def _cancel(task: asyncio.Task[None]) -> None:
    # A cancellation is lost where a connection breaks at that very moment, so it is said until it is heard. The pause
    # is longer than what a relay takes to end its last step.
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_SECONDS)
    with suppress(asyncio.CancelledError):
        await task


def build_models(settings: Settings, clock: Clock) -> ModelRouter:
    """The providers of language models that these settings name; close it after use. Errors: `Misconfigured`."""
    offline = OfflineModel()
    named: dict[str, LanguageModel] = {"offline": offline, "openai": offline}
    if settings.model_provider == "openai" or settings.llm_providers:
        _add_servers(named, settings, clock)
    return ModelRouter(named)


def _add_servers(named: dict[str, LanguageModel], settings: Settings, clock: Clock) -> None:
    from backend.gateways.openai_model import Deadlines, OpenAIModel  # noqa: PLC0415 — the SDK is slow to import

    deadlines = Deadlines(
        connect=settings.llm_connect_seconds,
        first_token=settings.llm_first_token_seconds,
        total=settings.llm_total_seconds,
    )
    if settings.model_provider == "openai":
        key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else ""
        named["openai"] = OpenAIModel(
            provider="openai", base_url=settings.openai_base_url, api_key=key, deadlines=deadlines, clock=clock
        )
    for name, server in settings.llm_providers.items():
        if name in named:
            raise Misconfigured(f"NUMEN_LLM_PROVIDERS cannot name a server {name}: that name has its own settings")
        named[name] = OpenAIModel(
            provider=name,
            base_url=server.base_url,
            api_key=server.api_key.get_secret_value(),
            deadlines=deadlines,
            clock=clock,
            key_setting="NUMEN_LLM_PROVIDERS",
        )


def _tokens(stack: AsyncExitStack, settings: Settings, clock: Clock) -> JwtTokens | None:
    if settings.jwt_secret is None and settings.jwt_jwks_url is None:
        return None
    from backend.gateways.jwt_tokens import JwtTokens  # noqa: PLC0415 — its cryptography is slow to import

    secret = settings.jwt_secret
    tokens = JwtTokens(
        clock=clock,
        secret=secret.get_secret_value() if secret else None,
        jwks_url=settings.jwt_jwks_url,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        tenant_claim=settings.jwt_tenant_claim,
    )
    stack.push_async_callback(tokens.close)
    return tokens


def _access(settings: Settings, database: Database, tokens: TokenVerifier | None, clock: Clock) -> AccessService:
    key = settings.bootstrap_key
    return AccessService(
        database,
        mode=settings.auth_mode,
        bootstrap_key=key.get_secret_value() if key else None,
        token_verifier=tokens,
        allowed_origins=settings.cors_origins,
        clock=clock,
    )
