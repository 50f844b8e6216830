"""What of a run stands where: told by a server of the test's own."""

from __future__ import annotations

from uuid import UUID

import pytest

from backend.cli.api_client import ApiClient
from backend.cli.client_settings import ClientSettings
from backend.cli.event_stream import Event, RunStream
from backend.cli.run_screen import RunScreen, follow
from backend.tests.cli.bad_server import RUN, BadServer, bad_server, document, stream

__all__ = ["bad_server"]


def events(*told: tuple[str, dict[str, object]]) -> list[Event]:
    return [Event("", kind, data) for kind, data in told]


STEPS = events(
    ("run.started", {"run_id": RUN, "thread_id": "t"}),
    ("step.started", {"step": "draft", "kind": "prompt", "attempt": 1}),
    ("step.failed", {"step": "draft", "attempt": 1, "code": "model-failed", "detail": "It broke\noff."}),
    ("step.started", {"step": "draft", "kind": "prompt", "attempt": 2}),
    ("tool.call", {"call_id": RUN, "tool": "clock\x1b[2J"}),
    ("tool.result", {"call_id": RUN, "tool": "clock", "status": "completed"}),
    ("tool.result", {"call_id": RUN, "tool": "bell", "status": "denied"}),
    ("step.completed", {"step": "draft", "kind": "prompt"}),
    ("part.started", {"name": "induction", "ordinal": 1, "of": 4}),
    ("part.completed", {"name": "induction"}),
    ("something.new", {"of": "a newer server"}),
)
TOLD = [
    "▸ draft",
    "✗ draft: It broke off.",
    "▸ draft, try 2",
    "· clock[2J",
    "· bell: denied",
    "✓ draft",
    "— induction, 1 of 4",
]


def test_steps_and_tools_stand_beside_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    screen = RunScreen()
    done = events(("message.completed", {"response": "All done."}))
    assert screen.show([*STEPS, *done]) == "completed"
    said = capsys.readouterr()
    assert (said.out, said.err.splitlines()) == ("All done.\n", TOLD)
    assert screen.thread_id == "t"


def test_an_answer_that_came_in_pieces_is_not_said_twice(capsys: pytest.CaptureFixture[str]) -> None:
    pieces = events(("message.delta", {"text": "All "}), ("message.delta", {"text": "done."}))
    assert RunScreen().show([*pieces, *events(("message.completed", {"response": "All done."}))]) == "completed"
    assert capsys.readouterr().out == "All done.\n"


def test_what_a_lost_server_said_for_nothing_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    first = events(("message.delta", {"text": "One. Tw"}), ("run.resumed", {"offset": 5}))
    again = events(("message.delta", {"text": "Two."}), ("run.resumed", {"offset": 9}))
    RunScreen().show([*first, *again, *events(("message.completed", {"response": "One. Two."}))])
    said = capsys.readouterr()
    assert said.out == "One. TwTwo.\n"
    assert said.err == "The server was lost; another one goes on, and says this again:\n"


def test_a_failure_and_a_wait_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    said = events(("message.delta", {"text": "Half"}))
    assert RunScreen().show([*said, *events(("run.failed", {"code": "x", "detail": "No\nmore."}))]) == "failed"
    assert capsys.readouterr() == ("Half\n", "numen: No more.\n")
    assert RunScreen().show([*said, *events(("run.waiting", {"run_id": RUN, "approvals": []}))]) == "waits"


def test_where_nobody_can_be_asked_it_is_said_how_to_answer(
    bad_server: BadServer, capsys: pytest.CaptureFixture[str]
) -> None:
    call = {"call_id": "c-1", "tool": "mail__send", "arguments": {"to": "a\x9b@b"}, "reason": "it was interrupted"}
    waits = ("1-0", "run.waiting", {"run_id": RUN, "approvals": ["c-1"]})
    bad_server.answers = [stream(waits), document({"approvals": [call]})]
    with ApiClient(ClientSettings(bad_server.url, None, on_this_machine=True)) as api:
        assert follow(api, RunStream(api, UUID(RUN)), RunScreen()) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "The agent wants to use mail__send (it was interrupted):",
        "{",
        '  "to": "a@b"',
        "}",
        f"  numen runs approve {RUN} c-1",
        f"  numen runs deny {RUN} c-1 --reason WHY",
    ]
