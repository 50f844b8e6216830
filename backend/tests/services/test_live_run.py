"""A run while it lives: any number of listeners, each at its own pace, each told everything once."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import ModelFailed, RunStopped
from backend.models.events import Mark, Place, ServerEvent
from backend.models.run import ChatReply, ReplyMetadata, TokenUsage
from backend.services.live_run import LiveRun
from backend.services.run_registry import RunRegistry
from backend.tests.fair_time import done_within, fair_timeout

ACTIONS = st.lists(st.one_of(st.text("abc", min_size=1, max_size=4), st.just("MARK"), st.just("PAUSE")), max_size=15)


def live_run() -> LiveRun:
    return LiveRun(uuid4(), uuid4(), uuid4())


def reply(text: str) -> ChatReply:
    metadata = ReplyMetadata(
        message_count=2,
        model="m",
        provider="p",
        usage=TokenUsage(),
        latency_ms=1,
        run_id=uuid4(),
        agent_version="1.0.0",
    )
    return ChatReply(thread_id=uuid4(), agent_id=uuid4(), response=text, message_id=uuid4(), metadata=metadata)


def letters(events: list[ServerEvent]) -> list[tuple[str, Any]]:
    told: list[tuple[str, Any]] = []
    for event in events:
        if event.type == "message.delta":
            told.extend(("letter", letter) for letter in event.data["text"])
        else:
            told.append((event.type, event.data))
    return told


async def listen(run: LiveRun, patience: list[int]) -> list[ServerEvent]:
    """Read so many events, go away, come back with the last id, and so on to the end."""
    heard: list[ServerEvent] = []
    place, rounds = Place(), iter(patience)
    while not heard or heard[-1].type != "message.completed":
        left = next(rounds, 1_000)
        events = run.events(place)
        async for event in events:
            heard.append(event)
            place = Place.parse(event.id)
            left -= 1
            if left <= 0:
                break
            await asyncio.sleep(0)
        await events.aclose()  # type: ignore[attr-defined]
    return heard


@given(ACTIONS, st.lists(st.lists(st.integers(1, 3), max_size=8), min_size=1, max_size=4))
def test_however_it_is_read_nothing_is_missed_or_told_twice(actions: list[str], readers: list[list[int]]) -> None:
    async def scenario() -> None:
        run = live_run()
        listening = [asyncio.create_task(listen(run, patience)) for patience in readers]
        for number, action in enumerate(actions):
            if action == "PAUSE":
                await asyncio.sleep(0)
            elif action == "MARK":
                run.mark("tool.call", {"n": number})
            else:
                run.write(action)
        run.mark("message.completed", {})
        run.succeed(reply(run.text))
        expected: list[tuple[str, Any]] = []
        for number, action in enumerate(actions):
            if action == "MARK":
                expected.append(("tool.call", {"n": number}))
            elif action != "PAUSE":
                expected.extend(("letter", letter) for letter in action)
        expected.append(("message.completed", {"response": run.text}))
        async with asyncio.timeout(30):
            for heard in await asyncio.gather(*listening):
                assert letters(heard) == expected

    asyncio.run(scenario())


async def test_the_loop_stays_free_while_somebody_waits_beyond_the_end() -> None:
    run = live_run()
    run.write("Hello")
    for place in (Place(0, 99), Place(9, 0), Place(9, 99)):
        waiting = asyncio.create_task(anext(aiter(run.events(place)), None))
        async with done_within(1):
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_a_failed_run_ends_its_streams_and_raises_for_who_waits() -> None:
    run = live_run()
    run.write("Hal")
    waiting = asyncio.create_task(run.reply())
    await asyncio.sleep(0)
    run.mark("run.failed", {"code": "model-failed"})
    run.fail(ModelFailed("rubbish"))
    with pytest.raises(ModelFailed):
        await waiting
    with pytest.raises(ModelFailed):
        await run.reply()
    assert [one.type async for one in run.events(Place())] == ["message.delta", "run.failed"]
    await run.ending()


async def test_who_waits_for_the_reply_may_go_away() -> None:
    run = live_run()
    waiting = asyncio.create_task(run.reply())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    answer = reply("Hello")
    run.succeed(answer)
    assert await run.reply() is answer


async def test_a_run_is_stopped_once_and_for_the_first_reason() -> None:
    run = live_run()
    task = asyncio.create_task(asyncio.sleep(60))
    run.driven_by(task)
    run.stop("cancelled")
    run.stop("shutdown")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert run.stop_reason == "cancelled"


async def test_an_ended_run_is_not_stopped() -> None:
    run = live_run()
    run.succeed(reply("Hello"))
    run.stop("cancelled")
    assert run.stop_reason is None


async def test_a_registry_finds_runs_while_they_live() -> None:
    registry, run = RunRegistry(), live_run()
    assert registry.get(run.run_id) is None
    registry.add(run)
    assert registry.get(run.run_id) is run
    registry.remove(run)
    registry.remove(run)
    assert registry.get(run.run_id) is None


async def test_a_closing_registry_cancels_who_does_not_end() -> None:
    registry, run, ended = RunRegistry(), live_run(), asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
            run.fail(RunStopped("stopped"))

    registry.add(run)
    registry.keep(asyncio.create_task(stubborn()))
    async with fair_timeout(2):
        await registry.close(0.02)
        await ended.wait()
    assert run.stop_reason == "shutdown"


async def test_listeners_of_a_recorded_run_are_told_what_is_stored() -> None:
    run = LiveRun(uuid4(), uuid4(), uuid4(), recorded=True)
    run.mark("run.started", {})
    run.write("Half of")
    heard: list[ServerEvent] = []

    async def listen() -> None:
        heard.extend([event async for event in run.events(Place())])

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0)
    assert heard == []
    run.stored(1, 4)
    await asyncio.sleep(0)
    run.pause()
    await listening
    assert [(event.type, event.data.get("text")) for event in heard] == [
        ("run.started", None), ("message.delta", "Half"), ("message.delta", " of"),
    ]  # fmt: skip
    assert await run.reply() is None


async def test_what_another_server_writes_anew_takes_the_place_of_what_was_told() -> None:
    run = LiveRun(uuid4(), uuid4(), uuid4(), recorded=True)
    run.take_up("One.", [Mark("run.started", 0, {}), Mark("part.started", 4, {})])
    run.write(" Three.")
    run.pause()
    told = [event async for event in run.events(Place(2, 9))]  # was told more than the lost server had finished
    assert [(event.type, event.data) for event in told] == [
        ("run.resumed", {"offset": 4}),
        ("message.delta", {"text": " Three."}),
    ]
    assert told[0].id == "3-4"
