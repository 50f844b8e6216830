"""How much was heard of an answer decides what is stored of it."""

from __future__ import annotations

import asyncio

from backend.services.hearing import Hearing

ANSWER = "The sea is large. It is full of fish."


def test_before_it_is_settled_only_what_was_heard_counts() -> None:
    hearing = Hearing()
    assert hearing.part_of(ANSWER) == ""

    hearing.heard(18, 900)

    assert hearing.part_of(ANSWER) == "The sea is large."


def test_what_was_heard_stays_heard() -> None:
    hearing = Hearing()
    hearing.heard(17, 900)
    hearing.heard(3, 100)

    assert (hearing.offset, hearing.played_ms) == (17, 900)


async def test_an_interruption_ends_it_there() -> None:
    hearing = Hearing()
    hearing.heard(17, 900)
    hearing.interrupt()
    hearing.heard(30, 2000)
    hearing.finish()

    await asyncio.wait_for(hearing.wait(), 30)
    assert hearing.interrupted
    assert hearing.cut.is_set()
    assert hearing.part_of(ANSWER) == "The sea is large."
    assert hearing.played_ms == 900


def test_it_is_known_whether_it_was_written_when_it_was_broken_off() -> None:
    early, late = Hearing(), Hearing()
    late.written.set()
    for hearing in (early, late):
        hearing.interrupt()
    early.written.set()

    assert not early.was_written
    assert late.was_written


async def test_what_was_heard_to_its_end_is_whole() -> None:
    hearing = Hearing()
    hearing.heard(17, 900)
    hearing.finish()
    hearing.interrupt()

    await asyncio.wait_for(hearing.wait(), 30)
    assert not hearing.interrupted
    assert not hearing.cut.is_set()
    assert hearing.part_of(ANSWER) == ANSWER
