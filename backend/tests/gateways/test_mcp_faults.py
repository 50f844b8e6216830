"""What MCP servers do wrong, and what comes of it: an error in words, in time, and nothing left behind."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from backend.errors import ToolError, ToolTimeout, ToolUnavailable
from backend.gateways.address_policy import AddressPolicy
from backend.gateways.mcp_tools import McpTools
from backend.models.capabilities import McpServer
from backend.tests.fixtures_logs import Logs
from backend.tests.protocol_servers.raw_mcp_server import (
    Answer,
    Params,
    RawMcpServer,
    RpcError,
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

Doing = Callable[[McpTools, McpServer], Awaitable[Any]]
SECRET = "/mcp?token=hunter2hunter2"


async def listing(gateway: McpTools, server: McpServer) -> Any:
    return await gateway.tools(server)


async def calling(gateway: McpTools, server: McpServer) -> Any:
    return await gateway.call(server, "add", {"a": 1}, uuid4())


def grant(server: RawMcpServer, seconds: float = 20) -> McpServer:
    url = server.url.replace("/mcp", SECRET)
    return McpServer(kind="mcp", name="desk", url=url, timeout_seconds=seconds)


async def met_with(answers: dict[str, Answer], doing: Doing, seconds: float = 20) -> Any:
    """What comes of doing this with such a server. Nothing may be left of it, whatever it was."""
    before = asyncio.all_tasks()
    try:
        async with raw_mcp_server(answers) as server:
            gateway = McpTools(AddressPolicy(private_hosts=[server.private_host]))
            try:
                return await doing(gateway, grant(server, seconds))
            finally:
                await gateway.close()
    finally:
        left = asyncio.all_tasks() - before
        if left:  # the loop closes generators that were left in the middle; nothing else may be there for long
            _, left = await asyncio.wait(left, timeout=1)
        assert not left, left


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
        assert 0.9 < took < 2, f"{place}: {took:.1f} s"
    assert asyncio.all_tasks() <= before


@pytest.mark.parametrize("place", HANGING)
async def test_a_call_to_a_server_that_hangs_is_called_off_at_once(place: str) -> None:
    async with raw_mcp_server(HANGING[place]) as server:
        gateway = McpTools(AddressPolicy(private_hosts=[server.private_host]))
        task = asyncio.create_task(calling(gateway, grant(server)))
        async with asyncio.timeout(5):
            while not set(server.asked) & HANGING[place].keys():  # noqa: ASYNC110 — it has no event for each of these
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=0.8)
        assert done
        assert task.cancelled()
        await gateway.close()


@pytest.mark.parametrize("goodbye", [hang, then_hang_up(b"rubbish"), then_hang_up(b""), http(status="500 Oh")])
async def test_an_answer_counts_also_when_the_goodbye_does_not(goodbye: Answer) -> None:
    done = saying({"content": [{"type": "text", "text": "done"}]})
    async with raw_mcp_server({"tools/call": done, "DELETE": goodbye, "GET": hang}, "s1") as server:
        gateway = McpTools(AddressPolicy(private_hosts=[server.private_host]))
        started = time.monotonic()
        assert (await calling(gateway, grant(server))).text == "done"
        assert time.monotonic() - started < 2
        await gateway.close()
    assert "DELETE" in server.asked


async def test_a_session_is_ended_at_the_server() -> None:
    async with raw_mcp_server(session_id="s1") as server:
        gateway = McpTools(AddressPolicy(private_hosts=[server.private_host]))
        assert await gateway.tools(grant(server)) == ()
        await gateway.close()
    (goodbye,) = [head for head in server.heads if head.startswith("DELETE")]
    assert "mcp-session-id: s1\r\n" in goodbye.lower()


# --- foreign text ---


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"type": "object"}, **more}


async def offered(*tools: dict[str, Any]) -> Any:
    return await met_with({"tools/list": saying({"tools": tools})}, listing)


async def given(**result: Any) -> Any:
    return await met_with({"tools/call": saying({"content": [], **result})}, calling)


async def test_tools_that_no_model_could_use_are_left_out() -> None:
    big = {"type": "object", "description": "x" * 32_000}
    wide = {"type": "object", "maxProperties": 2**70}
    found = await offered(
        tool(""),
        tool("a" * 129),
        tool("two\nlines"),
        tool("nul\0"),
        tool("big", inputSchema=big),
        tool("wide", inputSchema=wide),
        tool("good"),
        tool("good", description="another of that name"),
        tool("a" * 128),
    )
    assert [one.name for one in found] == ["good", "a" * 128]
    assert found[0].description == ""


async def test_descriptions_and_schemas_are_cut_and_cleaned() -> None:
    (found,) = await offered(
        tool("good", description="a\0b" + "x" * 9000, inputSchema={"type": "object", "title": "nul\0", "\0": ["\0"]})
    )
    assert found.description == ("a\ufffdb" + "x" * 9000)[:4000]
    assert found.parameters == {"type": "object", "title": "nul\ufffd", "\ufffd": ["\ufffd"]}


@pytest.mark.parametrize(
    ("hints", "repeatable"),
    [
        (None, False),
        ({}, False),
        ({"readOnlyHint": True}, True),
        ({"idempotentHint": True, "destructiveHint": True}, True),
        ({"readOnlyHint": False, "idempotentHint": False}, False),
    ],
)
async def test_what_may_be_repeated_is_what_the_server_says(hints: dict[str, bool] | None, repeatable: bool) -> None:
    (found,) = await offered(tool("good", **({} if hints is None else {"annotations": hints})))
    assert found.repeatable is repeatable


async def test_pages_are_followed_in_their_order() -> None:
    def page(params: Params) -> Any:
        at = int(params.get("cursor") or 0)
        more = {"nextCursor": str(at + 1)} if at < 3 else {}
        return {"tools": [tool(f"t{at}a"), tool(f"t{at}b")], **more}

    found = await met_with({"tools/list": page}, listing)
    assert [one.name for one in found] == [f"t{at}{letter}" for at in range(4) for letter in "ab"]


@pytest.mark.parametrize("each", [0, 1, 30, 1000])
async def test_pages_without_end_have_one(each: int) -> None:
    pages: list[int] = []

    def page(_: Params) -> Any:
        pages.append(1)
        return {"tools": [tool(f"t{len(pages)}-{at}") for at in range(each)], "nextCursor": "more"}

    found = await met_with({"tools/list": page}, listing)
    assert len(found) == min(200, each * 20)
    assert len(pages) <= 20


async def test_every_kind_of_content_has_words() -> None:
    outcome = await given(
        content=[
            {"type": "text", "text": "first\0"},
            {"type": "image", "data": "AAAA", "mimeType": "image/png"},
            {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"},
            {"type": "resource_link", "name": "report", "uri": "https://a.example/r"},
            {"type": "resource", "resource": {"uri": "file:///notes", "text": "inside"}},
            {"type": "resource", "resource": {"uri": "file:///blob", "blob": "AAAA"}},
            {"type": "text", "text": "last"},
        ]
    )
    assert outcome.text.split("\n") == [
        "first\ufffd",
        "[image, image/png: it cannot be shown here]",
        "[audio, audio/wav: it cannot be shown here]",
        "[link to report: https://a.example/r]",
        "inside",
        "[file file:///blob: it cannot be shown here]",
        "last",
    ]
    assert not outcome.failed


async def test_an_answer_without_content_has_words() -> None:
    assert (await given()).text == "The tool gave nothing back."
    assert (await given(structuredContent={"sum": 3, "nul": "\0"})).text == '{"sum":3,"nul":"\ufffd"}'
    failed = await given(isError=True, content=[{"type": "text", "text": "no paper"}])
    assert (failed.text, failed.failed) == ("no paper", True)


async def test_a_schema_of_the_answer_is_not_obeyed() -> None:
    """Its pattern would take longer than the sun lasts."""
    bomb = {"type": "object", "properties": {"s": {"type": "string", "pattern": "^(a+)+$"}}}
    answers: dict[str, Answer] = {
        "tools/list": saying({"tools": [tool("add", outputSchema=bomb)]}),
        "tools/call": saying({"content": [], "structuredContent": {"s": "a" * 40 + "!"}}),
    }

    async def both(gateway: McpTools, server: McpServer) -> Any:
        await gateway.tools(server)
        return await calling(gateway, server)

    assert "aaa!" in (await met_with(answers, both)).text


@pytest.mark.parametrize(
    ("code", "failed"), [(-32602, True), (1001, True), (-31000, True), (-32603, False), (-32601, False)]
)
async def test_an_error_of_the_tool_is_told_and_one_of_the_protocol_is_a_fault(code: int, failed: bool) -> None:
    def refuse(_: Params) -> Any:
        raise RpcError(code, "no such\0 city")

    if failed:
        outcome = await met_with({"tools/call": refuse}, calling)
        assert (outcome.text, outcome.failed) == ("The tool refused: no such\ufffd city", True)
    else:
        with pytest.raises(ToolUnavailable):
            await met_with({"tools/call": refuse}, calling)


MODERN: dict[str, Any] = {
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {}},
    "resultType": "complete",
    "ttlMs": 0,
    "cacheScope": "public",
}


async def test_a_tool_that_asks_back_has_failed() -> None:
    answers: dict[str, Answer] = {
        "server/discover": saying(MODERN),
        "tools/call": saying({"resultType": "input_required", "requestState": "s"}),
    }
    outcome = await met_with(answers, calling)
    assert (outcome.failed, outcome.text) == (True, "The tool asks back before it answers, which is not possible here.")


async def test_arguments_that_a_server_wants_in_headers_get_there() -> None:
    calls: list[Params] = []

    def call(params: Params) -> Any:
        calls.append(params)
        if len(calls) == 1:
            raise RpcError(-32020, "header mismatch")
        return {"content": [{"type": "text", "text": "ok"}], "resultType": "complete"}

    schema = {"type": "object", "properties": {"a": {"type": "integer", "x-mcp-header": "Region"}}}
    listed = {"tools": [tool("add", inputSchema=schema)], "resultType": "complete", "ttlMs": 0, "cacheScope": "public"}
    answers: dict[str, Answer] = {"server/discover": saying(MODERN), "tools/list": saying(listed), "tools/call": call}
    async with raw_mcp_server(answers) as server:
        gateway = McpTools(AddressPolicy(private_hosts=[server.private_host]))
        assert (await calling(gateway, grant(server))).text == "ok"
        await gateway.close()
    assert len({params["_meta"]["numen/idempotency-key"] for params in calls}) == 1
    assert "mcp-param-region: 1\r\n" in server.heads[-1].lower()


async def test_what_a_server_did_wrong_is_not_logged(logs: Logs) -> None:
    for reply in ("no JSON", "a stream of rubbish", "content of an unknown kind", "elsewhere"):
        with pytest.raises(ToolUnavailable):
            await met_with({"tools/call": REPLIES[reply]}, calling)
    assert logs() == []
