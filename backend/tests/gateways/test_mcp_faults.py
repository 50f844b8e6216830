"""What MCP servers do wrong, and what comes of it: an error in words, in time, and nothing left behind."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from backend.errors import ToolError, ToolTimeout, ToolUnavailable
from backend.gateways.address_policy import AddressPolicy
from backend.gateways.mcp_tools import McpTools
from backend.models.capabilities import McpServer
from backend.tests.fair_time import fair_timeout
from backend.tests.fixtures_logs import Logs
from backend.tests.gateways.mcp_meetings import SECRET, calling, grant, listing, met_with
from backend.tests.protocol_servers.raw_mcp_server import (
    Answer,
    event,
    for_ever,
    hang,
    http,
    raw_mcp_server,
    saying,
    stream,
    then_hang,
    then_hang_up,
)

DEEP = b'{"jsonrpc":"2.0","id":1,"result":' + b'{"a":' * 5000 + b"1" + b"}" * 5001
REPLIES: dict[str, Answer] = {
    "500": http(status="500 Internal Server Error", kind="text/html"),
    "401": http(status="401 Unauthorized"),
    "404 with a page": http(b"<html>", status="404 Not Found", kind="text/html"),
    "202": http(status="202 Accepted"),
    "204": http(status="204 No Content"),
    "304": http(status="304 Not Modified"),
    "an odd status": http(status="799 Odd"),
    "a page": http(b"<html>hello</html>", kind="text/html"),
    "no JSON": http(b"{"),
    "half an UTF-8": http(b'{"jsonrpc": "2.0", "id": 1, "result": {"a": "\xc3"}}'),
    "null": http(b"null"),
    "a list": http(b"[]"),
    "a number": http(b"7"),
    "no result": http(b'{"jsonrpc": "2.0", "id": 1}'),
    "another's answer": then_hang(http(b'{"jsonrpc": "2.0", "id": 4711, "result": {}}')),
    "an empty result": saying({}),
    "no object": saying("hello"),
    "wrong types": saying({"tools": 7, "content": 7}),
    "a list of nothing": saying({"tools": [None], "content": [None]}),
    "content of an unknown kind": saying({"tools": [{}], "content": [{"type": "smell"}]}),
    "too deep": http(DEEP),
    "a lone surrogate": http(b'{"jsonrpc": "2.0", "id": 1, "result": {"a": "\\ud800"}}'),
    "an error without a code": http(b'{"jsonrpc": "2.0", "id": 1, "error": {}}'),
    "no HTTP": then_hang_up(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "nothing": then_hang_up(b""),
    "half a head": then_hang_up(b"HTTP/1.1 200 OK\r\ncontent-ty"),
    "half a body": then_hang_up(http(b'{"jsonrpc": "2.0"}')[:-3]),
    "an endless head": for_ever(b"HTTP/1.1 200 OK\r\n", b"x: " + b"y" * 1000 + b"\r\n"),
    "an endless body": for_ever(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n", b" " * 65536),
    "an endless event": for_ever(stream(b"data: "), b"x" * 65536),
    "endless comments": for_ever(stream(), b": ping\r\n\r\n" * 5000),
    "endless news": for_ever(stream(), event({"jsonrpc": "2.0", "method": "notifications/progress"}) * 500),
    "endless questions": for_ever(stream(), event({"jsonrpc": "2.0", "id": 9, "method": "ping"}) * 500),
    "a stream without events": then_hang_up(stream()),
    "a stream of rubbish": then_hang_up(stream(b"data: {\r\n\r\n")),
    "a stream to be taken up": then_hang_up(stream(b"retry: 0\r\nid: 1\r\ndata:\r\n\r\n")),
    "a bomb": http(b"x" * 100, more="content-encoding: gzip\r\n"),
    "elsewhere": http(status="302 Found", more="location: https://example.com/\r\n"),
    "inside": http(status="307 Temporary Redirect", more="location: http://169.254.169.254/latest\r\n"),
    "in circles": http(status="307 Temporary Redirect", more=f"location: {SECRET}\r\n"),
    "to nowhere": http(status="307 Temporary Redirect", more="location: http://[\r\n"),
    "to a file": http(status="307 Temporary Redirect", more="location: file:///etc/passwd\r\n"),
}


@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("method", ["server/discover", "initialize", "tools/list", "tools/call"])
async def test_rubbish_has_an_error_in_words(method: str, reply: str) -> None:
    """Rubbish instead of the answer to this method; the others are answered well."""
    answers: dict[str, Answer] = {method: REPLIES[reply]}
    if method == "server/discover":  # what comes after it is as bad, or the handshake would mend it
        answers["initialize"] = REPLIES[reply]
    doing = calling if method == "tools/call" else listing
    with pytest.raises(ToolError) as caught:
        await met_with(answers, doing, seconds=1 if reply == "another's answer" else 20)
    told = caught.value.detail
    assert told.startswith("The tools of desk at 127.0.0.1 ")
    assert "hunter2" not in told
    assert isinstance(caught.value, ToolTimeout if reply == "another's answer" else ToolUnavailable)


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ("401", "it answered 401 Unauthorized."),
        ("an odd status", "it answered 799."),
        ("elsewhere", "it answered 302 Found."),
        ("half a body", "it hung up in the middle."),
        ("a page", "what it answered is no proper MCP."),
        ("an endless body", "it sends more than 4,194,304 bytes."),
        ("endless comments", "it sends more than 20,000 lines of events."),
        ("a bomb", "its answer is compressed although that was not asked for."),
    ],
)
async def test_an_error_says_what_was_wrong(reply: str, told: str) -> None:
    with pytest.raises(ToolUnavailable) as caught:
        await met_with({"tools/call": REPLIES[reply]}, calling)
    assert caught.value.detail == f"The tools of desk at 127.0.0.1 cannot be used: {told}"


async def test_a_dead_server_is_said_to_be_dead() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    gateway = McpTools(AddressPolicy(private_hosts=[f"127.0.0.1:{port}"]))
    server = McpServer(kind="mcp", name="desk", url=f"http://127.0.0.1:{port}/mcp")
    for doing in (listing, calling):
        with pytest.raises(ToolUnavailable, match=r"at 127\.0\.0\.1 cannot be used: no connection could be made\."):
            await doing(gateway, server)
    await gateway.close()


HANGING: dict[str, dict[str, Answer]] = {
    "at once": {"server/discover": hang},
    "in the handshake": {"initialize": hang},
    "after the handshake": {"notifications/initialized": hang},
    "before the answer": {"tools/call": hang},
    "after the head": {"tools/call": then_hang(b"HTTP/1.1 200 OK\r\n")},
    "in a body": {"tools/call": then_hang(http(b'{"jsonrpc": "2.0"}')[:-3])},
    "in a stream": {"tools/call": then_hang(stream(b"data: {"))},
    "in an empty stream": {"tools/call": then_hang(stream())},
    "in a redirect": {"tools/call": then_hang(http(b"x" * 9, status="307 T", more="location: /mcp\r\n")[:-3])},
    "and comes back": {
        "tools/call": then_hang_up(stream(b"retry: 1\r\nid: 1\r\ndata:\r\n\r\n")),
        "GET": then_hang(stream(b"id: 2\r\ndata:\r\n\r\n")),
    },
}


async def test_no_server_that_hangs_holds_us_past_the_deadline() -> None:
    async def meet(answers: dict[str, Answer]) -> tuple[BaseException, float]:
        async with raw_mcp_server(answers) as server:
            gateway = McpTools(AddressPolicy(private_hosts=[server.private_host]))
            started = time.monotonic()
            async with fair_timeout(2):
                with pytest.raises(ToolTimeout) as caught:
                    await calling(gateway, grant(server, seconds=1))
            took = time.monotonic() - started
            await gateway.close()
            return caught.value, took

    await met_with({"tools/call": saying({"content": []})}, calling)  # the SDK is loaded once
    before = asyncio.all_tasks()
    met = await asyncio.gather(*(meet(answers) for answers in HANGING.values()))
    for place, (error, took) in zip(HANGING, met, strict=True):
        assert str(error) == "The tools of desk at 127.0.0.1 did not answer within 1 second.", place
        assert took > 0.9, f"{place}: {took:.1f} s"
    assert asyncio.all_tasks() <= before


@pytest.mark.parametrize("place", HANGING)
async def test_a_call_to_a_server_that_hangs_is_called_off_at_once(place: str) -> None:
    async with raw_mcp_server(HANGING[place]) as server:
        gateway = McpTools(AddressPolicy(private_hosts=[server.private_host]))
        task = asyncio.create_task(calling(gateway, grant(server)))
        async with asyncio.timeout(30):
            while not set(server.asked) & HANGING[place].keys():  # noqa: ASYNC110 — it has no event for each of these
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        task.cancel()
        async with fair_timeout(0.8):
            await asyncio.wait({task})
        assert task.cancelled()
        await gateway.close()


@pytest.mark.parametrize("goodbye", [hang, then_hang_up(b"rubbish"), then_hang_up(b""), http(status="500 Oh")])
async def test_an_answer_counts_also_when_the_goodbye_does_not(goodbye: Answer) -> None:
    done = saying({"content": [{"type": "text", "text": "done"}]})
    async with raw_mcp_server({"tools/call": done, "DELETE": goodbye, "GET": hang}, "s1") as server:
        gateway = McpTools(AddressPolicy(private_hosts=[server.private_host]))
        async with fair_timeout(2):
            assert (await calling(gateway, grant(server))).text == "done"
        await gateway.close()
    assert "DELETE" in server.asked


async def test_a_session_is_ended_at_the_server() -> None:
    async with raw_mcp_server(session_id="s1") as server:
        gateway = McpTools(AddressPolicy(private_hosts=[server.private_host]))
        assert await gateway.tools(grant(server)) == ()
        await gateway.close()
    (goodbye,) = [head for head in server.heads if head.startswith("DELETE")]
    assert "mcp-session-id: s1\r\n" in goodbye.lower()


async def test_what_a_server_did_wrong_is_not_logged(logs: Logs) -> None:
    for reply in ("no JSON", "a stream of rubbish", "content of an unknown kind", "elsewhere"):
        with pytest.raises(ToolUnavailable):
            await met_with({"tools/call": REPLIES[reply]}, calling)
    assert logs() == []
