"""Turns of one thread in one process: a fair queue that remembers nobody."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from backend.errors import ThreadBusy
from backend.services.thread_turns import ThreadTurns, TurnQueue
from backend.tests.fair_time import fair_timeout


def queue() -> TurnQueue:
    return uuid4(), uuid4(), uuid4()


async def test_turns_come_in_the_order_in_which_they_asked() -> None:
    turns, thread, served = ThreadTurns(5), queue(), list[int]()

    async def turn(number: int) -> None:
        await turns.take(thread)
        served.append(number)
        await asyncio.sleep(0)
        turns.give_back(thread)

    await asyncio.gather(*(turn(number) for number in range(20)))
    assert served == list(range(20))


async def test_a_newcomer_does_not_overtake_who_was_just_woken() -> None:
    turns, thread, served = ThreadTurns(5), queue(), list[str]()

    async def turn(name: str) -> None:
        await turns.take(thread)
        served.append(name)
        turns.give_back(thread)

    await turns.take(thread)
    waiting = asyncio.create_task(turn("waiting"))
    await asyncio.sleep(0)
    turns.give_back(thread)
    await turn("newcomer")
    await waiting
    assert served == ["waiting", "newcomer"]


async def test_threads_do_not_wait_for_each_other() -> None:
    turns = ThreadTurns(0.05)
    one, other = queue(), queue()
    await turns.take(one)
    async with fair_timeout(1):
        await turns.take(other)
        await turns.take((uuid4(), one[1], one[2]))  # the same thread's id, named by another tenant


async def test_patience_ends_and_the_place_in_the_queue_with_it() -> None:
    turns, thread = ThreadTurns(0.05), queue()
    await turns.take(thread)
    found = await asyncio.gather(*(turns.take(thread) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in found] == [ThreadBusy] * 3
    turns.give_back(thread)
    await turns.take(thread)
    turns.give_back(thread)
    assert turns.waiting == 0


async def test_who_is_cancelled_leaves_the_queue() -> None:
    turns, thread = ThreadTurns(5), queue()
    await turns.take(thread)
    waiting = [asyncio.create_task(turns.take(thread)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    turns.give_back(thread)
    await waiting[1]
    turns.give_back(thread)
    await waiting[2]
    turns.give_back(thread)
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    assert turns.waiting == 0
