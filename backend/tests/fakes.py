"""Small real implementations of the ports."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID, uuid4

import numpy as np

from backend.errors import EmbedderUnavailable, IndexUnavailable, Unauthenticated
from backend.models.memory import ScoreParts
from backend.models.namespace import Namespace
from backend.models.run import CrisisKind
from backend.models.tenant import RoleName
from backend.ports import (
    ContractFiles,
    GrantedTool,
    Harvest,
    IndexHit,
    IndexPoint,
    IndexQuery,
    Interaction,
    MemoryContext,
    ModelReply,
    ModelRequest,
    RecalledMemory,
    RecallRequest,
    TextDelta,
    TokenClaims,
    ToolCall,
    ToolRequest,
    ToolSet,
    Usage,
    Vector,
)
from backend.stores.database import inside_transaction


class FrozenClock:
    """A `Clock` that stands still until it is moved."""

    def __init__(self, moment: datetime = datetime(2026, 11, 2, 12, tzinfo=UTC)) -> None:
        self._moment = moment

    def now(self) -> datetime:
        """The moment that was set."""
        return self._moment

    def advance(self, **duration: float) -> None:
        """Move on by so much, as in `advance(seconds=3)`."""
        self._moment += timedelta(**duration)


class FixedTokens:
    """A `TokenVerifier` that knows the tokens it was told of."""

    def __init__(self, clock: FrozenClock, lifetime: timedelta = timedelta(hours=1)) -> None:
        self._expires_at = clock.now() + lifetime
        self._known: dict[str, TokenClaims] = {}

    def know(self, token: str, tenant_id: UUID, subject: str, role: RoleName) -> None:
        """From now on this token is valid."""
        self._known[token] = TokenClaims(subject, tenant_id, role, self._expires_at)

    async def verify(self, token: str) -> TokenClaims:
        """The claims that were told of. Errors: `Unauthenticated`."""
        if token not in self._known:
            raise Unauthenticated("no such token")
        return self._known[token]


Step = Callable[[ModelRequest], AsyncGenerator[str | ToolCall]]
"""What a scripted model does when it is called: the pieces it yields are its answer, and the tools it calls."""


def says(*pieces: str) -> Step:
    """Answer in these pieces."""

    async def step(request: ModelRequest) -> AsyncGenerator[str | ToolCall]:
        for piece in pieces:
            yield piece

    return step


def calls(*wanted: ToolCall, text: str = "") -> Step:
    """Say so much, and call these tools."""

    async def step(request: ModelRequest) -> AsyncGenerator[str | ToolCall]:
        if text:
            yield text
        for call in wanted:
            yield call

    return step


def fails(error: Exception, *pieces: str) -> Step:
    """Say so much, then raise."""

    async def step(request: ModelRequest) -> AsyncGenerator[str | ToolCall]:
        for piece in pieces:
            yield piece
        raise error

    return step


def waits(until: asyncio.Event, before: str = "", after: str = "") -> Step:
    """Say `before`, wait until the event is set, say `after`. An event that is never set is a model that hangs."""

    async def step(request: ModelRequest) -> AsyncGenerator[str | ToolCall]:
        if before:
            yield before
        await until.wait()
        if after:
            yield after

    return step


class ScriptedModel:
    """A `LanguageModel` that does one step of its script at each call, then answers on its own.

    Every call fails when its task holds a transaction: a model must never be waited for inside one.
    """

    def __init__(self, *script: Step) -> None:
        self.requests: list[ModelRequest] = []
        self.at_once = 0
        self.most_at_once = 0
        self._script = deque(script)

    def then(self, *steps: Step) -> None:
        """Do this at the next calls."""
        self._script.extend(steps)

    async def complete(self, request: ModelRequest) -> ModelReply:
        """The whole answer of one step."""
        return self._reply(request, [piece async for piece in self._answer(request)])

    async def stream(self, request: ModelRequest) -> AsyncGenerator[TextDelta | ModelReply]:
        """The answer of one step, piece by piece."""
        pieces: list[str | ToolCall] = []
        async for piece in self._answer(request):
            pieces.append(piece)
            if isinstance(piece, str):
                yield TextDelta(piece)
        yield self._reply(request, pieces)

    async def retirements(self) -> dict[str, str | None]:
        """Lists nothing."""
        return {}

    async def close(self) -> None:
        """Holds nothing."""

    async def _answer(self, request: ModelRequest) -> AsyncGenerator[str | ToolCall]:
        assert not inside_transaction(), "a model was called inside a transaction"
        self.requests.append(request)
        step = self._script.popleft() if self._script else says(f"Answer {len(self.requests)}")
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            async for piece in step(request):
                yield piece
        finally:
            self.at_once -= 1

    @staticmethod
    def _reply(request: ModelRequest, pieces: Sequence[str | ToolCall]) -> ModelReply:
        text = "".join(piece for piece in pieces if isinstance(piece, str))
        wanted = tuple(piece for piece in pieces if isinstance(piece, ToolCall))
        usage = Usage(len(request.messages), len(text))
        return ModelReply(text, request.provider, request.model, usage, wanted, "tool_calls" if wanted else "stop")


class FixedMemory:
    """A `Memory` that always knows the same, and keeps what it is told to."""

    def __init__(
        self,
        *texts: str,
        state: Literal["ok", "degraded"] = "ok",
        keeps: Callable[[Interaction], Harvest] = lambda _: Harvest(),
    ) -> None:
        self.asked: list[RecallRequest] = []
        self.ended: list[Interaction] = []
        self._keeps = keeps
        parts = ScoreParts(score=0.5, relevance=0.5, semantic=1.0, recency=1.0, reinforcement=0.0)
        self.known = [RecalledMemory(uuid4(), text, "user", parts) for text in texts]
        self._found = MemoryContext(self.known, confidence_score=0.5, state=state)

    async def recall(self, request: RecallRequest) -> MemoryContext:
        """What it was told of."""
        assert not inside_transaction(), "memory was asked inside a transaction"
        self.asked.append(request)
        return self._found

    def harvest(self, interaction: Interaction) -> Harvest:
        """What it was told to keep."""
        self.ended.append(interaction)
        return self._keeps(interaction)


class FakeIndex:
    """A `MemoryIndex` in a dict: likeness is the dot product, the word score counts shared words. While `away`, it is
    unavailable; while `hangs` is set, a search waits.
    """

    def __init__(self) -> None:
        self.points: dict[UUID, IndexPoint] = {}
        self.searched: list[IndexQuery] = []
        self.away = False
        self.hangs = False

    async def prepare(self) -> bool:
        """It is always there."""
        self._reach()
        return False

    async def search(self, query: IndexQuery) -> Sequence[IndexHit]:
        """Everything that is near or shares a word, the best `limit` of each."""
        self._reach()
        self.searched.append(query)
        if self.hangs:
            await asyncio.Event().wait()
        inside = [point for point in self.points.values() if point.namespace in query.namespaces]
        hits = [
            IndexHit(
                point.id,
                point.namespace,
                float(point.vector @ query.vector),
                _shared(point, query),
                point.vector if query.with_vectors else np.empty(0, np.float32),
            )
            for point in inside
        ]
        near = sorted(hits, key=lambda hit: -hit.likeness)[: query.limit]
        wordy = sorted((hit for hit in hits if hit.word_score), key=lambda hit: -hit.word_score)[: query.limit]
        return list({hit.id: hit for hit in [*near, *wordy]}.values())

    async def vectors(self, ids: Sequence[UUID]) -> Mapping[UUID, Vector]:
        """Those that are there."""
        self._reach()
        return {one: self.points[one].vector for one in ids if one in self.points}

    async def put(self, points: Sequence[IndexPoint]) -> None:
        """Insert or replace."""
        self._reach()
        self.points.update({point.id: point for point in points})

    async def remove(self, ids: Sequence[UUID]) -> None:
        """Take out."""
        self._reach()
        for one in ids:
            self.points.pop(one, None)

    async def remove_namespace(self, namespace: Namespace) -> None:
        """Take out all of it."""
        await self.remove([point.id for point in self.points.values() if point.namespace == namespace])

    async def count(self, namespace: Namespace | None = None) -> int:
        """How many there are."""
        self._reach()
        return sum(namespace in {None, point.namespace} for point in self.points.values())

    async def ids(self) -> AsyncGenerator[Sequence[UUID]]:
        """All in one page."""
        self._reach()
        yield list(self.points)

    async def drop_others(self) -> int:
        """There are none."""
        return 0

    async def compact(self) -> None:
        """Nothing is left of what was removed."""
        self._reach()

    async def close(self) -> None:
        """Holds nothing."""

    def _reach(self) -> None:
        assert not inside_transaction(), "the index was asked inside a transaction"
        if self.away:
            raise IndexUnavailable("the index is away")


def _shared(point: IndexPoint, query: IndexQuery) -> float:
    return float(len(set(re.findall(r"\w+", point.words.lower())) & set(re.findall(r"\w+", query.words.lower()))))


class HashEmbedder:
    """An `Embedder` by words: texts that share words are alike, whatever they mean. While `away`, it is unavailable."""

    def __init__(self, name: str = "hash", dimensions: int = 64) -> None:
        self.name = name
        self.dimensions = dimensions
        self.away = False
        self.embedded: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Vector:
        """One row per text; a text without words gets the vector of the empty word."""
        if self.away:
            raise EmbedderUnavailable("the embedder is away")
        self.embedded.extend(texts)
        rows = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()) or [""]:
                digest = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest())
                row[digest % self.dimensions] += 1 if digest >> 63 else -1
            if not row.any():
                row[0] = 1.0  # words that cancelled each other out
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    async def close(self) -> None:
        """Holds nothing."""


class FullDisk:
    """`ContractFiles` over others, on a disk that is full while `full` is set."""

    def __init__(self, files: ContractFiles) -> None:
        self.full = False
        self._files = files

    def write(self, agent_id: UUID, files: Mapping[str, bytes]) -> bool:
        """Refused while the disk is full."""
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._files.write(agent_id, files)

    def remove(self, agent_id: UUID) -> None:
        """Removing needs no room."""
        self._files.remove(agent_id)

    def agents(self) -> list[UUID]:
        """The agents that have a folder."""
        return self._files.agents()

    def sweep(self) -> None:
        """Sweeping needs no room."""
        self._files.sweep()


class KeywordGate:
    """A gate that takes one word for a crisis."""

    def __init__(self, word: str = "CRISIS") -> None:
        self._word = word

    def detect(self, text: str) -> CrisisKind | None:
        """By the word."""
        return "suicide" if self._word in text else None

    def reply(self, kind: CrisisKind) -> str:
        """Says the kind."""
        return f"Help is there ({kind})."


class FixedTools:
    """A `Toolbox` that opens these tools for whoever may use any, and remembers for whom."""

    def __init__(self, *tools: GrantedTool, away: Sequence[str] = ()) -> None:
        self._set = ToolSet({tool.spec.name: tool for tool in tools}, away)
        self.requests: list[ToolRequest] = []

    async def open(self, request: ToolRequest) -> ToolSet:
        """The tools."""
        self.requests.append(request)
        return self._set
