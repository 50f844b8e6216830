"""What becomes of foreign text: measured, cut, cleaned, and put into words."""

from __future__ import annotations

from typing import Any

import pytest

from backend.errors import ToolUnavailable
from backend.gateways.address_policy import AddressPolicy
from backend.gateways.mcp_tools import McpTools
from backend.models.capabilities import McpServer
from backend.tests.gateways.mcp_meetings import calling, grant, listing, met_with
from backend.tests.protocol_servers.raw_mcp_server import Answer, Params, RpcError, raw_mcp_server, saying


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
