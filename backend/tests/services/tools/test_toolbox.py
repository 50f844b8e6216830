"""The toolbox: what is granted, under which names, and what happens when a server is away."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend.errors import ToolTimeout, ToolUnavailable
from backend.models.capabilities import grants
from backend.models.tool_names import marked_name, tool_name
from backend.ports import ServerTool, ToolOutcome, ToolRequest, ToolSet, ToolSpec
from backend.services.tools.toolbox import LONGEST_DESCRIPTION, MOST_TOOLS, AgentToolbox
from backend.telemetry import Metrics
from backend.tests.fake_tool_servers import FixedToolServers
from backend.tests.fixtures_logs import Logs
from backend.tests.services.tools.requests import builtin, request, server, tool

MODEL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class Echo:
    """A tool that says what it was called with."""

    spec = ToolSpec("current_time", "Says it again.", {"type": "object"})

    def __init__(self) -> None:
        self.calls: list[tuple[ToolRequest, Mapping[str, Any], UUID]] = []

    async def call(self, request: ToolRequest, arguments: Mapping[str, Any], key: UUID) -> ToolOutcome:
        self.calls.append((request, arguments, key))
        return ToolOutcome("again", failed=bool(arguments.get("fail")))


def toolbox(servers: FixedToolServers | None = None, echo: Echo | None = None, **more: Any) -> AgentToolbox:
    return AgentToolbox(servers or FixedToolServers(), [echo or Echo()], more.pop("metrics", Metrics()), **more)


async def opened(offered: Mapping[str, Sequence[ServerTool]], *granted: dict[str, Any]) -> ToolSet:
    return await toolbox(FixedToolServers(offered)).open(request(*granted))


async def test_there_are_no_tools_while_they_are_off_or_none_is_granted() -> None:
    servers = FixedToolServers({"calendar": [tool("list")]})
    off = request(builtin("current_time"), server("calendar"), tools_enabled=False)
    assert (await toolbox(servers).open(off)).tools == {}
    assert (await toolbox(servers).open(request())).tools == {}
    assert servers.most_at_once == 0


async def test_a_tool_that_comes_along_is_called_for_this_run() -> None:
    echo = Echo()
    asked = request(builtin("current_time", "always"))
    given = (await toolbox(echo=echo).open(asked)).tools["current_time"]
    assert (given.spec, given.approval, given.repeatable) == (Echo.spec, "always", True)
    key = uuid4()
    assert await given.call({"a": 1}, key) == ToolOutcome("again")
    assert echo.calls == [(asked, {"a": 1}, key)]


async def test_a_servers_tools_are_called_there() -> None:
    schema = {"type": "object", "properties": {"day": {"type": "string"}}}
    servers = FixedToolServers({"calendar": [tool("list", "Lists.", schema, repeatable=True), tool("send")]})
    servers.answers["list"] = ToolOutcome("nothing planned")
    given = await toolbox(servers).open(request(server("calendar", approval="never")))
    assert list(given.tools) == ["calendar__list", "calendar__send"]
    listing, sending = given.tools.values()
    assert listing.spec == ToolSpec("calendar__list", "Lists.", schema)
    assert (listing.approval, listing.repeatable, sending.repeatable) == ("never", True, False)
    key = uuid4()
    assert await listing.call({"day": "today"}, key) == ToolOutcome("nothing planned")
    assert servers.called == [("calendar", "list", {"day": "today"}, key)]


async def test_servers_are_asked_at_the_same_time_and_given_in_the_order_of_the_grants() -> None:
    servers = FixedToolServers({name: [tool("b"), tool("a")] for name in ("one", "two", "three")})
    granted = (server("two"), builtin("current_time"), server("one"), server("three"))
    given = await toolbox(servers).open(request(*granted))
    assert servers.most_at_once == 3
    assert list(given.tools) == [
        *("two__b", "two__a", "current_time", "one__b", "one__a", "three__b", "three__a"),
    ]


async def test_a_server_that_is_away_takes_nothing_else_along(logs: Logs) -> None:
    servers = FixedToolServers({"calendar": [tool("list")]})
    given = await toolbox(servers).open(request(server("mail"), server("calendar"), builtin("current_time")))
    assert list(given.tools) == ["calendar__list", "current_time"]
    assert given.away == ["mail"]
    [line] = [one for one in logs() if one["event"] == "a tool server is away"]
    assert (line["server"], line["reason"]) == ("mail", "https://mail.example.com/mcp does not answer")


async def test_a_server_that_was_away_can_be_asked_again() -> None:
    servers = FixedToolServers({"calendar": [tool("list")]})
    box, asked = toolbox(servers), request(server("mail"), server("calendar"))
    given = await box.open(asked)
    assert given.look_again is not None
    servers.offered["mail"] = [tool("send")]
    again = await given.look_again()
    assert (list(again.tools), again.away, again.look_again) == (["mail__send", "calendar__list"], [], None)


async def test_a_server_that_never_says_what_it_offers_is_away() -> None:
    servers = FixedToolServers({"calendar": [tool("list")], "mail": [tool("send")]})
    servers.hangs = {"mail"}
    given = await toolbox(servers, listing_seconds=0.01).open(request(server("mail"), server("calendar")))
    assert (list(given.tools), given.away) == (["calendar__list"], ["mail"])


async def test_only_allowed_tools_are_given_whatever_the_server_says() -> None:
    given = await opened({"mail": [tool("read"), tool("send")]}, server("mail", allowed_tools=["read", "delete"]))
    assert list(given.tools) == ["mail__read"]
    assert (await opened({"mail": [tool("read")]}, server("mail", allowed_tools=[]))).tools == {}


async def test_nonsense_of_a_server_is_made_harmless() -> None:
    odd = [
        tool("a", "\ud800 nul \x00 " + "x" * 5000, "nonsense"),
        tool("b", "  \n", {"type": "array"}),
        tool("c", "", {"properties": {"x": {"$ref": "file:///etc/passwd"}}}),
    ]
    given = [one.spec for one in (await opened({"odd": odd}, server("odd"))).tools.values()]
    assert given[0].description.startswith("\ufffd nul \ufffd x")
    assert len(given[0].description) == LONGEST_DESCRIPTION
    assert given[1].description == ""
    assert [one.parameters for one in given] == [
        {"type": "object"},
        {"type": "object"},
        {"type": "object", "properties": {"x": {}}},
    ]


async def test_no_more_tools_are_given_than_a_model_takes(logs: Logs) -> None:
    many = [tool(f"t{number}") for number in range(MOST_TOOLS + 5)]
    given = await opened({"many": many}, builtin("current_time"), server("many"))
    assert len(given.tools) == MOST_TOOLS
    assert list(given.tools)[:2] == ["current_time", "many__t0"]
    assert [one["tools"] for one in logs() if one["event"] == "an agent is granted too many tools"] == [MOST_TOOLS + 6]


async def test_calls_are_counted_by_how_they_went() -> None:
    metrics = Metrics()
    servers = FixedToolServers({"mail": [tool("send"), tool("late"), tool("gone"), tool("bad")]})
    servers.answers = {
        "late": ToolTimeout("too slow"),
        "gone": ToolUnavailable("away"),
        "bad": ToolOutcome("no", failed=True),
    }
    given = (await toolbox(servers, metrics=metrics).open(request(server("mail"), builtin("current_time")))).tools
    await given["mail__send"].call({}, uuid4())
    await given["mail__bad"].call({}, uuid4())
    await given["current_time"].call({}, uuid4())
    await given["current_time"].call({"fail": True}, uuid4())
    with pytest.raises(ToolTimeout):
        await given["mail__late"].call({}, uuid4())
    with pytest.raises(ToolUnavailable):
        await given["mail__gone"].call({}, uuid4())
    counted = {
        (one.labels["tool"], one.labels["outcome"]): one.value
        for metric in metrics.registry.collect()
        for one in metric.samples
        if one.name == "numen_tool_calls_total"
    }
    assert counted == dict.fromkeys(
        [
            ("mcp", "completed"),
            ("mcp", "failed"),
            ("mcp", "tool-timeout"),
            ("mcp", "tool-unavailable"),
            ("current_time", "completed"),
            ("current_time", "failed"),
        ],
        1,
    )


# --- names ---


async def test_names_have_the_letters_that_models_know() -> None:
    given = await opened({"a": [tool("files.read"), tool("näme mit Ä"), tool("")]}, server("a"))
    assert list(given.tools) == ["a__files_read", "a__n_me_mit__", "a__"]


async def test_a_name_that_is_too_long_is_cut_and_marked() -> None:
    long = ["x" * 100 + end for end in "ab"]
    names = list((await opened({"a": [tool(one) for one in long]}, server("a"))).tools)
    assert names == [marked_name("a", one) for one in long]
    assert all(len(one) == 64 and one.startswith("a__xxx") for one in names)


async def test_two_tools_that_would_have_one_name_are_told_apart_in_any_order() -> None:
    tools = [tool("list.all", "dot"), tool("list_all", "exact"), tool("list all", "space")]
    found = [
        {name: one.spec.description for name, one in (await opened({"a": order}, server("a"))).tools.items()}
        for order in permutations(tools)
    ]
    assert all(one == found[0] for one in found)
    assert found[0] == {
        "a__list_all": "exact",
        marked_name("a", "list.all"): "dot",
        marked_name("a", "list all"): "space",
    }


async def test_a_tool_that_is_listed_twice_is_the_first() -> None:
    given = await opened({"a": [tool("x", "first"), tool("x", "second")]}, server("a"))
    assert {name: one.spec.description for name, one in given.tools.items()} == {"a__x": "first"}


async def test_no_server_takes_a_name_that_is_anothers_also_not_while_that_one_is_away() -> None:
    offered = {"a": [tool("b__c", "of a")], "a__b": [tool("c", "of a__b")]}
    for granted in permutations([server("a"), server("a__b", url="https://b.example.com/mcp")]):
        given = await opened(offered, *granted)
        described = {name: one.spec.description for name, one in given.tools.items()}
        assert described == {"a__b__c": "of a__b", marked_name("a", "b__c"): "of a"}
        alone = await opened({"a": offered["a"]}, *granted)
        assert list(alone.tools) == [marked_name("a", "b__c")]


SLUGS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True)
TOOLS = st.lists(st.text("ab_. ä\x00\ud800", max_size=4) | st.text(max_size=80), max_size=6)


@given(st.dictionaries(SLUGS | st.sampled_from(["a", "a_", "a__a", "a__b"]), TOOLS, min_size=1, max_size=4))
@example({"0": ["\ud800", "?"]})
async def test_every_tool_has_a_name_of_its_own_that_steps_may_call(offered: dict[str, list[str]]) -> None:
    granted = [server(name, url="https://tools.example.com/mcp") for name in offered]
    asked = request(*granted)
    servers = FixedToolServers({name: [tool(one, one) for one in tools] for name, tools in offered.items()})
    given = (await toolbox(servers).open(asked)).tools
    assert all(MODEL_NAME.fullmatch(name) for name in given)
    assert len(given) == sum(len(set(tools)) for tools in offered.values())
    capabilities = asked.contract.capabilities
    assert capabilities is not None
    assert all(any(grants(grant, name) for grant in capabilities.tools) for name in given)


@given(SLUGS, st.text(max_size=100))
def test_a_name_follows_from_grant_and_tool_alone(grant: str, named: str) -> None:
    assert tool_name(grant, named) == tool_name(grant, named)
    assert MODEL_NAME.fullmatch(tool_name(grant, named))
    assert MODEL_NAME.fullmatch(marked_name(grant, named))
    assert marked_name(grant, named) != tool_name(grant, named) or len(f"{grant}__{named}") > 64
