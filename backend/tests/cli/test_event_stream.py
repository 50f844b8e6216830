"""A stream over a bad connection: a real server on a real socket, which drops it where the test says."""

from __future__ import annotations

from collections.abc import Callable, Generator
from uuid import UUID

import pytest

from backend.cli.api_client import ApiClient
from backend.cli.client_settings import ClientSettings
from backend.cli.event_stream import ChatTurn, Event, RunStream, parse_events
from backend.cli.failures import Refused, Unreachable
from backend.tests.cli.bad_server import COMPLETED, ONE, RUN, STARTED, TWO, BadServer, Told, bad_server, problem, stream

__all__ = ["bad_server"]

WAITS: Told = ("3-3", "run.waiting", {"run_id": RUN, "approvals": []})
RESUMED = ("4-3", "run.resumed", {"offset": 3})
LAST = ("5-6", "message.completed", {"response": "onetwo"})


@pytest.fixture
def begin(bad_server: BadServer) -> Generator[Callable[[], RunStream]]:
    """Begins a turn at the bad server."""
    with ApiClient(ClientSettings(bad_server.url, None, on_this_machine=True)) as api:
        yield lambda: ChatTurn(api, "agent", "Hello", None)


def told(run: RunStream) -> list[Told]:
    return [(one.id, one.type, one.data) for one in run]


def test_a_stream_without_trouble(bad_server: BadServer, begin: Callable[[], RunStream]) -> None:
    bad_server.answers = [stream(STARTED, ONE, TWO, COMPLETED)]
    run = begin()
    assert told(run) == [STARTED, ONE, TWO, COMPLETED]
    assert (run.run_id, run.reconnected) == (UUID(RUN), 0)
    assert bad_server.heard[0].startswith("POST /api/v1/agents/agent/chat/stream ")


def test_a_lost_connection_is_taken_up_after_the_last_event(
    bad_server: BadServer, begin: Callable[[], RunStream]
) -> None:
    bad_server.answers = [stream(STARTED, ONE, whole=False), b"", stream(TWO, whole=False), stream(COMPLETED)]
    run = begin()
    assert told(run) == [STARTED, ONE, TWO, COMPLETED]
    assert run.reconnected == 3
    ids = [line for request in bad_server.heard for line in request.split("\r\n") if line.startswith("last-event-id")]
    assert ids == ["last-event-id: 1-3", "last-event-id: 1-3", "last-event-id: 1-6"]
    assert all(request.startswith(f"GET /api/v1/runs/{RUN}/events ") for request in bad_server.heard[1:])


def test_a_stream_that_ends_too_early_is_taken_up_as_well(
    bad_server: BadServer, begin: Callable[[], RunStream]
) -> None:
    bad_server.answers = [stream(STARTED, ONE), stream(TWO, COMPLETED)]
    assert told(begin()) == [STARTED, ONE, TWO, COMPLETED]


def test_a_first_request_that_is_lost_is_sent_again_under_the_same_key(
    bad_server: BadServer, begin: Callable[[], RunStream]
) -> None:
    bad_server.answers = [b"", problem(409), problem(503), stream(STARTED, COMPLETED, located=False)]
    assert told(begin()) == [STARTED, COMPLETED]
    keys = {
        line for request in bad_server.heard for line in request.split("\r\n") if line.startswith("idempotency-key")
    }
    assert (len(bad_server.heard), len(keys)) == (4, 1)


@pytest.mark.parametrize("status", [401, 404, 409, 422, 503])
def test_a_refusal_is_not_tried_again(bad_server: BadServer, begin: Callable[[], RunStream], status: int) -> None:
    bad_server.answers = [problem(status)]
    with pytest.raises(Refused, match=f"No, {status}."):
        told(begin())
    assert len(bad_server.heard) == 1


def test_where_nobody_answers_it_is_said_at_once() -> None:
    nowhere = ClientSettings("http://127.0.0.1:1", None, on_this_machine=True)
    with ApiClient(nowhere) as api, pytest.raises(Unreachable, match="Start it with `numen serve`"):
        told(ChatTurn(api, "agent", "Hello", None))


def test_a_run_can_be_cancelled_before_its_first_event(bad_server: BadServer, begin: Callable[[], RunStream]) -> None:
    bad_server.answers = [stream(STARTED), problem(409)]
    run = begin()
    run.cancel()
    assert bad_server.heard[1].startswith(f"POST /api/v1/runs/{RUN}/cancel ")


def test_a_run_that_waits_is_gone_on_with_where_it_stopped(
    bad_server: BadServer, begin: Callable[[], RunStream]
) -> None:
    bad_server.answers = [stream(STARTED, ONE, WAITS), b"", stream(RESUMED, TWO), stream(LAST)]
    run = begin()
    assert told(run) == [STARTED, ONE, WAITS]
    assert told(run) == [RESUMED, TWO, LAST]
    ids = [line for request in bad_server.heard for line in request.split("\r\n") if line.startswith("last-event-id")]
    assert ids == ["last-event-id: 3-3", "last-event-id: 3-3", "last-event-id: 1-6"]


def test_waiting_that_is_over_does_not_end_the_stream(bad_server: BadServer, begin: Callable[[], RunStream]) -> None:
    bad_server.answers = [stream(STARTED, ONE, WAITS, RESUMED, TWO, LAST)]
    assert told(begin()) == [STARTED, ONE, WAITS, RESUMED, TWO, LAST]


def test_a_connection_that_breaks_after_the_wait_began_ends_as_well(
    bad_server: BadServer, begin: Callable[[], RunStream]
) -> None:
    bad_server.answers = [stream(STARTED, WAITS, whole=False), stream()]
    assert told(begin()) == [STARTED, WAITS]


def test_events_are_parsed_whatever_pieces_they_come_in() -> None:
    whole = ': hello\n\nid: 1\r\nevent: x\r\ndata: {"a":\r\ndata: "\u2028ü"}\r\n\r\ndata: {}\n\n'
    text = f'{whole}id: 3\ndata: {{"cut":'.encode()
    expected = [Event("1", "x", {"a": "\u2028ü"}), Event("", "message", {})]
    for size in (1, 2, 3, 7, len(text)):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert list(parse_events(pieces)) == expected
