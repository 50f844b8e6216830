"""The tools of MCP servers, against a real one of each era."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from uuid import uuid4

import httpx2
import psutil
import pytest
from pydantic import ValidationError

from backend.errors import ToolTimeout, ToolUnavailable
from backend.gateways.address_policy import AddressPolicy
from backend.gateways.guarded_transport import dial
from backend.gateways.mcp_tools import LISTING_SECONDS, McpTools
from backend.models.capabilities import McpServer
from backend.ports.tools import ToolServers
from backend.tests.fair_time import fair_timeout
from backend.tests.gateways.inside_addresses import ALL, PUBLIC, name_server
from backend.tests.gateways.recorded_ways import RecordedWays
from backend.tests.protocol_servers.mcp_server import Era, McpToolServer


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time


@pytest.fixture(scope="module", params=["modern", "handshake"])
def server_process(request: pytest.FixtureRequest) -> Generator[McpToolServer]:
    era: Era = request.param
    with McpToolServer(era=era) as server:
        yield server


@pytest.fixture
def server(server_process: McpToolServer) -> McpToolServer:
    server_process.reset()
    return server_process


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def gateway(server: McpToolServer, clock: Clock) -> AsyncGenerator[McpTools]:
    gateway = McpTools(AddressPolicy(private_hosts=[server.private_host]), now=clock.now)
    yield gateway
    await gateway.close()


def grant(url: str, allowed: tuple[str, ...] | None = None, seconds: float = 20) -> McpServer:
    return McpServer(kind="mcp", name="desk", url=url, allowed_tools=allowed, timeout_seconds=seconds)


def open_connections(server: McpToolServer) -> int:
    """Connections from this process to the server that are not closed."""
    found = psutil.Process().net_connections("tcp")
    return sum(bool(one.raddr) and one.raddr[1] == server.port and one.status == "ESTABLISHED" for one in found)


async def nothing_left(server: McpToolServer, tasks: set[asyncio.Task[object]]) -> None:
    """Wait until no connection and no task is there that was not before. Errors: `TimeoutError`."""
    async with asyncio.timeout(30):
        while open_connections(server) or asyncio.all_tasks() - tasks:  # noqa: ASYNC110 — sockets announce nothing
            await asyncio.sleep(0.005)


def test_it_is_what_the_port_asks_for() -> None:
    gateway: ToolServers = McpTools(AddressPolicy())
    assert gateway.refusal("https://tools.example.com/mcp") is None


# --- what is offered ---


async def test_the_tools_are_listed_as_the_server_offers_them(gateway: McpTools, server: McpToolServer) -> None:
    tools = {tool.name: tool for tool in await gateway.tools(grant(server.url))}
    assert list(tools) == ["add", "note_once", "note", "fail", "slow", "big"]
    assert {name for name, tool in tools.items() if tool.repeatable} == {"add", "note_once"}
    assert tools["add"].description == "Add two numbers."
    assert tools["add"].parameters["required"] == ["a", "b"]
    assert server.calls == []


async def test_only_what_is_allowed_is_listed(gateway: McpTools, server: McpToolServer) -> None:
    tools = await gateway.tools(grant(server.url, ("slow", "add", "absent")))
    assert [tool.name for tool in tools] == ["add", "slow"]
    assert await gateway.tools(grant(server.url, ())) == ()


# --- what a call gives ---


async def test_a_call_has_an_answer_and_carries_its_key(gateway: McpTools, server: McpToolServer) -> None:
    key = uuid4()
    outcome = await gateway.call(grant(server.url), "add", {"a": 2, "b": 40}, key)
    assert (outcome.text, outcome.failed) == ("42", False)
    (call,) = server.calls
    assert (call.tool, call.arguments, call.key) == ("add", {"a": 2, "b": 40}, str(key))


async def test_one_call_is_one_effect_and_a_server_may_know_it_by_its_key(
    gateway: McpTools, server: McpToolServer
) -> None:
    key = uuid4()
    for _ in range(2):
        await gateway.call(grant(server.url), "note_once", {"text": "hello"}, key)
    assert (server.notes, server.effects[str(key)]) == (["hello"], 1)
    await gateway.call(grant(server.url), "note", {"text": "bye"}, other := uuid4())
    assert (server.notes, server.effects[str(other)]) == (["hello", "bye"], 1)


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("fail", {}, "the printer is on fire"),
        ("add", {"a": "x", "b": 1}, "valid integer"),
        ("absent", {}, "Unknown tool"),
    ],
)
async def test_a_tool_that_answers_with_an_error_is_a_failed_outcome(
    gateway: McpTools, server: McpToolServer, tool: str, arguments: dict[str, object], told: str
) -> None:
    outcome = await gateway.call(grant(server.url), tool, arguments, uuid4())
    assert outcome.failed
    assert told in outcome.text


async def test_what_is_not_allowed_is_not_called(gateway: McpTools, server: McpToolServer) -> None:
    outcome = await gateway.call(grant(server.url, ("add",)), "note", {"text": "x"}, uuid4())
    assert (outcome.failed, outcome.text) == (True, "The grant desk does not allow note.")
    assert server.calls == []


async def test_a_long_answer_is_cut(gateway: McpTools, server: McpToolServer) -> None:
    outcome = await gateway.call(grant(server.url), "big", {"characters": 300_000}, uuid4())
    assert outcome.text.startswith("x" * 100_000)
    assert outcome.text.endswith("[cut: the answer has 300,000 characters]")
    assert len(outcome.text) < 100_100


async def test_an_answer_beyond_all_measure_is_not_read(gateway: McpTools, server: McpToolServer) -> None:
    with pytest.raises(
        ToolUnavailable, match=r"desk at 127\.0\.0\.1 cannot be used: it sends more than 4,194,304 bytes"
    ):
        await gateway.call(grant(server.url), "big", {"characters": 30_000_000}, uuid4())


async def test_calls_do_not_wait_for_one_another(gateway: McpTools, server: McpToolServer) -> None:
    slow = [gateway.call(grant(server.url), "slow", {"seconds": 0.5}, uuid4()) for _ in range(8)]
    async with fair_timeout(3.5):
        outcomes = await asyncio.gather(*slow)
    assert {outcome.text for outcome in outcomes} == {"waited 0.5 s"}


# --- deadlines and being called off ---


async def test_a_slow_tool_is_given_up_and_nothing_is_left(gateway: McpTools, server: McpToolServer) -> None:
    await gateway.call(grant(server.url), "add", {"a": 1, "b": 1}, uuid4())
    before = asyncio.all_tasks()
    started = asyncio.get_running_loop().time()
    async with fair_timeout(2):
        with pytest.raises(ToolTimeout, match=r"^The tools of desk at 127\.0\.0\.1 did not answer within 1 second\.$"):
            await gateway.call(grant(server.url, seconds=1), "slow", {"seconds": 30}, uuid4())
    assert asyncio.get_running_loop().time() - started > 0.9
    await nothing_left(server, before)
    # The task that gave up can go on: no scope of it was left cancelled.
    assert (await gateway.call(grant(server.url), "add", {"a": 1, "b": 1}, uuid4())).text == "2"


# A connection that opens in the very moment is closed by whoever collects it, with a warning of the library's sockets.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_call_can_be_called_off_at_any_moment(gateway: McpTools, server: McpToolServer) -> None:
    await gateway.call(grant(server.url), "add", {"a": 1, "b": 1}, uuid4())
    before = asyncio.all_tasks()
    ended = 0
    for steps in [*range(40), *range(40, 400, 7)]:
        task = asyncio.create_task(gateway.call(grant(server.url), "add", {"a": 1, "b": 1}, uuid4()))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        async with fair_timeout(2):  # whatever the step
            await asyncio.wait({task})
        ended += not task.cancelled()
        assert task.cancelled() or task.result().text == "2"
    await nothing_left(server, before)
    assert ended < 40


async def test_a_call_that_waits_for_its_answer_ends_at_once_when_called_off(
    gateway: McpTools, server: McpToolServer
) -> None:
    before = asyncio.all_tasks()
    task = asyncio.create_task(gateway.call(grant(server.url), "slow", {"seconds": 30}, uuid4()))
    await asyncio.to_thread(server.wait_for_calls, "slow", 1)
    task.cancel()
    async with fair_timeout(1):
        await asyncio.wait({task})
    assert task.cancelled()
    await nothing_left(server, before)


# --- lists are kept for a while ---


async def test_a_list_is_good_for_a_minute(mcp_server: McpToolServer, clock: Clock) -> None:
    ways = CountingWays()
    gateway = McpTools(AddressPolicy(private_hosts=[mcp_server.private_host]), dial=ways.dial, now=clock.now)
    first = await gateway.tools(grant(mcp_server.url))
    assert await gateway.tools(grant(mcp_server.url)) is first
    assert ways.ways == 1
    await gateway.tools(grant(mcp_server.url, ("add",)))
    assert ways.ways == 2
    clock.time += LISTING_SECONDS + 1
    assert await gateway.tools(grant(mcp_server.url)) == first
    assert ways.ways == 3
    await gateway.close()


async def test_those_who_ask_at_the_same_time_share_one_answer(mcp_server: McpToolServer) -> None:
    ways = CountingWays()
    gateway = McpTools(AddressPolicy(private_hosts=[mcp_server.private_host]), dial=ways.dial)
    lists = await asyncio.gather(*(gateway.tools(grant(mcp_server.url)) for _ in range(20)))
    assert ways.ways == 1
    assert all(one is lists[0] for one in lists)
    await gateway.close()


async def test_who_waited_asks_himself_when_the_first_was_called_off(mcp_server: McpToolServer) -> None:
    gateway = McpTools(AddressPolicy(private_hosts=[mcp_server.private_host]))
    first = asyncio.create_task(gateway.tools(grant(mcp_server.url)))
    await asyncio.sleep(0)
    second = asyncio.create_task(gateway.tools(grant(mcp_server.url)))
    await asyncio.sleep(0)
    first.cancel()
    assert len(await second) == 6
    await gateway.close()


async def test_a_failure_is_shared_by_those_who_waited_and_not_kept() -> None:
    asked: list[str] = []

    async def names(host: str, _: int) -> list[str]:
        asked.append(host)
        await asyncio.sleep(0.01)
        return []

    gateway = McpTools(AddressPolicy(), resolver=names)
    told = await asyncio.gather(*(gateway.tools(grant("https://a.example/")) for _ in range(9)), return_exceptions=True)
    assert {str(one) for one in told} == {
        "The tools of desk at a.example cannot be used: its name does not lead to a public address."
    }
    assert len(asked) == 1
    with pytest.raises(ToolUnavailable):
        await gateway.tools(grant("https://a.example/"))
    assert len(asked) == 2
    await gateway.close()


class CountingWays(RecordedWays):
    """Real connections; `ways` counts the conversations."""

    def dial(self) -> httpx2.AsyncBaseTransport:
        self.ways += 1
        return dial()


# --- nothing inside ---


@pytest.mark.parametrize("url", ALL)
async def test_no_contract_leads_inside(url: str) -> None:
    ways = RecordedWays()
    gateway = McpTools(AddressPolicy(), resolver=name_server, dial=ways.dial)
    try:
        server = grant(url)
    except ValidationError:
        # Not even a contract; the gateway does not rely on that.
        server = McpServer.model_construct(kind="mcp", name="desk", url=url, timeout_seconds=20.0, allowed_tools=None)
    with pytest.raises(ToolUnavailable):
        await gateway.tools(server)
    with pytest.raises(ToolUnavailable):
        await gateway.call(server, "add", {}, uuid4())
    assert ways.dialled == []
    await gateway.close()


async def test_twenty_names_that_change_their_mind_lead_nowhere_else() -> None:
    ways = RecordedWays()
    for _ in range(20):
        answers = [[PUBLIC], ["127.0.0.1"]]

        async def names(_: str, __: int, answers: list[list[str]] = answers) -> list[str]:
            return answers.pop(0) if len(answers) > 1 else answers[0]

        gateway = McpTools(AddressPolicy(), resolver=names, dial=ways.dial)
        for _ in range(2):
            with pytest.raises(ToolUnavailable):
                await gateway.call(grant("https://rebinding.example/mcp"), "add", {}, uuid4())
        await gateway.close()
    assert set(ways.dialled) == {PUBLIC}


COMMANDS = (
    "npx -y server", "stdio:npx", "stdio://usr/bin/env", "file:///bin/sh", "sh -c 'touch x'", "cmd://calc",
    "exec:/bin/sh", "http://;touch x/", "http://$(touch x)/", "http://`touch x`/", "http://|sh/", "data:,sh",
    "http://127.0.0.1/;sh", "uvx server", "python -m server", "docker run server", "/bin/sh", "../bin/sh",
    "https://-oProxyCommand=sh/", "ssh://host/sh",
)  # fmt: skip
STARTS = {
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.spawn", "pty.spawn",
}  # fmt: skip


def grants(command: str) -> list[McpServer]:
    """Every grant that a contract can make of a command, and one that no contract can."""
    found = [McpServer.model_construct(kind="mcp", name="desk", url=command, timeout_seconds=5.0, allowed_tools=None)]
    whole = {"kind": "mcp", "name": "desk", "url": "https://a.example/"}
    for fields in ({"url": command}, {"command": command}, {"kind": "stdio", "command": command}):
        with suppress(ValidationError):
            found.append(McpServer.model_validate({**whole, **fields}))
    return found


async def test_no_contract_starts_a_process() -> None:
    started: list[str] = []
    watching = True

    def watch(event: str, _: object) -> None:
        if watching and event in STARTS:
            started.append(event)

    sys.addaudithook(watch)
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", ""], check=True)
    assert started, "the watch sees nothing"
    started.clear()
    assert len(COMMANDS) == 20
    gateway = McpTools(AddressPolicy(), resolver=name_server)
    for command in COMMANDS:
        for server in grants(command):
            with pytest.raises(ToolUnavailable):
                await gateway.tools(server)
    watching = False
    assert started == []
    await gateway.close()


def test_the_sdk_is_not_loaded_before_it_is_needed() -> None:
    code = "import sys, backend.gateways.mcp_tools; print(sorted({'mcp', 'httpx2', 'mcp_types'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
