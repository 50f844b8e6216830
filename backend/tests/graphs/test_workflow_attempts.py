"""Steps that fail: which are tried again, after how long, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest

from backend.errors import (
    AgentNotFound,
    DatabaseUnavailable,
    ModelFailed,
    ModelTimeout,
    ModelUnavailable,
    StepFailed,
    ToolTimeout,
    ToolUnavailable,
)
from backend.graphs.journal import Paused, StepResult
from backend.ports import ToolOutcome
from backend.tests.fakes import ScriptedModel, fails, says
from backend.tests.graphs.workshop import POST, Answer, FakeTool, Workshop, agent, prompt, tool, workflow_agent
from backend.tests.recording_journal import RecordingJournal


def one_after_another(*answers: ToolOutcome | Exception) -> Answer:
    left = list(answers)

    def answer(_: Mapping[str, Any]) -> ToolOutcome:
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return answer


async def test_a_model_that_fails_is_asked_again_after_ever_longer_waits() -> None:
    model = ScriptedModel(fails(ModelTimeout("slow")), fails(ModelUnavailable("away")), fails(ModelFailed("rubbish")))
    shop, journal = Workshop(workflow_agent(prompt("a")), model), RecordingJournal()
    assert (await shop.run("x", journal)).get("answer") == "Answer 4"
    assert shop.naps == [1, 2, 4]
    assert journal.path == [("a", "model", number) for number in (1, 2, 3, 4)]
    assert [row.status for row in journal.rows] == ["failed", "failed", "failed", "completed"]
    assert [kind for kind, _ in shop.events] == [*["step.started", "step.failed"] * 3, "step.started", "step.completed"]
    assert shop.told("step.failed")[1] == {"step": "a", "attempt": 2, "code": "model-unavailable", "detail": "away"}


async def test_when_all_tries_fail_the_run_fails_with_the_step_and_the_last_reason() -> None:
    model = ScriptedModel(*[fails(ModelTimeout(f"slow {number}")) for number in range(9)])
    policy = {"max_retries": 2, "backoff_multiplier": 1}
    shop = Workshop(workflow_agent(prompt("a"), prompt("b"), retry_policy=policy), model)
    with pytest.raises(StepFailed) as failure:
        await shop.run()
    assert failure.value.detail == "Step a failed after 3 tries: slow 2"
    assert failure.value.context == {"step": "a"}
    assert shop.naps == [1, 1]
    assert len(model.requests) == 3


async def test_no_retries_is_one_try() -> None:
    shop = Workshop(
        workflow_agent(prompt("a"), retry_policy={"max_retries": 0}), ScriptedModel(fails(ModelTimeout("slow")))
    )
    with pytest.raises(StepFailed, match=r"^Step a failed: slow"):
        await shop.run()
    assert shop.naps == []


async def test_no_wait_is_longer_than_a_minute() -> None:
    model = ScriptedModel(*[fails(ModelTimeout("slow"))] * 10)
    shop = Workshop(workflow_agent(prompt("a"), retry_policy={"max_retries": 10, "backoff_multiplier": 10}), model)
    await shop.run()
    assert shop.naps == [1, 10, *[60] * 8]


async def test_a_tool_that_takes_too_long_or_fails_is_called_again() -> None:
    post = FakeTool(
        one_after_another(
            ToolTimeout("slower than 30 s"), ToolUnavailable("no connection"), ToolOutcome("SECRET", failed=True),
            ToolOutcome("posted"),
        )
    )  # fmt: skip
    shop, journal = Workshop(workflow_agent(tool("a")), tools={POST: post}), RecordingJournal()
    assert (await shop.run("", journal)).get("answer") == "posted"
    assert shop.naps == [1, 2, 4]
    assert journal.path == [("a", "tool", number) for number in (1, 2, 3, 4)]
    assert len({key for _, key in post.calls}) == 4
    assert [(one["code"], one["detail"]) for one in shop.told("step.failed")] == [
        ("tool-timeout", "slower than 30 s"),
        ("tool-unavailable", "no connection"),
        ("failed", "It answered with an error."),
    ]
    assert "SECRET" not in str(shop.events)


async def test_a_tool_that_goes_on_failing_fails_the_run_with_what_it_said() -> None:
    post = FakeTool(lambda _: ToolOutcome(f"No room\n on {'the disk ' * 99}", failed=True))
    with pytest.raises(StepFailed, match=r"^Step a failed after 4 tries: No room on the disk the .{270,}…"):
        await Workshop(workflow_agent(tool("a")), tools={POST: post}).run()


async def test_a_tool_that_is_not_there_is_not_looked_for_again() -> None:
    shop, journal = Workshop(workflow_agent(tool("a"))), RecordingJournal()
    with pytest.raises(StepFailed, match=r"^Step a failed: The agent has no tool notes__post"):
        await shop.run("", journal)
    assert shop.naps == []
    assert [(row.name, row.status) for row in journal.rows] == [(("a", "tool", 1), "failed")]
    assert shop.told("step.failed")[0]["detail"] == "The agent has no tool notes__post."


async def test_a_tool_whose_server_is_away_is_looked_for_again() -> None:
    post = FakeTool()
    shop, journal = Workshop(workflow_agent(tool("a")), away=("notes",)), RecordingJournal()
    shop.comes_back(after=2, tools={POST: post})
    assert (await shop.run("", journal)).get("answer") == "posted"
    assert (shop.naps, len(post.calls)) == ([1], 1)
    assert [(row.name, row.status) for row in journal.rows] == [
        (("a", "tool", 1), "failed"),
        (("a", "tool", 2), "completed"),
    ]
    [failed] = shop.told("step.failed")
    assert (failed["code"], failed["detail"]) == ("tool-unavailable", "The server notes cannot be reached.")


async def test_a_tool_whose_server_stays_away_fails_the_run_after_all_tries() -> None:
    shop = Workshop(workflow_agent(tool("a")), away=("notes",))
    shop.comes_back(after=99)
    with pytest.raises(StepFailed, match=r"^Step a failed after 4 tries: The server notes cannot be reached"):
        await shop.run()
    assert shop.naps == [1, 2, 4]


async def test_only_the_server_that_would_have_the_tool_is_looked_for() -> None:
    shop = Workshop(workflow_agent(tool("a")), away=("mail",))
    shop.comes_back(after=1, tools={POST: FakeTool()})
    with pytest.raises(StepFailed, match=r"^Step a failed: The agent has no tool notes__post"):
        await shop.run()


async def test_arguments_that_do_not_fit_are_not_sent() -> None:
    schema = {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}
    post = FakeTool(parameters=schema)
    shop = Workshop(workflow_agent(tool("a", arguments={"count": "{{input}}"})), tools={POST: post})
    with pytest.raises(StepFailed, match=r"^Step a failed: .*/count: must be an integer"):
        await shop.run("3")
    assert (post.calls, shop.naps) == ([], [])


async def test_a_call_that_needs_approval_waits_and_goes_on_when_a_person_agrees() -> None:
    post, journal = FakeTool(approval="always"), RecordingJournal()
    shop = Workshop(workflow_agent(prompt("a"), tool("b"), prompt("c")), tools={POST: post})
    with pytest.raises(Paused):
        await shop.run("", journal)
    assert [row.name for row in journal.waiting] == [("b", "tool", 1)]
    with pytest.raises(Paused):  # nobody has answered
        await shop.run("", journal.taken_over())
    journal.answer(approved=True)
    state = await shop.run("", journal.taken_over())
    assert state.get("outputs") == {"a": "Answer 1", "b": "posted", "c": "Answer 2"}
    assert len(post.calls) == 1
    assert shop.naps == []


async def test_a_call_that_a_person_refused_is_not_tried_again() -> None:
    post, journal = FakeTool(approval="always"), RecordingJournal()
    shop = Workshop(workflow_agent(tool("a")), tools={POST: post})
    with pytest.raises(Paused):
        await shop.run("", journal)
    journal.answer(approved=False, reason="Not today.")
    with pytest.raises(StepFailed, match=r"^Step a failed: A person refused it\. Not today\."):
        await shop.run("", journal.taken_over())
    assert (post.calls, shop.naps, len(journal.rows)) == ([], [], 1)


async def test_another_agent_is_asked_again_unless_it_is_not_there() -> None:
    results: list[StepResult | Exception] = [
        StepResult("busy", failed=True),
        ModelTimeout("slow"),
        StepResult("Well done"),
    ]

    async def asking(agent_id: UUID, message: str, key: UUID) -> StepResult:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    shop = Workshop(workflow_agent(agent("a", "Hello")), asking=asking)
    assert (await shop.run()).get("answer") == "Well done"
    assert shop.naps == [1, 2]
    results.append(AgentNotFound("There is no such agent."))
    with pytest.raises(StepFailed, match=r"^Step a failed: There is no such agent"):
        await shop.run()
    assert shop.naps == [1, 2]


async def test_what_is_ours_to_mend_is_no_failure_of_the_step() -> None:
    shop = Workshop(workflow_agent(prompt("a")), ScriptedModel(fails(DatabaseUnavailable("away")), says("x")))
    with pytest.raises(DatabaseUnavailable):
        await shop.run()
    assert shop.naps == []
    assert shop.told("step.failed") == []
