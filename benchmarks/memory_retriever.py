"""How well memory finds what was said: recall of the turns that answer questions about long conversations.

    make bench-memory DATA=conversations.json SPLIT=ids.txt

`factory(embedder)` makes the retriever for other harnesses: `index(conversation)`, then `search(query, k)` → turn ids.
Everything goes through `UnifiedMemoryManager` on the embedded database and index, a namespace for each conversation.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from statistics import median, quantiles
from typing import Protocol
from uuid import UUID, uuid4, uuid5

import numpy as np
from numpy.typing import NDArray

from backend.models.memory import NewMemory
from backend.models.memory_settings import MemorySettings
from backend.models.namespace import Namespace
from backend.models.tenant import DEFAULT_TENANT_ID
from backend.ports import Vector
from benchmarks.conversations import CUTS, DEPTH, Conversation, Question, Turn, average, load, scores
from benchmarks.memory_house import MemoryHouse

MEASURES = (*(f"recall@{k}" for k in CUTS), "MRR")
RELEVANCE_ALONE = MemorySettings(alpha_recency=0, alpha_semantic=1, alpha_reinforcement=0)


class Encoder(Protocol):
    """What a harness brings as its embedder: rows of unit length."""

    name: str

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """One row per text."""
        ...


class EncoderEmbedder:
    """A harness's embedder behind the house's port."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._alone = asyncio.Lock()  # nobody promised that two threads may use it at once
        self.dimensions = int(encoder.encode(["dimensions"]).shape[1])
        self.name = f"bench-{re.sub(r'[^a-z0-9-]', '-', encoder.name.lower())}-{self.dimensions}"

    async def embed(self, texts: Sequence[str]) -> Vector:
        """See the port."""
        async with self._alone:
            return np.asarray(await asyncio.to_thread(self._encoder.encode, list(texts)), dtype=np.float32)

    async def close(self) -> None:
        """Nothing is held."""


class MemoryRetriever:
    """Numen's memory as a retriever of turns."""

    def __init__(self, house: MemoryHouse, settings: MemorySettings | None = None) -> None:
        self._house = house
        self._manager = house.manager(settings)
        self._namespace = Namespace(DEFAULT_TENANT_ID, house.agent_id)
        self._turns: dict[UUID, str] = {}

    def index(self, conversation: Conversation) -> None:
        """Keep every turn of the conversation (ours, or one with the same attributes) as a memory of one person.

        From now on these are searched, at the moment when the conversation is asked about.
        """
        person = self._house.run(self._house.person())
        memories = [_memory(self._house.agent_id, person, turn) for turn in conversation.turns if turn.text.strip()]
        self._house.clock.shows = conversation.now.replace(tzinfo=UTC)
        self._house.run(self._house.remember(memories))
        self._namespace = Namespace(DEFAULT_TENANT_ID, self._house.agent_id, "user", person)
        spoken = (turn for turn in conversation.turns if turn.text.strip())
        self._turns = {memory.id: turn.id for memory, turn in zip(memories, spoken, strict=True)}

    def search(self, query: str, k: int) -> list[str]:
        """The ids of the `k` turns that bear most on the query, best first."""
        found = self._house.run(self._manager.recall(query, [self._namespace], k))
        return [self._turns[one.id] for one in found.memories]

    def close(self) -> None:
        """Close the house."""
        self._house.close()

    def weighing(self, settings: MemorySettings) -> MemoryRetriever:
        """The same memories under other weights."""
        other = MemoryRetriever(self._house, settings)
        other._namespace, other._turns = self._namespace, self._turns
        return other


def factory(embedder: Encoder | None = None) -> MemoryRetriever:
    """A retriever in a new house; without an embedder with the one of a new installation.

    Who does not close it leaves that to the end of the process.
    """
    house = MemoryHouse(None if embedder is None else EncoderEmbedder(embedder))
    house.close_at_exit()
    return MemoryRetriever(house)


def _memory(agent_id: UUID, person: UUID, turn: Turn) -> NewMemory:
    return NewMemory(
        id=uuid4(),
        agent_id=agent_id,
        scope="user",
        user_id=person,
        thread_id=uuid5(person, str(turn.session)),
        kind="message",
        text=turn.text,
        origin="api",
        speaker=turn.speaker,
        position=turn.index + 1,
        valid_from=turn.time.replace(tzinfo=UTC),
    )


def _line(name: str, found: dict[str, float]) -> str:
    return f"{name:24}" + "".join(f"{found[one]:>11.3f}" for one in MEASURES)


@dataclass(slots=True)
class Tally:
    """What was found so far: a row of measures for each question, and how long it took."""

    weighted: list[dict[str, float]] = field(default_factory=list[dict[str, float]])
    relevance_alone: list[dict[str, float]] = field(default_factory=list[dict[str, float]])
    seconds: list[float] = field(default_factory=list[float])
    ingesting: float = 0.0

    def ask(self, retriever: MemoryRetriever, questions: Sequence[Question]) -> None:
        """Ask these about the conversation that was indexed last."""
        alone = retriever.weighing(RELEVANCE_ALONE)
        for question in questions:
            started = time.perf_counter()
            ranking = retriever.search(question.text, DEPTH)
            self.seconds.append(time.perf_counter() - started)
            self.weighted.append(scores(question, ranking))
            self.relevance_alone.append(scores(question, alone.search(question.text, DEPTH)))


def main() -> None:
    """Print recall, MRR and latency for the seeded weights, and recall and MRR for relevance alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="conversations in the LoCoMo format")
    parser.add_argument("--split", required=True, type=Path, help="ids of the conversations to ask about, one a line")
    arguments = parser.parse_args()
    conversations = load(arguments.data, arguments.split)
    tally, lines = Tally(), list[str]()
    with MemoryHouse() as house:
        retriever = MemoryRetriever(house)
        for conversation in conversations:
            first, started = len(tally.weighted), time.perf_counter()
            retriever.index(conversation)
            tally.ingesting += time.perf_counter() - started
            tally.ask(retriever, conversation.questions)
            lines.append(_line(f"  {conversation.id}", average(tally.weighted[first:])))
    turns = sum(len(one.turns) for one in conversations)
    print(f"{len(conversations)} conversations, {turns} turns, {len(tally.weighted)} questions")
    print(" " * 24 + "".join(f"{one:>11}" for one in MEASURES))
    print(_line("seeded weights", average(tally.weighted)), *lines, sep="\n")
    print(_line("relevance alone", average(tally.relevance_alone)))
    milliseconds = [1000 * one for one in tally.seconds]
    print(
        f"from question to ranking: p50 {median(milliseconds):.1f} ms, p95 {quantiles(milliseconds, n=20)[-1]:.1f} ms"
    )
    print(f"kept and indexed: {turns / tally.ingesting:.0f} turns a second")


if __name__ == "__main__":
    main()
