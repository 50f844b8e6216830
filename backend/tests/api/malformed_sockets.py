"""What goes wrong on a voice's WebSocket, kind by kind, and how each of them must end.

`expected` is the status of a refused handshake, the code of a close frame, or None where no close frame can come.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from backend.models.voice_frames import FRAME_BYTES
from backend.routers.socket_protocol import MOST_FRAGMENTS
from backend.tests.raw_socket import BINARY, CLOSE, CONT, PING, PONG, TEXT, RawSocket, closing, frame, handshake, text

VOICE = "/api/v1/agents/{agent}/voice"
REFUSED, WRONG, NOT_VALID, UNKNOWN, TOO_BIG = 1008, 1002, 1007, 1003, 1009
NEVER = -1
"""How what never came to an end has ended."""
MASK = bytes(4)
World = Mapping[str, str]
Sent = bytes | str | Mapping[str, Any]
"""Bytes go out as they are, the others as a text frame; a value such as `$viewer` stands for one of the world's."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """One kind. It begins with a handshake; `until` says how far it behaves before it sends what is wrong.

    `tells` is the code of the error that the client must be told before the close. `keys`: there must be tenants.
    """

    name: str
    expected: int | None
    sends: Sequence[Sent] = ()
    target: str = VOICE
    headers: Mapping[str, str | Sequence[str] | None] = field(default_factory=dict[str, str | Sequence[str] | None])
    method: str = "GET"
    version: str = "1.1"
    body: bytes = b""
    until: Literal["connected", "accepted", "started", "ready"] = "accepted"
    leaves: Literal["no", "abort", "half"] = "no"
    tells: str | None = None
    keys: bool = False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went."""

    ended: int | None
    told: tuple[str, ...] = ()


async def provoke(port: int, kind: Malformed, world: World) -> Outcome:
    """Do it once."""
    try:
        async with asyncio.timeout(20):
            return await _provoked(port, kind, world)
    except TimeoutError:
        return Outcome(NEVER)


async def _provoked(port: int, kind: Malformed, world: World) -> Outcome:
    async with await RawSocket.connected(port) as client:
        target = kind.target.format_map(world)
        client.send(handshake(target, kind.headers, method=kind.method, version=kind.version), kind.body)
        if kind.until != "connected":
            try:
                await client.read_head()
            except (asyncio.IncompleteReadError, ConnectionError):
                return Outcome(None)
            if client.so_far.status != 101:
                return Outcome(client.so_far.status, (json.loads(client.so_far.body)["code"],))
        if kind.until in ("started", "ready"):
            client.send(text({"type": "start", **({"token": world["key"]} if world["key"] else {})}))
        if kind.until == "ready":
            await client.until("ready")
        client.send(*(_bytes(sent, world) for sent in kind.sends))
        if kind.leaves == "abort":
            return Outcome(None)
        if kind.leaves == "half":
            client.writer.write_eof()
        ended = await client.ended()
        return Outcome(ended.code, tuple(event["code"] for event in ended.told("error")))


def _bytes(sent: Sent, world: World) -> bytes:
    if isinstance(sent, bytes):
        return sent
    if isinstance(sent, str):
        return text(sent)
    named = {k: world[v[1:]] if isinstance(v, str) and v.startswith("$") else v for k, v in sent.items()}
    return text(named)


def all_kinds() -> list[Malformed]:
    """Every kind, in the order in which a conversation would come to it."""
    return [*_handshakes(), *_addresses(), *_frames(), *_leaving(), *_starts(), *_strangers(), *_talking(), *_text()]


def _handshakes() -> Iterator[Malformed]:
    for name, headers in {
        "no key": {"Sec-WebSocket-Key": None},
        "an empty key": {"Sec-WebSocket-Key": ""},
        "a short key": {"Sec-WebSocket-Key": "c2hvcnQ="},
        "a key that is not base 64": {"Sec-WebSocket-Key": "*" * 24},
        "two keys": {"Sec-WebSocket-Key": ["dGhlIHNhbXBsZSBub25jZQ=="] * 2},
        "a body": {"Content-Length": "5"},
        "a chunked body": {"Transfer-Encoding": "chunked"},
    }.items():
        body = b"0\r\n\r\n" if "chunked" in name else b"hello" if "body" in name else b""
        yield Malformed(name, 400, headers=headers, body=body, tells="malformed-request")
    for name, headers in {
        "no version": {"Sec-WebSocket-Version": None},
        "version 12": {"Sec-WebSocket-Version": "12"},
        "two versions": {"Sec-WebSocket-Version": ["13", "8"]},
        "no upgrade": {"Upgrade": None},
        "another upgrade": {"Upgrade": "h3"},
        "no connection": {"Connection": None},
    }.items():
        yield Malformed(name, 426, headers=headers, tells="upgrade-required")
    yield Malformed("HTTP/1.0", 426, version="1.0", tells="upgrade-required")
    yield Malformed("a POST", 405, method="POST", tells="method-not-allowed")
    yield Malformed("a long header", 431, headers={"X-Long": "a" * 9_000}, tells="header-too-large")
    many = {f"X-{number}": "a" for number in range(150)}
    yield Malformed("many headers", 431, headers=many, tells="header-too-large")
    yield Malformed("half a handshake", None, headers={"X-Half": "a\r\nX"}, until="connected", leaves="abort")
    yield Malformed("a frame with the handshake", None, until="connected", sends=[frame(0x3)], leaves="abort")


def _addresses() -> Iterator[Malformed]:
    for target, status, code in (
        ("/api/v1/agents/{agent}/voices", 404, "route-not-found"),
        ("/api/v1/agents", 404, "route-not-found"),
        ("/api/v1/agents/nobody/voice", 422, "invalid-request"),
        (f"{VOICE}?thread_id=none", 422, "invalid-request"),
        (f"{VOICE}?thread_id=%00", 400, "malformed-url"),
        (f"{VOICE}%", 400, "malformed-url"),
        ("/api/v1/agents/a%2Fb/voice", 400, "malformed-url"),
        (f"{VOICE}?{'a' * 9_000}", 431, "header-too-large"),
        (f"{VOICE}?token=numen_sk_canary", REFUSED, "invalid-request"),
        (f"{VOICE}?API_KEY=numen_sk_canary", REFUSED, "invalid-request"),
    ):
        yield Malformed(f"address {target[:40]}", status, target=target, tells=code)


def _frames() -> Iterator[Malformed]:
    for name, sent in {
        "no mask": frame(BINARY, b"ab", masked=False),
        "reserved bit 1": frame(BINARY, b"ab", rsv=4),
        "reserved bit 2": frame(TEXT, b"{}", rsv=2),
        "reserved bit 3": frame(PING, rsv=1),
        "opcode 3": frame(0x3, b"ab"),
        "opcode 11": frame(0xB),
        "a long ping": frame(PING, bytes(126)),
        "a long pong": frame(PONG, bytes(126)),
        "a fragmented ping": frame(PING, b"a", fin=False),
        "a fragmented close": frame(CLOSE, b"", fin=False),
        "a continuation of nothing": frame(CONT, b"ab"),
        "a message within a message": frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"),
        "a close within a message": frame(BINARY, b"a", fin=False) + closing(1000),
        "a close of one byte": frame(CLOSE, b"a"),
        "a close with 999": closing(999),
        "a close with 1005": closing(1005),
        "a close with 1006": closing(1006),
        "a close with 2999": closing(2999),
        "HTTP once more": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    }.items():
        yield Malformed(name, WRONG, [sent])
    yield Malformed("a close with a reason that is no text", NOT_VALID, [closing(1000, b"\xff")])
    yield Malformed("text that is none", NOT_VALID, [frame(TEXT, b'{"type": "\xff"}')])
    yield Malformed("half a character", NOT_VALID, [frame(TEXT, b"\xe2\x98")])
    yield Malformed("surrogates as bytes", NOT_VALID, [frame(TEXT, b"\xed\xa0\x80", fin=False) + frame(CONT)])
    for until in ("accepted", "ready"):
        for name, sent in {
            "too long": frame(BINARY, bytes(FRAME_BYTES + 1)),
            "longer than memory": frame(BINARY, length=2**62),
            "longer than a number": frame(TEXT, length=2**64 - 1),
            "too long in pieces": frame(BINARY, bytes(40_000), fin=False) + frame(CONT, bytes(40_000)),
            "in too many pieces": frame(TEXT, fin=False) + frame(CONT, fin=False) * (MOST_FRAGMENTS + 1),
        }.items():
            yield Malformed(f"a frame {name}, {until}", TOO_BIG, [sent], until=until)


def _leaving() -> Iterator[Malformed]:
    yield Malformed("a good close", 1000, [closing(1000, b"bye")])
    yield Malformed("a close without a code", 1005, [frame(CLOSE)])
    yield Malformed("a close of one's own", 4999, [closing(4999)], until="ready")
    yield Malformed("pings, then a close", 1000, [frame(PING, b"a" * 125) * 500, closing(1000)])
    yield Malformed("pongs that nobody asked for", 1000, [frame(PONG, b"a") * 500, closing(1000)], until="ready")
    half = struct.pack("!BBH", 0x82, 0xFE, 640) + MASK
    for leaves in ("abort", "half"):
        yield Malformed(f"{leaves}: after the handshake", None, leaves=leaves)
        yield Malformed(f"{leaves}: in a frame's head", None, [half[:3]], leaves=leaves)
        yield Malformed(f"{leaves}: in a frame", None, [half + bytes(100)], leaves=leaves)
        yield Malformed(f"{leaves}: in a message", None, [frame(TEXT, b"{", fin=False)], leaves=leaves)
        yield Malformed(f"{leaves}: while it is let in", None, until="started", leaves=leaves)
        yield Malformed(f"{leaves}: in a conversation", None, [{"type": "interrupt"}], until="ready", leaves=leaves)
        said = {"type": "text", "message": "Hello"}
        yield Malformed(f"{leaves}: before the answer", None, [said], until="ready", leaves=leaves)


def _starts() -> Iterator[Malformed]:
    for name, sent in {
        "audio": frame(BINARY, bytes(640)),
        "stop": {"type": "stop"},
        "text": {"type": "text", "message": "Hello"},
        "played": {"type": "played", "turn": 1, "ms": 1},
    }.items():
        yield Malformed(f"{name} before start", REFUSED, [sent], tells="not-started")
    for name, sent in {
        "an unknown field": {"type": "start", "tenant_id": "0"},
        "a token that is a number": {"type": "start", "token": 5},
        "a token that is a list": {"type": "start", "token": ["a"]},
        "an empty token": {"type": "start", "token": ""},
        "a long token": {"type": "start", "token": "a" * 8_193},
        "an empty user": {"type": "start", "user": ""},
        "a long user": {"type": "start", "user": "a" * 201},
        "a user that is a number": {"type": "start", "user": 1},
        "a NUL in the token": {"type": "start", "token": "a\0"},
    }.items():
        yield Malformed(f"start with {name}", NOT_VALID, [sent], tells="invalid-frame")
    yield Malformed("no audio before start", NOT_VALID, [frame(BINARY)], tells="invalid-audio")


def _strangers() -> Iterator[Malformed]:
    wrong = {"numen_sk_" + "a" * 60, "not a key", "Bearer $key", "a.b.c", "\N{SNOWMAN}", "a\tb"}
    for token in sorted(wrong):
        sent = {"type": "start", "token": token}
        yield Malformed(f"token {token!r:.20}", REFUSED, [sent], tells="unauthenticated", keys=True)
    for name, sent, code in (
        ("no token", {"type": "start"}, "unauthenticated"),
        ("a revoked key", {"type": "start", "token": "$revoked"}, "unauthenticated"),
        ("a viewer", {"type": "start", "token": "$viewer"}, "forbidden"),
        ("a user without the right to name one", {"type": "start", "token": "$plain", "user": "a"}, "forbidden"),
        ("a user with spaces", {"type": "start", "token": "$key", "user": "a b"}, "invalid-request"),
        ("a user of lone spaces", {"type": "start", "token": "$key", "user": " "}, "invalid-request"),
        ("somebody else's key", {"type": "start", "token": "$foreign_key"}, "agent-not-found"),
    ):
        yield Malformed(name, REFUSED, [sent], tells=code, keys=True)
    for name, target, code in (
        ("nobody", "/api/v1/agents/{nobody}/voice", "agent-not-found"),
        ("somebody else's agent", "/api/v1/agents/{foreign_agent}/voice", "agent-not-found"),
        ("an archived agent", "/api/v1/agents/{archived}/voice", "agent-archived"),
        ("an agent without a voice", "/api/v1/agents/{silent}/voice", "invalid-request"),
        ("an agent that is switched to text", "/api/v1/agents/{writing}/voice", "invalid-request"),
        ("an agent that works", "/api/v1/agents/{working}/voice", "agent-not-conversational"),
        ("no such thread", VOICE + "?thread_id={nobody}", "thread-not-found"),
        ("somebody else's thread", VOICE + "?thread_id={foreign_thread}", "thread-not-found"),
        ("another agent's thread", VOICE + "?thread_id={other_thread}", "thread-not-found"),
        ("no such session", VOICE + "?session_id={nobody}", "session-not-found"),
    ):
        yield Malformed(name, REFUSED, target=target, until="started", tells=code, keys=True)
    basic = {"Authorization": "Basic bnVtZW46YQ=="}
    sent = {"type": "start"}
    yield Malformed("a password", REFUSED, [sent], headers=basic, tells="unauthenticated", keys=True)
    two = {"Sec-WebSocket-Protocol": "bearer.a, bearer.b"}
    yield Malformed("two bearers", REFUSED, [sent], headers=two, tells="unauthenticated", keys=True)


def _talking() -> Iterator[Malformed]:
    yield Malformed("start twice", REFUSED, [{"type": "start"}], until="ready", tells="already-started")
    yield Malformed(
        "an odd number of bytes", NOT_VALID, [frame(BINARY, bytes(641))], until="ready", tells="invalid-audio"
    )
    yield Malformed("no audio", NOT_VALID, [frame(BINARY)], until="ready", tells="invalid-audio")
    for sent in (
        {"type": "played", "turn": 1, "ms": -1},
        {"type": "played", "turn": 1, "ms": 10**12},
        {"type": "played", "turn": 1, "ms": True},
        {"type": "played", "turn": 1, "ms": 1.5},
        {"type": "played", "turn": 1, "ms": "1"},
        {"type": "played", "turn": 0, "ms": 1},
        {"type": "played", "ms": 1},
        {"type": "played"},
        {"type": "text"},
        {"type": "text", "message": ""},
        {"type": "text", "message": " \n "},
        {"type": "text", "message": ["Hello"]},
        {"type": "text", "message": "a" * 10_001},
        {"type": "text", "message": "Hello", "role": "system"},
        {"type": "stop", "now": True},
        {"type": "interrupt", "turn": 1},
        {"type": None},
        {"type": {"start": 1}},
        {},
    ):
        yield Malformed(f"{json.dumps(sent):.60}", NOT_VALID, [sent], until="ready", tells="invalid-frame")
    for kind in ("", "Start", "stop ", "ready", "audio.start", "__proto__", "\N{SNOWMAN}"):
        yield Malformed(f"type {kind!r}", UNKNOWN, [{"type": kind}], until="ready", tells="unknown-frame")


def _text() -> Iterator[Malformed]:
    for name, sent in {
        "nothing": "",
        "no JSON": "start",
        "half an object": '{"type": "stop"',
        "two objects": '{"type": "stop"}{"type": "stop"}',
        "NaN": '{"type": "played", "turn": 1, "ms": NaN}',
        "a lone surrogate": '{"type": "text", "message": "\\ud83d"}',
        "a byte order mark": '\ufeff{"type": "stop"}',
        "deeper than anybody reads": "[" * 5_000 + "]" * 5_000,
        "a comment": '{"type": "stop"} // now',
    }.items():
        yield Malformed(f"text: {name}", NOT_VALID, [sent], until="ready", tells="malformed-json")
    deep = "[" * 100 + "]" * 100
    for name, sent in {
        "null": "null",
        "a number": "1",
        "a list": '[{"type": "stop"}]',
        "deep": deep,
        "deep inside": f'{{"type": "text", "message": {deep}}}',
        "very many lists": f"[{'[],' * 21_000}[]]",
        "a NUL": '{"type": "text", "message": "a\\u0000"}',
    }.items():
        yield Malformed(f"text: {name}", NOT_VALID, [sent], until="ready", tells="invalid-frame")
