"""Runs whose server is lost: the next one goes the same way, and does nothing a second time."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, get_args

import pytest

from backend.errors import ModelTimeout, StepFailed
from backend.graphs.journal import Paused
from backend.ports import DoStep, ModelRequest, ToolCall, ToolOutcome
from backend.tests.fakes import ScriptedModel
from backend.tests.graphs.workshop import POST, FakeTool, Workshop, agent, condition, prompt, tool, workflow_agent
from backend.tests.recording_journal import Moment, RecordingJournal, ServerLost

STEPS = (
    prompt("draft", "Draft {{input}}, after {{draft}}."),
    condition("again", "draft", "contains", "too long", then="draft", otherwise="look"),
    tool("look", "notes__look", arguments={"for": "{{draft}}"}),
    tool("post", arguments={"text": "{{look}}"}),
    prompt("ask", "Ask about {{post}}."),
    agent("review", "{{ask}}"),
    tool("post_again", arguments={"text": "{{review}}"}),
)
# Every call of the whole run: a loop of two rounds, a model that fails once, a tool that fails once, and a tool that
# the model calls in the middle of a step.
PATH = [
    ("draft", "model", 1),
    ("again", "condition", 1),
    ("draft", "model", 1),
    ("draft", "model", 2),
    ("again", "condition", 1),
    ("look", "tool", 1),
    ("look", "tool", 2),
    ("post", "tool", 1),
    ("ask", "model", 1),
    ("ask", "tool", 1),
    ("ask", "model", 1),
    ("review", "agent", 1),
    ("post_again", "tool", 1),
]
EFFECTS = {7, 9, 12}
"""The calls of the tool that must not be repeated."""
FAILURES = {2, 5}
"""What fails the first time. Done again because nobody recorded how it ended, it does not fail."""


@dataclass
class World:
    """What the servers have in common: what was done in it stays done."""

    posted: list[str] = field(default_factory=list[str])
    slow_once: bool = True
    fails_once: bool = True

    def shop(self) -> Workshop:
        """One server's."""
        model = ScriptedModel()
        model.then(*[self._answer] * 20)
        tools = {"notes__look": FakeTool(self._look, repeatable=True), POST: FakeTool(self._post)}
        return Workshop(workflow_agent(*STEPS), model, tools)

    async def _answer(self, request: ModelRequest) -> AsyncGenerator[str | ToolCall]:
        assert isinstance(request.task, DoStep)
        given = dict(request.task.given)
        if "draft" in given:
            if not given["draft"]:
                yield "Too long a draft"
            elif self.slow_once:
                self.slow_once = False
                raise ModelTimeout("slow")
            else:
                yield "A draft"
        elif request.messages[-1].role == "user":
            yield ToolCall("1", POST, '{"text": "from the model"}')
        else:
            yield "Is it good?"

    def _look(self, arguments: Any) -> ToolOutcome:
        if self.fails_once:
            self.fails_once = False
            return ToolOutcome("nothing found", failed=True)
        return ToolOutcome(f"Looked for {arguments['for']}")

    def _post(self, arguments: Any) -> ToolOutcome:
        self.posted.append(arguments["text"])
        return ToolOutcome(f"Posted {len(self.posted)}")


def counted(shops: list[Workshop]) -> Counter[tuple[str, str]]:
    return Counter((kind, str(data.get("step"))) for shop in shops for kind, data in shop.events)


async def test_undisturbed_it_goes_this_way() -> None:
    world, journal = World(), RecordingJournal()
    state = await world.shop().run("notes", journal)
    assert journal.path == PATH
    assert world.posted == ["Looked for A draft", "from the model", "Heard: Is it good?"]
    assert state.get("answer") == "Posted 3"


@pytest.mark.parametrize("moment", get_args(Moment))
@pytest.mark.parametrize("number", range(len(PATH)))
async def test_after_a_lost_server_nothing_is_repeated(number: int, moment: Moment) -> None:
    world, whole = World(), World()
    undisturbed = whole.shop()
    expected = await undisturbed.run("notes", RecordingJournal())

    lost = RecordingJournal(dies=number, moment=moment)
    first, second = world.shop(), world.shop()
    with pytest.raises(ServerLost):
        await first.run("notes", lost)
    posted = len(world.posted)
    journal = lost.taken_over()
    asked = moment == "during" and number in EFFECTS
    if asked:  # nobody knows whether it had its effect, so a person is asked
        with pytest.raises(Paused):
            await second.run("notes", journal)
        assert len(world.posted) == posted
        lost.answer(approved=True)
        journal = lost.taken_over()
    state = await second.run("notes", journal)

    path = [*PATH]
    if moment == "during" and number in FAILURES:
        del path[number + 1]
    assert journal.path == path
    assert lost.done + journal.done == [
        *path[: number + 1 - (moment == "before")],
        *path[number + (moment == "after") :],
    ]
    assert len(world.posted) == 3 + asked
    if not asked:
        assert state == expected
        assert world.posted == whole.posted
    if moment == "before":
        assert counted([first, second]) == counted([undisturbed])
    if moment == "after":  # the last thing that was told may be lost with its server, and nothing is told twice
        assert counted([first, second]) <= counted([undisturbed])
        assert (counted([undisturbed]) - counted([first, second])).total() <= 1
    assert not set(second.naps) - {1.0}


async def test_a_person_may_refuse_to_have_an_interrupted_call_made_again() -> None:
    world, lost = World(), RecordingJournal(dies=7, moment="during")
    with pytest.raises(ServerLost):
        await world.shop().run("notes", lost)
    with pytest.raises(Paused):
        await world.shop().run("notes", lost.taken_over())
    lost.answer(approved=False, reason="It was posted.")
    with pytest.raises(StepFailed, match=r"Step post failed: A person refused it\. It was posted\."):
        await world.shop().run("notes", lost.taken_over())
    assert world.posted == ["Looked for A draft"]


async def test_what_was_recorded_holds_even_when_the_tool_is_gone() -> None:
    world, lost = World(), RecordingJournal(dies=8)
    with pytest.raises(ServerLost):
        await world.shop().run("notes", lost)
    shop = world.shop()
    del (tools := dict(shop.tools))["notes__look"]
    shop.tools = tools
    assert (await shop.run("notes", lost.taken_over())).get("answer") == "Posted 3"


async def test_a_run_that_loses_a_server_at_each_step_comes_to_its_end() -> None:
    world, journal = World(), RecordingJournal()
    for number in range(len(PATH)):
        journal = RecordingJournal(journal.rows, dies=number, moment="after")
        with pytest.raises(ServerLost):
            await world.shop().run("notes", journal)
    state = await world.shop().run("notes", journal.taken_over())
    assert state.get("answer") == "Posted 3"
    assert world.posted == ["Looked for A draft", "from the model", "Heard: Is it good?"]
