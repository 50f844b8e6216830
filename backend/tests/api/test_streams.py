"""Streams of runs: whole, resumable from every event, and none of the client's business to keep alive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from backend.tests.api.event_reader import Event, all_events, events_of, text_of
from backend.tests.fixtures_api import Api, Person, eventually, random_id
from backend.tests.protocol_servers.openai_server import OpenAIServer

PIECES = ("One ", "two, ", "drei: ", "\N{SPARKLES}\N{ZERO WIDTH JOINER}", "\n\ndata: x\n\n", "</s>", " end.")
ANSWER = "".join(PIECES)


@pytest.fixture
async def person(api: Api, openai_server: OpenAIServer) -> Person:
    openai_server.answer(pieces=PIECES)
    return await api.owner()


@asynccontextmanager
async def streamed(person: Person, agent_id: str, message: str = "Hello", **headers: str) -> AsyncGenerator[Any]:
    url = f"/api/v1/agents/{agent_id}/chat/stream"
    async with person.http.stream("POST", url, json={"message": message}, headers=headers) as answer:
        yield answer


async def resumed(person: Person, run_id: str, last: str | None = None) -> list[Event]:
    headers = {} if last is None else {"last-event-id": last}
    async with person.http.stream("GET", f"/api/v1/runs/{run_id}/events", headers=headers) as answer:
        return await all_events(answer)


async def messages(person: Person, thread_id: str) -> list[dict[str, Any]]:
    return await person.ok("GET", f"/api/v1/threads/{thread_id}/messages")


async def ended(person: Person, run_id: str) -> dict[str, Any]:
    await resumed(person, run_id)
    return await person.ok("GET", f"/api/v1/runs/{run_id}")


async def test_a_stream_tells_the_whole_turn(person: Person) -> None:
    agent = await person.make_agent()
    async with streamed(person, agent["id"]) as answer:
        location = answer.headers["content-location"]
        events = await all_events(answer)
    assert [event.type for event in events][:1] == ["run.started"]
    assert events[-1].type == "message.completed"
    assert text_of(events) == ANSWER == events[-1].data["response"]
    started = events[0].data
    assert location == f"/api/v1/runs/{started['run_id']}/events"
    said, answered = await messages(person, started["thread_id"])
    assert (said["id"], said["content"]) == (started["message_id"], "Hello")
    assert (answered["id"], answered["content"], answered["status"]) == (
        events[-1].data["message_id"],
        ANSWER,
        "complete",
    )
    run = await person.ok("GET", f"/api/v1/runs/{started['run_id']}")
    assert (run["status"], run["text"]) == ("completed", ANSWER)


async def test_stream_and_json_tell_the_same(person: Person) -> None:
    agent = await person.make_agent()
    async with streamed(person, agent["id"]) as answer:
        streamed_reply = (await all_events(answer))[-1].data
    reply = await person.ok("POST", f"/api/v1/agents/{agent['id']}/chat", {"message": "Hello"})
    assert set(reply) == set(streamed_reply)
    assert set(reply["metadata"]) == set(streamed_reply["metadata"])
    assert reply["response"] == streamed_reply["response"]


async def test_every_event_is_a_place_to_go_on_from(person: Person) -> None:
    agent = await person.make_agent()
    async with streamed(person, agent["id"]) as answer:
        events = await all_events(answer)
    run_id = events[0].data["run_id"]
    whole = await resumed(person, run_id)
    assert text_of(whole) == ANSWER
    assert [event.type for event in whole if event.type != "message.delta"] == [
        event.type for event in events if event.type != "message.delta"
    ]
    for place, event in enumerate(events[:-1]):
        rest = await resumed(person, run_id, event.id)
        assert text_of(events[: place + 1]) + text_of(rest) == ANSWER
        told = [one for one in (*events[: place + 1], *rest) if one.type != "message.delta"]
        assert [(one.type, one.data) for one in told] == [
            (one.type, one.data) for one in events if one.type != "message.delta"
        ]


async def test_the_client_leaves_and_the_turn_goes_on(person: Person, openai_server: OpenAIServer) -> None:
    openai_server.fault("slow_total", times=1)  # drips until it is let go
    agent = await person.make_agent()
    async with streamed(person, agent["id"]) as answer:
        seen = [event async for event in first(answer, 3)]
    run_id, thread_id = seen[0].data["run_id"], seen[0].data["thread_id"]
    run = await person.ok("GET", f"/api/v1/runs/{run_id}")
    assert run["status"] == "running"
    later = await until_longer(person, run_id, len(text_of(seen)))
    assert later.startswith(text_of(seen))
    cancelled = await person.ok("POST", f"/api/v1/runs/{run_id}/cancel")
    assert cancelled["status"] == "cancelled"
    said, answered = await messages(person, thread_id)
    assert (said["content"], answered["status"]) == ("Hello", "cancelled")
    assert answered["content"].startswith(later)


async def first(answer: Any, count: int) -> AsyncGenerator[Event]:
    """The first events, and then no more listening."""
    async for event in events_of(answer):
        yield event
        count -= 1
        if not count:
            return


async def until_longer(person: Person, run_id: str, length: int) -> str:
    """What a second listener hears first, beyond what the first one has heard."""
    async with person.http.stream("GET", f"/api/v1/runs/{run_id}/events") as answer:
        heard = ""
        async for event in events_of(answer):
            heard += event.data.get("text", "") if event.type == "message.delta" else ""
            if len(heard) > length:
                return heard
    raise AssertionError("the run ended early")


@pytest.mark.parametrize("leave_after", [0, 1, 2, 3, 5])
async def test_wherever_the_client_leaves_the_answer_is_whole(person: Person, leave_after: int) -> None:
    agent = await person.make_agent()
    async with streamed(person, agent["id"]) as answer:
        location = answer.headers["content-location"]
        if leave_after:
            [event async for event in first(answer, leave_after)]
    run = await ended(person, location.split("/")[-2])
    said, answered = await messages(person, run["thread_id"])
    assert (said["content"], answered["content"], answered["status"]) == ("Hello", ANSWER, "complete")


async def test_many_clients_leave(api: Api, person: Person) -> None:
    """Forty turns whose listeners all leave: forty questions, forty answers, nobody listening any more."""
    agent = await person.make_agent()

    async def leave(number: int) -> None:
        async with streamed(person, agent["id"], f"Question {number}") as answer:
            [event async for event in first(answer, 1 + number % 3)]

    await asyncio.gather(*(leave(number) for number in range(40)))
    await api.settled()
    threads = await person.ok("GET", f"/api/v1/agents/{agent['id']}/threads", params={"limit": 100})
    contents = [await messages(person, thread["id"]) for thread in threads]
    assert sorted(said["content"] for said, _ in contents) == sorted(f"Question {number}" for number in range(40))
    assert {answered["content"] for _, answered in contents} == {ANSWER}
    await eventually(lambda: b"numen_sse_streams 0.0" in api.container.metrics.exposition())


async def test_two_listeners_hear_the_same(person: Person, openai_server: OpenAIServer) -> None:
    openai_server.fault("slow_total", times=1)
    agent = await person.make_agent()
    async with streamed(person, agent["id"]) as answer:
        begun = [event async for event in first(answer, 2)]
    run_id = begun[0].data["run_id"]
    both = [asyncio.create_task(resumed(person, run_id, last)) for last in (None, begun[-1].id)]
    await until_longer(person, run_id, 40)
    await person.ok("POST", f"/api/v1/runs/{run_id}/cancel")
    whole, rest = await asyncio.gather(*both)
    assert text_of(whole) == text_of(begun) + text_of(rest)
    assert whole[-1] == rest[-1]
    assert (whole[-1].type, whole[-1].data["code"]) == ("run.failed", "run-stopped")
    refused = await person.http.post(f"/api/v1/runs/{run_id}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "run-finished")


async def test_a_cancelled_json_turn_is_told_to_who_waits(person: Person, openai_server: OpenAIServer) -> None:
    openai_server.fault("slow_headers", times=1)
    agent = await person.make_agent()
    thread = await person.ok("POST", f"/api/v1/agents/{agent['id']}/threads", {})
    chat = f"/api/v1/agents/{agent['id']}/chat"
    request: dict[str, Any] = {
        "json": {"message": "Hello", "thread_id": thread["id"]},
        "headers": {"idempotency-key": "cancelled"},
    }
    waiting = asyncio.create_task(person.http.post(chat, **request))
    await asyncio.to_thread(openai_server.wait_for_calls, 1)
    (said,) = await messages(person, thread["id"])
    await person.ok("POST", f"/api/v1/runs/{said['run_id']}/cancel")
    answer = await waiting
    again = await person.http.post(chat, **request)  # what was cancelled stays so, however often it is asked for
    for told in (answer, again):
        assert (told.status_code, told.json()["code"]) == (503, "run-stopped")
    assert [one["status"] for one in await messages(person, thread["id"])] == ["complete", "cancelled"]
    assert len(openai_server.calls) == 1


@pytest.mark.parametrize("kind", ["live", "ended"])
async def test_places_that_are_none(person: Person, openai_server: OpenAIServer, kind: str) -> None:
    if kind == "live":
        openai_server.fault("slow_headers", times=1)
    agent = await person.make_agent()
    async with streamed(person, agent["id"]) as answer:
        begun = [event async for event in first(answer, 1)]
        run_id = begun[0].data["run_id"]
        if kind == "ended":
            await ended(person, run_id)
        url = f"/api/v1/runs/{run_id}/events"
        for odd in ("x", "1", "1-", "-1-0", "1-1-1", "1.0", "\u0661-\u0661", "9" * 10 + "-0", "x" * 65):
            refused = await person.http.get(url, headers=[(b"last-event-id", odd.encode())])
            assert refused.status_code == 422, odd
            assert refused.headers["content-type"] == "application/problem+json"
        for beyond in ("999999999-0", "0-999999999", "999999999-999999999", "1-7777777"):
            await beyond_the_end(person, url, beyond, live=kind == "live")


async def beyond_the_end(person: Person, url: str, place: str, *, live: bool) -> None:
    """A place that the run has not come to: the end is told all the same, and the server does not spin meanwhile."""
    async with person.http.stream("GET", url, headers={"last-event-id": place}) as answer:
        if live:
            assert (await person.http.get("/healthz")).status_code == 200
            return
        events = await all_events(answer)
    assert events[-1].type == "message.completed"
    assert text_of(events) == ANSWER[int(place.partition("-")[2]) :]


@pytest.mark.parametrize("path", ["", "/events", "/cancel"])
async def test_runs_that_are_not_there(api: Api, person: Person, path: str) -> None:
    agent = await (other := await api.owner()).make_agent()
    foreign = await other.ok("POST", f"/api/v1/agents/{agent['id']}/chat", {"message": "Hello"})
    method = "POST" if path == "/cancel" else "GET"
    for run_id in (random_id(), foreign["metadata"]["run_id"]):
        answer = await person.http.request(method, f"/api/v1/runs/{run_id}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "run-not-found")


async def test_a_repeated_stream_joins_the_same_run(person: Person, openai_server: OpenAIServer) -> None:
    agent = await person.make_agent()
    key = str(uuid4())

    async def once() -> list[Event]:
        async with streamed(person, agent["id"], **{"idempotency-key": key}) as answer:
            return await all_events(answer)

    one, after = await once(), await once()
    assert text_of(one) == text_of(after) == ANSWER
    assert [event for event in one if event.type != "message.delta"] == [
        event for event in after if event.type != "message.delta"
    ]
    assert len(openai_server.calls) == 1
    assert len(await messages(person, one[0].data["thread_id"])) == 2


async def test_a_stream_is_joined_while_it_runs(person: Person, openai_server: OpenAIServer) -> None:
    openai_server.fault("slow_total", times=1)
    agent = await person.make_agent()
    headers = {"idempotency-key": str(uuid4())}
    async with streamed(person, agent["id"], **headers) as answer:
        begun = [event async for event in first(answer, 2)]
    async with streamed(person, agent["id"], **headers) as answer:
        joined = [event async for event in first(answer, 2)]
    assert joined[0] == begun[0]
    assert text_of(joined).startswith(text_of(begun)) or text_of(begun).startswith(text_of(joined))
    assert len(openai_server.calls) == 1
    await person.ok("POST", f"/api/v1/runs/{begun[0].data['run_id']}/cancel")


async def test_turns_of_one_thread_come_one_after_the_other(person: Person) -> None:
    agent = await person.make_agent()
    thread = await person.ok("POST", f"/api/v1/agents/{agent['id']}/threads", {})
    url = f"/api/v1/agents/{agent['id']}/chat"
    said = [person.ok("POST", url, {"message": f"Question {n}", "thread_id": thread["id"]}) for n in range(12)]
    replies = await asyncio.gather(*said)
    history = await messages(person, thread["id"])
    assert [message["position"] for message in history] == list(range(1, 25))
    assert [message["role"] for message in history] == ["user", "assistant"] * 12
    assert sorted(reply["metadata"]["message_count"] for reply in replies) == list(range(2, 25, 2))
    assert (await person.ok("GET", f"/api/v1/threads/{thread['id']}"))["message_count"] == 24
