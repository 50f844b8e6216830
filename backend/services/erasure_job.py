"""ErasureJob: what is left of an erasure when the rows are gone. Each step may be taken again, after any crash."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from backend.errors import NumenError, Unavailable
from backend.models.erasure import Certificate, ErasedStore, Scrubbed
from backend.ports import Clock, MemoryIndex
from backend.stores.database import Database
from backend.stores.erasures import SEARCH_INDEX, ErasurePlan
from backend.stores.worker import Delivery
from backend.telemetry import get_logger

KIND = "erasure"
_FILES = "database_files"
_MEMORY = "server_memory"
_AUDIO = "session_audio"
NOT_VERIFIED = (
    "What others wrote about this person, in their own conversations, in agents' contracts or as reasons of their "
    "feedback, names nobody by id and is not found.",
    "Copies that were made of the data folder or the database, and blocks of the disk that files gave back.",
    "What was sent to providers of language models, embeddings and voices, and what the operator keeps of logs.",
)
EXTERNAL_DATABASE = (
    "PostgreSQL is the operator's: deleted rows leave its files with its next VACUUM FULL, its log of writes with its "
    "rotation, and its backups when those expire."
)
OTHER_SERVERS = "Spoken sessions that another server keeps on a disk of its own leave it within some minutes."
_log = get_logger(__name__)


class Scrubber(Protocol):
    """Takes deleted rows out of the database's own files, where they stay long after they were deleted."""

    async def scrub(self, traces: Sequence[bytes]) -> Scrubbed:
        """Write the tables anew and let go of the log of writes, then search every file for the traces.

        Others read and write meanwhile and wait for one table at a time. Errors: `Unavailable`; it may be tried again.
        """
        ...


class KeptAudio(Protocol):
    """What was spoken of sessions, as files on this machine."""

    async def count(self, tenant_id: UUID, sessions: Sequence[UUID]) -> int:
        """How many files there are of these sessions."""
        ...

    async def forget(self, tenant_id: UUID, sessions: Sequence[UUID]) -> None:
        """Remove them, and stop what is being spoken of these sessions."""
        ...


@dataclass(frozen=True, slots=True)
class _Open:
    """An erasure that is worked on."""

    tenant_id: UUID
    id: UUID
    plan: ErasurePlan


class ErasureJob:
    """Delivers the outbox's orders of kind `erasure`.

    `scrubber` is None where the database's files are not ours. `forget` empties the caches of this process in which
    texts are found by themselves; `audio` is what this process keeps of spoken sessions.
    """

    def __init__(
        self,
        database: Database,
        index: MemoryIndex,
        scrubber: Scrubber | None,
        clock: Clock,
        forget: Sequence[Callable[[], None]] = (),
        audio: KeptAudio | None = None,
    ) -> None:
        self._database = database
        self._index = index
        self._scrubber = scrubber
        self._clock = clock
        self._forget = forget
        self._audio = audio

    async def deliver(self, deliveries: Sequence[Delivery]) -> Mapping[int, str]:
        """Bring these erasures to their end; those that could not, each with the reason."""
        failures: dict[int, str] = {}
        ready: dict[int, _Open] = {}
        for one in deliveries:
            erasure = _Open(one.tenant_id, one.subject_id, ErasurePlan.from_payload(one.payload))
            try:
                await self._wait_for_orders(erasure)
                await self._clear_index(erasure)
                await self._clear_audio(erasure)
                ready[one.id] = erasure
            except NumenError as error:
                failures[one.id] = error.detail
        for forget in self._forget if ready else ():
            forget()
        try:
            scrubbed = await self._scrub(ready.values()) if ready else None
        except NumenError as error:
            return failures | dict.fromkeys(ready, error.detail)
        for number, erasure in ready.items():
            try:
                await self._certify(erasure, scrubbed)
            except NumenError as error:
                failures[number] = error.detail
        return failures

    async def _wait_for_orders(self, erasure: _Open) -> None:
        """Somebody may be putting a memory into the index that is gone by now: what comes later must be the removal."""
        if not erasure.plan.orders:
            return
        left = await self._database.statements(erasure.tenant_id).erasures.orders_left(erasure.plan.orders)
        if left:
            raise Unavailable(f"{left} of the orders about this person are still being delivered.")

    async def _clear_index(self, erasure: _Open) -> None:
        _told("index", erasure)
        there = await self._in_index(erasure.plan)
        async with self._database.tenant(erasure.tenant_id) as tx:
            await tx.erasures.note(erasure.id, SEARCH_INDEX, there)
        for namespace in erasure.plan.namespaces:
            await self._index.remove_namespace(namespace)
        await self._index.remove(erasure.plan.ids)

    async def _clear_audio(self, erasure: _Open) -> None:
        if self._audio is None:
            return
        _told("audio", erasure)
        there = await self._audio.count(erasure.tenant_id, erasure.plan.sessions)
        async with self._database.tenant(erasure.tenant_id) as tx:
            await tx.erasures.note(erasure.id, _AUDIO, there)
        await self._audio.forget(erasure.tenant_id, erasure.plan.sessions)

    async def _in_index(self, plan: ErasurePlan) -> int:
        found = len(await self._index.vectors(plan.ids)) if plan.ids else 0
        for namespace in plan.namespaces:
            found += await self._index.count(namespace)
        return found

    async def _scrub(self, erasures: Collection[_Open]) -> Scrubbed | None:
        """The files of index and database, once for all of these."""
        for one in erasures:
            _told("files", one)
        await self._index.compact()
        if self._scrubber is None:
            return None
        scrubbed = await self._scrubber.scrub([trace.bytes for one in erasures for trace in one.plan.traces])
        if scrubbed.still_in:
            _log.warning("files still hold what was erased", files=list(scrubbed.still_in))
        return scrubbed

    async def _certify(self, erasure: _Open, scrubbed: Scrubbed | None) -> None:
        """Search everything once more. Errors: `Unavailable` while anything is found."""
        _told("certificate", erasure)
        after = {SEARCH_INDEX: await self._in_index(erasure.plan), _MEMORY: 0}
        noted: dict[str, int] = {}
        if scrubbed is not None:
            noted[_FILES], after[_FILES] = scrubbed.changed, len(scrubbed.still_in)
        if self._audio is not None:
            after[_AUDIO] = await self._audio.count(erasure.tenant_id, erasure.plan.sessions)
        async with self._database.tenant(erasure.tenant_id) as tx:
            stored = await tx.erasures.get(erasure.id, None)
            if stored is None or stored.erasure.status == "done":
                return
            after |= await tx.erasures.found(stored.erasure.user_id, erasure.plan.threads)
            if left := {store: count for store, count in after.items() if count}:
                raise Unavailable(f"Something of this person is still found: {left}.")
            removed = {**noted, **stored.counts}
            certificate = Certificate(
                stores=[
                    ErasedStore(store=store, removed=removed.get(store, 0), found_after=count)
                    for store, count in sorted(after.items())
                ],
                requested_at=stored.erasure.created_at,
                completed_at=self._clock.now(),
                not_verified=[*NOT_VERIFIED, *((EXTERNAL_DATABASE, OTHER_SERVERS) if scrubbed is None else ())],
            )
            await tx.erasures.finish(erasure.id, certificate)
        _log.info("erasure done", erasure_id=str(erasure.id))


def _told(step: str, erasure: _Open) -> None:
    _log.info("erasure step", step=step, erasure_id=str(erasure.id))
