"""Whatever the model's server does wrong: the caller is told in time, the message is kept, a retry doubles nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from backend.errors import ModelError, ModelTimeout, ModelUnavailable
from backend.gateways.circuit_breaker import FAILURES_TO_OPEN
from backend.routers.problems import kind_of
from backend.settings import NamedProvider
from backend.tests.api.event_reader import all_events, text_of
from backend.tests.fair_time import done_within
from backend.tests.fixtures_api import Api, Person, api_settings, borrowed, serving
from backend.tests.gateways.test_model_faults import BOTH, ONLY_STREAMED, ONLY_WHOLE
from backend.tests.protocol_servers.openai_faults import FaultKind
from backend.tests.protocol_servers.openai_server import DEFAULT_ANSWER, OpenAIServer

FIRST_TOKEN_SECONDS, TOTAL_SECONDS = 0.8, 1.2
GRACE_SECONDS = 1.0
HALF_SAID: dict[FaultKind, str] = {"cut_stream": "Half an ", "reset_stream": "Half an ", "error_event": "Half an "}


@pytest.fixture(scope="module")
async def served_hurried(
    database_url: str, openai_server_process: OpenAIServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Api]:
    """An application whose model must be quick."""
    settings = api_settings(
        database_url,
        tmp_path_factory.mktemp("prompts"),
        openai_base_url=openai_server_process.base_url,
        llm_connect_seconds=0.3,
        llm_first_token_seconds=FIRST_TOKEN_SECONDS,
        llm_total_seconds=TOTAL_SECONDS,
    )
    async with serving(settings) as served:
        # The first turn of a process loads what answers, which takes longer than the deadlines here.
        assert (await (await talk(served)).whole()).status_code == 200
        yield served


@pytest.fixture
async def breakable(database_url: str, openai_server: OpenAIServer, tmp_path: Path) -> AsyncGenerator[Api]:
    """An application with a second provider whose breaker may open."""
    base_url = openai_server.base_url
    fragile = {"fragile": NamedProvider(base_url=base_url)}
    settings = api_settings(database_url, tmp_path / "prompts", openai_base_url=base_url, llm_providers=fragile)
    async with serving(settings) as served, borrowed(served, openai_server):
        yield served


@pytest.fixture
async def hurried(served_hurried: Api, openai_server: OpenAIServer) -> AsyncGenerator[Api]:
    async with borrowed(served_hurried, openai_server):
        yield served_hurried


@pytest.fixture
def house(hurried: Api, api: Api, error: type[ModelError]) -> Api:
    """Only what is slow must meet a deadline; the others must not, on a busy machine."""
    return hurried if error in (ModelTimeout, ModelError) else api


@dataclass(frozen=True, slots=True)
class Talk:
    """One person in one thread, who says one thing under one Idempotency-Key."""

    person: Person
    agent_id: str
    thread_id: str
    key: str

    async def whole(self) -> Any:
        """The HTTP answer of a turn that is answered in one piece."""
        return await self.person.http.post(self._url, json=self._body, headers={"idempotency-key": self.key})

    async def streamed(self) -> Any:
        """The events of a streamed turn."""
        headers = {"idempotency-key": self.key}
        async with self.person.http.stream("POST", f"{self._url}/stream", json=self._body, headers=headers) as answer:
            return await all_events(answer)

    async def messages(self) -> list[dict[str, Any]]:
        return await self.person.ok("GET", f"/api/v1/threads/{self.thread_id}/messages")

    @property
    def _url(self) -> str:
        return f"/api/v1/agents/{self.agent_id}/chat"

    @property
    def _body(self) -> dict[str, str]:
        return {"message": "Hello", "thread_id": self.thread_id}


async def talk(api: Api, provider: str = "openai") -> Talk:
    person = await api.owner()
    agent = await person.make_agent(configuration={"llm_provider": provider})
    thread = await person.ok("POST", f"/api/v1/agents/{agent['id']}/threads", {})
    return Talk(person, agent["id"], thread["id"], str(uuid4()))


async def kept_and_marked(turn: Talk, code: str, said: str) -> str:
    """The message is there, followed by an answer that is marked as none; the id of that answer."""
    question, answer = await turn.messages()
    assert (question["role"], question["content"], question["status"]) == ("user", "Hello", "complete")
    assert (answer["role"], answer["content"], answer["status"]) == ("assistant", said, "failed")
    assert answer["metadata"]["error"]["code"] == code
    run = await turn.person.ok("GET", f"/api/v1/runs/{question['run_id']}")
    assert (run["status"], run["error"]["code"]) == ("failed", code)
    return answer["id"]


async def answered_once(turn: Talk, failed_id: str, server: OpenAIServer) -> None:
    """The server is well again: the same request is answered, in the place of the failed answer, and only once."""
    server.reset()
    replies = [(await turn.whole()).json() for _ in range(2)]
    assert replies[0]["response"] == DEFAULT_ANSWER
    assert replies[1] == replies[0]
    question, answer = await turn.messages()
    assert (question["content"], question["position"], answer["position"]) == ("Hello", 1, 2)
    assert (answer["id"], answer["content"], answer["status"]) == (failed_id, DEFAULT_ANSWER, "complete")
    assert "error" not in answer["metadata"]
    assert replies[0]["metadata"]["message_count"] == 2
    assert (await turn.person.ok("GET", f"/api/v1/threads/{turn.thread_id}"))["message_count"] == 2
    assert len(server.calls) == 1


@pytest.mark.parametrize(("kind", "error"), [*BOTH.items(), *ONLY_WHOLE.items()])
async def test_a_whole_answer(
    house: Api, openai_server: OpenAIServer, kind: FaultKind, error: type[ModelError]
) -> None:
    turn = await talk(house)
    openai_server.fault(kind)
    async with done_within(TOTAL_SECONDS + GRACE_SECONDS):
        answer = await turn.whole()
    problem = answer.json()
    assert answer.status_code == kind_of(error).status
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["code"] == error.code
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert ("retry-after" in answer.headers) >= (error is ModelUnavailable)
    assert "sk-test" not in answer.text
    failed_id = await kept_and_marked(turn, error.code, "")
    await answered_once(turn, failed_id, openai_server)


@pytest.mark.parametrize(("kind", "error"), [*BOTH.items(), *ONLY_STREAMED.items()])
async def test_a_stream(house: Api, openai_server: OpenAIServer, kind: FaultKind, error: type[ModelError]) -> None:
    turn = await talk(house)
    openai_server.fault(kind)
    async with done_within(TOTAL_SECONDS + GRACE_SECONDS):
        events = await turn.streamed()
    last = events[-1]
    told = [event.type for event in events if event.type != "message.delta"]
    assert told == ["run.started", "memory.recalled", "run.failed"]
    codes = {one.code for one in (error, *error.__subclasses__())}
    assert last.data["code"] in codes
    assert last.data["detail"]
    assert "sk-test" not in str(last.data)
    said = text_of(events)
    assert said.startswith(HALF_SAID.get(kind, ""))
    failed_id = await kept_and_marked(turn, last.data["code"], said)
    openai_server.reset()
    again = await turn.streamed()
    assert (again[-1].type, text_of(again)) == ("message.completed", DEFAULT_ANSWER)
    openai_server.reset()
    repeated = await turn.streamed()
    assert repeated[-1] == again[-1]
    assert openai_server.calls == []
    assert [(one["content"], one["status"]) for one in await turn.messages()] == [
        ("Hello", "complete"), (DEFAULT_ANSWER, "complete")
    ]  # fmt: skip
    assert (await turn.messages())[1]["id"] == failed_id


@pytest.mark.parametrize("door", ["whole", "streamed"])
async def test_without_a_key_the_message_is_kept_all_the_same(api: Api, openai_server: OpenAIServer, door: str) -> None:
    person = await api.owner()
    agent = await person.make_agent()
    openai_server.fault("server_error")
    url = f"/api/v1/agents/{agent['id']}/chat{'' if door == 'whole' else '/stream'}"
    await person.http.post(url, json={"message": "Hello"})
    (thread,) = await person.ok("GET", f"/api/v1/agents/{agent['id']}/threads")
    openai_server.reset()
    reply = await person.ok("POST", url.removesuffix("/stream"), {"message": "Again", "thread_id": thread["id"]})
    assert reply["metadata"]["message_count"] == 4
    assert [said["content"] for said in openai_server.calls[0].body["messages"][1:]] == ["Hello", "Again"]


async def test_the_message_is_stored_before_the_model_is_asked(hurried: Api, openai_server: OpenAIServer) -> None:
    turn = await talk(hurried)
    openai_server.fault("slow_headers")
    waiting = asyncio.create_task(turn.whole())
    await asyncio.to_thread(openai_server.wait_for_calls, 1)
    assert [one["content"] for one in await turn.messages()] == ["Hello"]
    busy = await turn.whole()
    assert (busy.status_code, busy.json()["code"]) == (409, "request-in-progress")
    assert (await turn.person.http.delete(f"/api/v1/threads/{turn.thread_id}")).status_code == 409
    assert (await waiting).status_code == 504


async def test_who_limits_us_is_passed_on(api: Api, openai_server: OpenAIServer) -> None:
    turn = await talk(api)
    openai_server.fault("rate_limited", retry_after="3600")
    async with done_within(TOTAL_SECONDS + GRACE_SECONDS):
        answer = await turn.whole()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3600")


async def test_a_short_fault_is_not_even_noticed(api: Api, openai_server: OpenAIServer) -> None:
    turn = await talk(api)
    openai_server.fault("unavailable", times=1)
    answer = await turn.whole()
    assert (answer.status_code, answer.json()["response"]) == (200, DEFAULT_ANSWER)


async def test_a_provider_that_keeps_failing_is_left_alone(breakable: Api, openai_server: OpenAIServer) -> None:
    openai_server.fault("reset")
    turns = [await talk(breakable, "fragile") for _ in range(FAILURES_TO_OPEN + 1)]
    for turn in turns[:-1]:
        assert (await turn.whole()).status_code == 503
    asked = len(openai_server.calls)
    answer = await turns[-1].whole()
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 1
    assert len(openai_server.calls) == asked
    await kept_and_marked(turns[-1], "model-unavailable", "")
    assert (await (await talk(breakable)).whole()).status_code == 503  # the other provider is still asked
    assert len(openai_server.calls) > asked


async def test_forty_turns_against_a_dead_server(hurried: Api, openai_server: OpenAIServer) -> None:
    """More turns than database connections, all failing at once: nothing else waits for them."""
    openai_server.fault("slow_headers")
    turns = [await talk(hurried) for _ in range(40)]
    async with done_within(TOTAL_SECONDS + GRACE_SECONDS + 2):
        waiting = asyncio.gather(*(turn.whole() for turn in turns))
        async with done_within(TOTAL_SECONDS):
            assert (await turns[0].person.http.get("/api/v1/me")).status_code == 200
        answers = await waiting
    assert {answer.status_code for answer in answers} <= {503, 504}
    for turn in turns:
        assert [one["status"] for one in await turn.messages()] == ["complete", "failed"]
