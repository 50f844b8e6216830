"""Memory, as the composition root puts it together: the index, the embedder, and the relays that work for them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backend.embedded.data_folder import DataFolderLock
from backend.errors import EmbedderUnavailable, Misconfigured
from backend.gateways.cached_embedder import CachedEmbedder
from backend.services.erasure_job import KIND as ERASE
from backend.services.erasure_job import ErasureJob, KeptAudio
from backend.services.janitor import Job
from backend.services.memory.clauses import forget_texts
from backend.services.memory.engine import MemoryEngine
from backend.services.memory.extraction import KIND as EXTRACT
from backend.services.memory.extraction import ExtractionParts, MemoryExtraction
from backend.services.memory.indexing import KIND as INDEX
from backend.services.memory.indexing import MemoryIndexing
from backend.services.memory.reindex import Reindex
from backend.services.outbox_relay import LEASE_SECONDS, OutboxRelay
from backend.stores.postgres_scrubber import PostgresScrubber
from backend.telemetry import get_logger

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from backend.ports import Clock, Embedder, LanguageModel
    from backend.services.model_catalog import ModelCatalog
    from backend.settings import Settings
    from backend.stores.database import Database
    from backend.stores.roles import Logins
    from backend.telemetry import Metrics

INDEXED_AT_ONCE = 64
_log = get_logger(__name__)
_EXTRACTED_AT_ONCE = 4
_ERASURE_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class MemoryParts:
    """What every agent's memory stands on, the relay that keeps the index up to the rows, and who watches over it."""

    engine: MemoryEngine
    embedder: CachedEmbedder
    relay: OutboxRelay
    reindex: Reindex


@asynccontextmanager
async def open_memory(
    settings: Settings, database: Database, clock: Clock, metrics: Metrics, embedder: Embedder | None = None
) -> AsyncGenerator[MemoryParts]:
    """Memory, whose heavy parts open at their first use; with another embedder than the settings', where one is given.

    Errors: `Misconfigured`.
    """
    from backend.gateways.mem0_index import Mem0Index  # noqa: PLC0415 — the client of Qdrant is slow to import

    async with AsyncExitStack() as stack:
        cached = CachedEmbedder(embedder or await _embedder(settings, clock))
        stack.push_async_callback(cached.close)
        index = Mem0Index(_index_client(settings), cached, metrics)
        stack.push_async_callback(index.close)
        reindex = Reindex(database, index, lambda: relay.wake())  # noqa: PLW0108 — it is made below
        indexing = MemoryIndexing(database, index, cached, metrics, reindex.prepare)
        relay = OutboxRelay(database, {INDEX: indexing.deliver}, metrics, batch=INDEXED_AT_ONCE, rest=0)
        engine = MemoryEngine(database, index, cached, clock, metrics, relay.wake)
        yield MemoryParts(engine, cached, relay, reindex)


async def warm_up(memory: MemoryParts) -> None:
    """Load what turns texts into vectors before somebody waits for it."""
    try:
        await memory.embedder.embed(["warm"])
    except EmbedderUnavailable as error:
        _log.error("texts cannot be searched by meaning", reason=error.detail)


def index_folder(settings: Settings) -> Path:
    """Where the search index is, while it is ours."""
    return settings.data_dir.resolve() / "index"


def index_holder(settings: Settings) -> int | None:
    """The pid of the server that has the search index, while it is ours; None when nobody has."""
    if settings.qdrant_url is not None:
        return None
    serving = DataFolderLock(settings.data_dir.resolve()).holder() if settings.embedded else None
    return serving or DataFolderLock(index_folder(settings)).holder()


def _index_client(settings: Settings) -> Callable[[], QdrantClient]:
    """How to open the search index. Errors: `Misconfigured` when another process has it."""
    key = settings.qdrant_api_key
    if settings.qdrant_url is not None:
        from backend.gateways.qdrant_server import qdrant_server  # noqa: PLC0415 — slow to import

        return qdrant_server(settings.qdrant_url, key.get_secret_value() if key else None)
    folder = index_folder(settings)
    holder = DataFolderLock(folder).holder()
    if holder is not None:
        raise Misconfigured(
            f"Process {holder} has the search index in {folder}, which serves one process: set QDRANT_URL to a Qdrant "
            "server for several, or NUMEN_DATA_DIR to another folder."
        )

    def opened() -> QdrantClient:
        from backend.embedded.qdrant import EdgeQdrantClient  # noqa: PLC0415 — the engine is slow to import

        return EdgeQdrantClient(folder)

    return opened


async def _embedder(settings: Settings, clock: Clock) -> Embedder:
    """What turns texts into vectors; the model of this machine is loaded at its first use. Errors: `Misconfigured`."""
    if settings.embedder == "minilm":
        from backend.embedded.minilm import MiniLM  # noqa: PLC0415 — onnx is slow to import

        return MiniLM()
    if settings.embedder == "lexical":
        from backend.gateways.lexical_embedder import LexicalEmbedder  # noqa: PLC0415 — seldom needed

        return LexicalEmbedder()
    from backend.gateways.openai_embedder import OpenAIEmbedder  # noqa: PLC0415 — the SDK is slow to import

    server = settings.embedder_server
    embedder = OpenAIEmbedder(
        base_url=server.base_url,
        api_key=server.api_key.get_secret_value(),
        model=settings.embedder_model,
        clock=clock,
        dimensions=settings.embedder_dimensions,
        connect_seconds=settings.llm_connect_seconds,
    )
    async with AsyncExitStack() as unless_it_is_ready:
        unless_it_is_ready.push_async_callback(embedder.close)
        try:
            await embedder.warm()
        except EmbedderUnavailable as error:
            raise Misconfigured(
                f"How many numbers a vector of {settings.embedder_model} has cannot be asked now ({error.detail}): "
                "set NUMEN_EMBEDDER_DIMENSIONS, or start the server that NUMEN_EMBEDDER_BASE_URL names first."
            ) from error
        unless_it_is_ready.pop_all()
    return embedder


def extracting_relay(
    stack: AsyncExitStack,
    settings: Settings,
    database: Database,
    memory: MemoryParts,
    model: LanguageModel,
    catalog: ModelCatalog,
) -> OutboxRelay:
    """The relay that has facts read out of turns: a model takes its time, so it holds up nothing else."""
    from backend.gateways.mem0_extractor import Mem0Extractor  # noqa: PLC0415 — slow to import

    engine, seconds = memory.engine, settings.llm_total_seconds + 30
    extractor = Mem0Extractor(model, seconds=seconds, threads=_EXTRACTED_AT_ONCE)
    stack.push_async_callback(extractor.close)
    parts = ExtractionParts(extractor, catalog, engine.index, engine.embedder, memory.relay.wake)
    extraction = MemoryExtraction(database, parts, engine.metrics)
    return OutboxRelay(
        database,
        {EXTRACT: extraction.deliver},
        engine.metrics,
        batch=_EXTRACTED_AT_ONCE,
        rest=0,
        lease_seconds=2 * seconds,
    )


def erasing_relay(
    settings: Settings, database: Database, memory: MemoryParts, logins: Logins, audio: KeptAudio
) -> OutboxRelay:
    """The relay that takes people out of whatever is not a row."""
    scrubber = PostgresScrubber(logins.owner) if settings.embedded else None
    engine = memory.engine
    job = ErasureJob(database, engine.index, scrubber, engine.clock, [memory.embedder.forget, forget_texts], audio)
    lease = _ERASURE_SECONDS if scrubber else LEASE_SECONDS
    return OutboxRelay(database, {ERASE: job.deliver}, engine.metrics, lease_seconds=lease)


def memory_jobs(memory: MemoryParts, *relays: OutboxRelay) -> list[Job]:
    """What is to be done for memory now and then; the lag of these relays is measured, too."""
    backlogs = [(0.0, one.backlog) for one in (memory.relay, *relays)]
    return [(0.0, memory.reindex.watch), *backlogs]
