"""Who is let into a conversation, what a client is told when it ends, and a client that does not read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.errors import (
    AgentArchived,
    AgentNotFound,
    ConversationIdle,
    ConversationOver,
    DatabaseUnavailable,
    Forbidden,
    Invalid,
    NumenError,
    PreconditionFailed,
    ShuttingDown,
    SpeechUnavailable,
    ThreadNotFound,
    TooManyConversations,
    Unauthenticated,
)
from backend.models.tenant import Caller, Role
from backend.models.voice_frames import AudioStart
from backend.routers import voice_socket
from backend.routers.connected import Connected
from backend.routers.voice_socket import close_code, started
from backend.services.access_service import Credentials
from backend.services.voice.bad_frame import BadFrame
from backend.services.voice.voice_socket import SocketGone, VoiceSocket
from backend.tests.fake_socket import fake_socket
from backend.tests.fixtures_api import eventually
from backend.tests.fixtures_logs import Logs
from backend.tests.raw_socket import Ended, RawSocket, closing, frame, text
from backend.tests.routers.small_app import served, small_app

AGENT = uuid4()
ADDRESS = f"/api/api/v1/agents/{AGENT}/voice"
START = text({"type": "start", "token": "good"})

Talk = Callable[[VoiceSocket], Any]


class Came(NamedTuple):
    """Who came, and what they asked for."""

    caller: Caller
    agent_id: UUID
    thread_id: UUID | None
    session_id: UUID | None


@dataclass
class House:
    """A container with a door and a voice that remember who came."""

    talk: Talk
    role: Role = Role.MEMBER
    port: int = 0
    credentials: list[Credentials] = field(default_factory=list[Credentials])
    came: list[Came] = field(default_factory=list["Came"])

    @property
    def access(self) -> House:
        return self

    @property
    def voice(self) -> House:
        return self

    async def authenticate(self, credentials: Credentials) -> Caller:
        self.credentials.append(credentials)
        if credentials.authorization != "Bearer good":
            raise Unauthenticated("There is no such API key.")
        return Caller(uuid4(), uuid4(), self.role)

    async def converse(
        self,
        caller: Caller,
        agent_id: UUID,
        thread_id: UUID | None,
        socket: VoiceSocket,
        *,
        session_id: UUID | None = None,
    ) -> None:
        self.came.append(Came(caller, agent_id, thread_id, session_id))
        await self.talk(socket)


def furnished(app: ASGIApp, house: House) -> ASGIApp:
    async def with_house(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["container"] = house
        await app(scope, receive, send)

    return with_house


@pytest.fixture(scope="module")
async def shared_house() -> AsyncGenerator[House]:
    house = House(hang_up)
    async with served(furnished(small_app(voice_socket.router), house)) as wire:
        house.port = wire.port
        yield house


@pytest.fixture
def house(shared_house: House) -> House:
    """An open house where every conversation ends at once, in good order."""
    shared_house.talk, shared_house.role = hang_up, Role.MEMBER
    shared_house.credentials.clear()
    shared_house.came.clear()
    return shared_house


async def hang_up(_: VoiceSocket) -> None:
    """A conversation that ends in good order."""


async def called(house: House, first: bytes = START, query: str = "", **headers: str) -> Ended:
    async with asyncio.timeout(30), await RawSocket.opened(house.port, ADDRESS + query, **headers) as client:
        client.send(first)
        return await client.ended()


# --- how it ends ---


async def test_a_conversation_that_ends_by_itself(house: House) -> None:
    thread, session = uuid4(), uuid4()
    ended = await called(house)
    await called(house, query=f"?thread_id={thread}&session_id={session}")
    assert (ended.code, ended.reason, ended.events) == (1000, "", [])
    assert [came[1:] for came in house.came] == [(AGENT, None, None), (AGENT, thread, session)]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AgentNotFound("There is no such agent."), 1008),
        (ThreadNotFound("There is no such thread."), 1008),
        (AgentArchived("The agent is archived."), 1008),
        (Invalid("The agent has no voice."), 1008),
        (Forbidden("Not you."), 1008),
        (Unauthenticated("Who?"), 1008),
        (ConversationIdle("Nobody is there."), 1008),
        (ConversationOver("Half an hour is over."), 1008),
        (ShuttingDown("The server is stopping."), 1001),
        (TooManyConversations("You have 50 already."), 1013),
        (SpeechUnavailable("Nobody can speak."), 1011),
        (DatabaseUnavailable("It is away."), 1011),
        (PreconditionFailed("Another version."), 1011),
        (NumenError("Something."), 1011),
    ],
)
async def test_an_error_is_told_before_the_close(house: House, error: NumenError, code: int) -> None:
    async def refuse(_: VoiceSocket) -> None:
        raise error

    house.talk = refuse
    ended = await called(house)
    told = {"type": "error", "code": error.code, "title": error.title, "detail": error.detail, "turn": None}
    assert (ended.code, ended.reason, ended.events) == (code, error.detail, [told])


def test_a_new_error_is_closed_as_its_kind_is() -> None:
    class NewAgentState(AgentArchived):
        pass

    assert close_code(NewAgentState) == 1008


async def test_a_bad_frame_is_told_before_the_close(house: House) -> None:
    async def listen(socket: VoiceSocket) -> None:
        await socket.receive()

    house.talk = listen
    ended = await called(house, START + text('{"type": "dance"}'))
    assert (ended.code, [event["code"] for event in ended.events]) == (1003, ["unknown-frame"])


@pytest.mark.parametrize(("detail", "reason"), [("a" * 200, "a" * 123), ("ä" * 100, "ä" * 61)])
async def test_a_long_reason_is_cut(house: House, detail: str, reason: str) -> None:
    async def refuse(_: VoiceSocket) -> None:
        raise Invalid(detail)

    house.talk = refuse
    ended = await called(house)
    assert (ended.reason, ended.events[0]["detail"]) == (reason, detail)


async def test_what_nobody_expects_is_logged_and_not_told(house: House, logs: Logs) -> None:
    async def fail(_: VoiceSocket) -> None:
        raise RuntimeError("a secret detail")

    house.talk = fail
    ended = await called(house)
    assert (await called(house)).code == 1011, "the server does not go on"
    assert (ended.code, ended.events[0]["code"]) == (1011, "internal")
    assert "secret" not in ended.reason + str(ended.events)
    failed = [line for line in logs() if line["event"] == "conversation failed"]
    assert failed[0]["exception"][0]["message"] == "a secret detail"
    assert failed[0]["request_id"] == ended.headers["x-request-id"]


async def test_a_client_that_leaves_is_nothing_to_speak_of(house: House, logs: Logs) -> None:
    left = asyncio.Event()

    async def listen(socket: VoiceSocket) -> None:
        with pytest.raises(SocketGone):
            await socket.receive()
        for sent in (socket.tell(AudioStart(turn=1)), socket.play(b"ab"), socket.receive()):
            with pytest.raises(SocketGone):
                await sent
        left.set()
        raise SocketGone

    house.talk = listen
    assert (await called(house, START + closing(1000))).code == 1000
    async with await RawSocket.opened(house.port, ADDRESS) as client:
        left.clear()
        client.send(START)
        client.abort()
        await left.wait()
    await eventually(lambda: len([one for one in asyncio.all_tasks() if "run_asgi" in repr(one)]) == 0)
    assert [line["level"] for line in logs() if line["level"] not in ("info", "debug")] == []


# --- who is let in ---


@pytest.mark.parametrize(
    ("start", "headers", "authorization", "user"),
    [
        ({"token": "good"}, {}, "Bearer good", None),
        ({"token": "good", "user": "customer-42"}, {}, "Bearer good", "customer-42"),
        ({"token": "good"}, {"Authorization": "Bearer bad"}, "Bearer good", None),
        ({"token": "good"}, {"Sec-WebSocket-Protocol": "numen.voice.v1, bearer.bad"}, "Bearer good", None),
        ({}, {"Sec-WebSocket-Protocol": "numen.voice.v1, bearer.good"}, "Bearer good", None),
        ({}, {"Sec-WebSocket-Protocol": "Bearer.good", "Authorization": "Bearer bad"}, "Bearer good", None),
        ({}, {"Authorization": "Bearer good"}, "Bearer good", None),
        ({}, {"Authorization": "Bearer good", "Numen-User": "a"}, "Bearer good", "a"),
        ({"user": "b"}, {"Authorization": "Bearer good", "Numen-User": "a"}, "Bearer good", "b"),
        ({"token": "bad"}, {"Authorization": "Bearer good"}, "Bearer bad", None),
        ({"token": "Bearer good"}, {}, "Bearer Bearer good", None),
        ({}, {"Sec-WebSocket-Protocol": "bearer.good, bearer.good"}, "Bearer good, good", None),
        ({}, {"Sec-WebSocket-Protocol": "bearer."}, "Bearer ", None),
        ({}, {}, None, None),
    ],
)
async def test_credentials_come_in_the_frame_the_subprotocol_or_the_header(
    house: House, start: dict[str, str], headers: dict[str, str], authorization: str | None, user: str | None
) -> None:
    ended = await called(house, text({"type": "start", **start}), **headers)
    (given,) = house.credentials
    assert (given.authorization, given.numen_user, given.host) == (authorization, user, "127.0.0.1")
    assert ended.code == (1000 if authorization == "Bearer good" else 1008)
    assert len(house.came) == (1 if authorization == "Bearer good" else 0)


async def test_without_credentials_it_is_said_where_they_belong(house: House) -> None:
    ended = await called(house, text({"type": "start"}))
    assert (ended.code, ended.reason) == (1008, "Send an API key or a token as `token` of `start`.")


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (None, None),
        ("numen.voice.v1", "numen.voice.v1"),
        ("bearer.good, numen.voice.v1", "numen.voice.v1"),
        ("bearer.good", None),
        ("numen.voice.v2, chat", None),
    ],
)
async def test_the_token_is_never_the_chosen_subprotocol(house: House, offered: str | None, chosen: str | None) -> None:
    headers = {} if offered is None else {"Sec-WebSocket-Protocol": offered}
    ended = await called(house, START, **headers)
    assert ended.headers.get("sec-websocket-protocol") == chosen


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER, Role.ADMIN, Role.OWNER])
async def test_a_viewer_does_not_talk(house: House, role: Role) -> None:
    house.role = role
    ended = await called(house)
    assert ended.code == (1008 if role is Role.VIEWER else 1000)
    assert len(house.came) == (0 if role is Role.VIEWER else 1)
    assert [event["code"] for event in ended.events] == (["forbidden"] if role is Role.VIEWER else [])


@pytest.mark.parametrize("name", ["token", "TOKEN", "key", "api_key", "access_token", "authorization", "%74oken"])
async def test_credentials_in_the_address_are_refused_and_not_logged(house: House, name: str, logs: Logs) -> None:
    ended = await called(house, query=f"?a=b&{name}=canary-0123456789")
    assert (ended.code, [event["code"] for event in ended.events]) == (1008, ["invalid-request"])
    assert not house.credentials
    assert "canary" not in str(logs()) + ended.reason


@pytest.mark.parametrize("first", [frame(2, b"ab"), text({"type": "stop"}), text({"type": "text", "message": "Hello"})])
async def test_nothing_comes_before_the_start(house: House, first: bytes) -> None:
    ended = await called(house, first)
    assert (ended.code, [event["code"] for event in ended.events]) == (1008, ["not-started"])
    assert not house.credentials


async def test_the_start_has_a_deadline() -> None:
    client = Connected(fake_socket())
    await client.accept(None)
    with pytest.raises(BadFrame) as late:
        await started(client, seconds=0.05)
    assert (late.value.close_code, late.value.code) == (1008, "not-started")
    assert "0.05 seconds" in late.value.detail
