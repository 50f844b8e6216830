"""How fast memory is among many: ingestion, from a turn to its context, and the memory that the process takes.

    make bench-memory-scale MEMORIES=20000

One person of the tenant has half of all memories, which is the most that one search has to go through; two hundred
others share the rest. The texts are made up; every question is asked once, so that no vector is known before.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from uuid import UUID, uuid4

from backend.models.memory import NewMemory
from benchmarks.memory_house import MemoryHouse

OTHERS = 200
TURNS = 300
_WHO = (
    "my sister",
    "my brother",
    "our neighbour",
    "a colleague",
    "my oldest friend",
    "the doctor",
    "my teacher",
    "Aunt May",
)
_DID = ("visited", "painted", "sold", "repaired", "planted", "lost", "found", "borrowed", "photographed", "wrote about")
_WHAT = (
    "the old bicycle", "a walnut tree", "the blue kitchen", "a letter from Vienna", "the harbour", "a piano",
    "two tickets", "the garden shed", "an unfinished novel", "the winter coat", "a stray cat", "the church bells",
    "our first flat",
)  # fmt: skip
_WHEN = (
    "last spring",
    "on a rainy Sunday",
    "before the wedding",
    "in the mountains",
    "after work",
    "at midnight",
    "again",
)
_FELT = (
    "it calmed me",
    "I could not sleep",
    "everybody laughed",
    "nobody noticed",
    "I was proud",
    "it made me sad",
    "",
)


def text(dice: random.Random) -> str:
    """Something that somebody may have said."""
    parts = (f"{dice.choice(_WHO)} {dice.choice(_DID)} {dice.choice(_WHAT)} {dice.choice(_WHEN)}", dice.choice(_FELT))
    return f"{', and '.join(part for part in parts if part)}. That was number {dice.randrange(10**6)}.".capitalize()


def memories(agent_id: UUID, people: Sequence[UUID], count: int) -> Iterator[NewMemory]:
    """`count` memories, half of them of the first of these people, a minute apart."""
    dice, now = random.Random(7), datetime.now(UTC)
    for number in range(count):
        yield NewMemory(
            id=uuid4(),
            agent_id=agent_id,
            scope="user",
            user_id=people[0] if number % 2 else dice.choice(people[1:]),
            thread_id=None,
            kind="message",
            text=text(dice),
            origin="api",
            valid_from=now - timedelta(minutes=count - number),
        )


def resident_megabytes() -> float:
    """What this process takes of the machine's memory now."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"))
    return int(found[1]) / 1024 if found else 0.0


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memories", type=int, default=20_000)
    count = parser.parse_args().memories
    with MemoryHouse() as house:
        people = [house.run(house.person()) for _ in range(OTHERS + 1)]
        started = time.perf_counter()
        kept = house.run(house.remember(list(memories(house.agent_id, people, count))))
        ingesting = time.perf_counter() - started
        print(f"{len(kept)} memories kept and indexed in {ingesting:.0f} s ({len(kept) / ingesting:.0f} a second)")
        milliseconds, degraded = ask(house, people[0])
        p95, p99 = quantiles(milliseconds, n=100)[94], quantiles(milliseconds, n=100)[98]
        print(f"from turn to context: p50 {median(milliseconds):.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms")
        print(f"degraded: {degraded} of {TURNS} turns")
        print(f"resident: {resident_megabytes():.0f} MB, PostgreSQL apart")


def ask(house: MemoryHouse, person: UUID) -> tuple[list[float], int]:
    """Milliseconds of each turn of this person, and how many of them went without memory."""
    manager, dice = house.manager(), random.Random(11)
    milliseconds, degraded = list[float](), 0
    for _ in range(TURNS):
        question = f"Do you remember when {text(dice)}"
        started = time.perf_counter()
        context = house.run(manager.get_agent_context(question, uuid4(), person, recent_messages=()))
        milliseconds.append(1000 * (time.perf_counter() - started))
        degraded += context.state != "ok" or not context.retrieved_memories
    return milliseconds, degraded


if __name__ == "__main__":
    main()
