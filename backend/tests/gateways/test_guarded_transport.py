"""The one way out: what it dials, what it refuses, and where an answer ends."""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from backend.gateways.address_policy import AddressPolicy
from backend.gateways.guarded_transport import Blocked, GuardedTransport, TooMuch
from backend.gateways.name_resolver import Resolver, SystemResolver
from backend.tests.gateways.certificates import certified
from backend.tests.gateways.inside_addresses import ALL, PUBLIC, name_server
from backend.tests.gateways.recorded_ways import Answering, RecordedWays
from backend.tests.protocol_servers.raw_mcp_server import http, raw_mcp_server

OPEN = AddressPolicy()


def answering(*rounds: list[str]) -> Resolver:
    """A name server that gives these answers in turn, the last one for ever."""
    waiting = list(rounds)

    async def answer(_: str, __: int) -> list[str]:
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    return answer


def client(ways: RecordedWays, resolver: Resolver, **limits: int) -> httpx2.AsyncClient:
    transport = GuardedTransport(OPEN, resolver, dial=ways.dial, **limits)
    return httpx2.AsyncClient(transport=transport, trust_env=False, follow_redirects=True)


def text(body: str) -> Answering:
    return lambda _: httpx2.Response(200, stream=httpx2.ByteStream(body.encode()))


@pytest.mark.parametrize("url", ALL)
async def test_nothing_is_dialled_for_what_is_inside(url: str) -> None:
    ways = RecordedWays()
    async with client(ways, name_server) as http_client:
        with pytest.raises((Blocked, httpx2.UnsupportedProtocol, httpx2.InvalidURL, UnicodeError)):
            await http_client.get(url)
    assert ways.dialled == []


async def test_what_is_public_is_dialled_by_its_number_and_asked_for_by_its_name() -> None:
    ways = RecordedWays()
    async with client(ways, answering([PUBLIC])) as http_client:
        answer = await http_client.get("https://tools.example.com/mcp?key=1", headers={"host": "inside.example"})
    (request,) = ways.requests
    assert (str(request.url), request.headers["host"]) == (f"https://{PUBLIC}/mcp?key=1", "tools.example.com")
    assert request.extensions["sni_hostname"] == "tools.example.com"
    assert (answer.text, str(answer.url)) == ("ok", "https://tools.example.com/mcp?key=1")


async def test_an_ipv6_address_is_dialled() -> None:
    ways = RecordedWays()
    async with client(ways, answering(["2606:4700::1111"])) as http_client:
        await http_client.get("https://tools.example.com/mcp")
    assert str(ways.requests[0].url) == "https://[2606:4700::1111]/mcp"


async def test_twenty_names_that_change_their_mind_lead_only_to_the_address_that_was_judged() -> None:
    ways = RecordedWays()
    for _ in range(20):
        async with client(ways, answering([PUBLIC], ["127.0.0.1"])) as http_client:
            await http_client.get("http://rebinding.example/")
            with pytest.raises(Blocked):
                await http_client.get("http://rebinding.example/")
    assert ways.dialled == [PUBLIC] * 20


async def test_each_request_asks_once_what_the_name_means() -> None:
    asked: list[tuple[str, int]] = []

    async def counting(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return [PUBLIC]

    async with client(RecordedWays(), counting) as http_client:
        await http_client.get("https://tools.example.com/")
    assert asked == [("tools.example.com", 443)]


async def test_absent_and_inside_look_the_same() -> None:
    async def absent(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    told: list[str] = []
    for resolver in (absent, answering(["10.0.0.1"]), answering([])):
        async with client(RecordedWays(), resolver) as http_client:
            with pytest.raises(Blocked) as caught:
                await http_client.get("https://secret-wiki.example/")
            told.append(str(caught.value))
    assert len(set(told)) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["http://169.254.169.254/latest", "http://localhost/", "http://8.8.8.8:6379/"])
async def test_a_redirect_to_the_inside_is_refused(status: int, location: str) -> None:
    ways = RecordedWays(lambda _: httpx2.Response(status, headers={"location": location}))
    async with client(ways, answering([PUBLIC])) as http_client:
        with pytest.raises(Blocked):
            await http_client.get("https://outside.example/")
    assert ways.dialled == [PUBLIC]


async def test_a_redirect_to_a_name_that_leads_inside_is_refused() -> None:
    ways = RecordedWays(lambda _: httpx2.Response(307, headers={"location": "https://private.example/"}))

    async def names(host: str, port: int) -> list[str]:
        return [PUBLIC] if host == "outside.example" else await name_server(host, port)

    async with client(ways, names) as http_client:
        with pytest.raises(Blocked):
            await http_client.post("https://outside.example/", content=b"secret")
    assert ways.dialled == [PUBLIC]


async def test_hosts_at_one_address_share_no_connection() -> None:
    ways = RecordedWays()
    async with client(ways, answering([PUBLIC])) as http_client:
        for url in ("https://a.example/", "https://b.example/", "https://a.example/again"):
            await http_client.get(url)
    assert (ways.ways, ways.closed) == (2, 2)


async def test_the_next_address_is_tried_when_one_does_not_connect() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.host == "2606:4700::1111":
            raise httpx2.ConnectError("no route")
        return httpx2.Response(200, content=request.read())

    ways = RecordedWays(answer)
    async with client(ways, answering(["2606:4700::1111", PUBLIC])) as http_client:
        said = await http_client.post("https://tools.example.com/", content=b"once")
    assert (said.text, ways.dialled) == ("once", ["2606:4700::1111", PUBLIC])


async def test_a_request_that_was_sent_is_not_sent_again_elsewhere() -> None:
    def answer(_: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadError("gone")

    ways = RecordedWays(answer)
    async with client(ways, answering([PUBLIC, "8.8.8.8"])) as http_client:
        with pytest.raises(httpx2.ReadError):
            await http_client.post("https://tools.example.com/", content=b"once")
    assert ways.dialled == [PUBLIC]


async def test_answers_end_where_they_are_too_large_together() -> None:
    async with client(RecordedWays(text("x" * 600)), answering([PUBLIC]), largest_answers=1000) as http_client:
        assert len((await http_client.get("https://tools.example.com/")).text) == 600
        with pytest.raises(TooMuch, match="more than 1,000 bytes"):
            await http_client.get("https://tools.example.com/")


async def test_an_endless_answer_is_read_up_to_the_limit() -> None:
    class Endless(httpx2.AsyncByteStream):
        taken = 0

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                Endless.taken += 1000
                yield b"x" * 1000

    ways = RecordedWays(lambda _: httpx2.Response(200, stream=Endless()))
    async with client(ways, answering([PUBLIC]), largest_answers=50_000) as http_client:
        with pytest.raises(TooMuch):
            await http_client.get("https://tools.example.com/")
    assert Endless.taken == 51_000


async def test_a_stream_of_the_smallest_events_ends_sooner() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        kind = request.url.path.removeprefix("/")
        stream = httpx2.ByteStream(b":\n" * 30_000)
        return httpx2.Response(200, headers={"content-type": f"text/{kind}"}, stream=stream)

    async with client(RecordedWays(answer), answering([PUBLIC])) as http_client:
        assert len((await http_client.get("https://tools.example.com/plain")).content) == 60_000
        with pytest.raises(TooMuch, match="20,000 lines"):
            await http_client.get("https://tools.example.com/event-stream; charset=utf-8")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip"])
async def test_a_bomb_is_not_unpacked(encoding: str) -> None:
    bomb = zlib.compress(bytes(10_000_000))
    ways = RecordedWays(
        lambda _: httpx2.Response(200, headers={"content-encoding": encoding}, stream=httpx2.ByteStream(bomb))
    )
    async with client(ways, answering([PUBLIC])) as http_client:
        with pytest.raises(TooMuch, match="compressed"):
            await http_client.get("https://tools.example.com/")


async def test_nobody_makes_us_ask_for_ever() -> None:
    ways = RecordedWays()
    async with client(ways, answering([PUBLIC]), most_requests=5) as http_client:
        for _ in range(5):
            await http_client.get("https://tools.example.com/")
        with pytest.raises(TooMuch, match="again and again"):
            await http_client.get("https://tools.example.com/")
    assert len(ways.requests) == 5


async def test_the_first_refusal_is_remembered() -> None:
    transport = GuardedTransport(OPEN, answering([PUBLIC]), dial=RecordedWays().dial, most_requests=1)
    async with httpx2.AsyncClient(transport=transport, trust_env=False) as http_client:
        for _ in range(2):
            with pytest.raises((Blocked, TooMuch)):
                await http_client.get("http://127.0.0.1/")
    assert "no public address" in str(transport.refused)


# --- over real sockets ---


def guarded(policy: AddressPolicy, resolver: Resolver) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=GuardedTransport(policy, resolver), trust_env=False, timeout=5)


async def test_a_real_server_sees_the_name_and_not_the_number() -> None:
    async with raw_mcp_server({"GET": http(b"{}")}) as server:
        policy = AddressPolicy(private_hosts=[f"named.example:{server.port}"])
        async with guarded(policy, answering(["127.0.0.1"])) as http_client:
            assert (await http_client.get(f"http://named.example:{server.port}/mcp")).text == "{}"
    assert f"host: named.example:{server.port}" in server.heads[0].lower()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "0x7f.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "0"],  # noqa: S104
)
async def test_a_trap_on_this_machine_is_never_touched(host: str) -> None:
    async with raw_mcp_server({"GET": http(b"secret")}) as server:
        resolver = SystemResolver()
        policy = AddressPolicy([f"{host}:{server.port}", f"trap.example:{server.port}"])
        async with guarded(policy, resolver) as http_client:
            with pytest.raises(Blocked):
                await http_client.get(f"http://{host}:{server.port}/")
        async with guarded(policy, answering(["127.0.0.1"])) as http_client:
            with pytest.raises(Blocked):
                await http_client.get(f"http://trap.example:{server.port}/")
        resolver.close()
        assert server.heads == []


async def test_the_system_is_asked_in_threads_of_our_own() -> None:
    resolver = SystemResolver()
    assert "127.0.0.1" in await resolver("localhost", 80)
    assert await resolver("127.0.0.1", 80) == ["127.0.0.1"]
    resolver.close()
    with pytest.raises(RuntimeError):
        await resolver("localhost", 80)


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_mcp_server() as proxy, raw_mcp_server({"GET": http(b"direct")}) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with guarded(AddressPolicy(private_hosts=[server.private_host]), name_server) as http_client:
            assert (await http_client.get(server.url)).text == "direct"
        assert proxy.heads == []


async def test_a_server_that_is_not_there_is_a_connection_that_fails() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with guarded(AddressPolicy(private_hosts=[f"127.0.0.1:{port}"]), name_server) as http_client:
        with pytest.raises(httpx2.ConnectError):
            await asyncio.wait_for(http_client.get(f"http://127.0.0.1:{port}/"), 10)


@pytest.mark.parametrize(("called", "trusted"), [("named.example", True), ("other.example", False)])
async def test_a_certificate_is_that_of_the_name_and_not_of_the_number(
    tmp_path: Path, called: str, trusted: bool
) -> None:
    shows, trusts = certified("named.example", tmp_path)
    asked_for: list[str | None] = []
    shows.sni_callback = lambda _, name, __: asked_for.append(name)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http(b"secure"))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=shows)
    port = server.sockets[0].getsockname()[1]
    transport = GuardedTransport(
        AddressPolicy(private_hosts=[f"{called}:{port}"]),
        answering(["127.0.0.1"]),
        dial=lambda: httpx2.AsyncHTTPTransport(verify=trusts, trust_env=False),
    )
    async with server, httpx2.AsyncClient(transport=transport, trust_env=False, timeout=5) as http_client:
        if trusted:
            assert (await http_client.get(f"https://{called}:{port}/")).text == "secure"
        else:
            with pytest.raises(httpx2.ConnectError, match="certificate"):
                await http_client.get(f"https://{called}:{port}/")
    assert asked_for == [called]


async def test_called_off_while_it_closes_it_closes_every_way() -> None:
    ways = RecordedWays()
    ways.may_close.clear()

    async def talk() -> None:
        async with client(ways, answering([PUBLIC])) as http_client:
            for host in ("one.example.com", "two.example.com"):
                await http_client.get(f"https://{host}/mcp")

    talking = asyncio.create_task(talk())
    await ways.closing.wait()
    talking.cancel()
    await asyncio.wait([talking])
    ways.may_close.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (ways.ways, ways.closed) == (2, 2)
