"""Work without a model: what is given is cut down to what was asked for, and nothing is made up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.gateways.offline_model import OfflineModel
from backend.graphs.verdict import read_verdict
from backend.models.agent import AgentContract
from backend.models.workflow import PromptStep
from backend.ports import ModelRequest, PromptMessage
from backend.ports.tasks import Act, CheckDone, DoStep, MakePlan, Task
from backend.tests.gateways.interviews import example

OFFLINE = OfflineModel()
NOTES, READER = example("release_notes_workflow"), example("reading_list_autonomous")
CHANGES = (
    "Added dark mode to the settings. The team had lunch. Fixed a crash when saving. The weather was fine. "
    "Changed the default language to English. Users must restart the server after the update."
)


async def do(task: Task, contract: AgentContract = NOTES, system: str = "You are kind.") -> str:
    """What the provider makes of a task."""
    messages = [PromptMessage("system", system), PromptMessage("user", "…")]
    reply = await OFFLINE.complete(ModelRequest(contract, "offline", "offline", messages, task=task))
    assert reply.offline
    return reply.text


async def step(prompt: str, *given: str) -> str:
    """What a step makes of texts."""
    return await do(DoStep(prompt, tuple(("input", text) for text in given)))


def prompt_of(contract: AgentContract, step_id: str) -> str:
    """The prompt of a step of the contract's workflow."""
    assert contract.workflow is not None
    return next(step.prompt for step in contract.workflow.steps if isinstance(step, PromptStep) and step.id == step_id)


@pytest.mark.parametrize(
    ("prompt", "count", "separator"),
    [
        ("Write a three-line summary of the input.", 3, "\n"),
        ("Shorten it to at most two sentences.", 2, ". "),
        ("Give me 4 bullet points.", 4, "\n- "),
        ("Sum up in a single sentence", 1, ". "),
    ],
)
async def test_so_much_is_kept_as_is_asked_for(prompt: str, count: int, separator: str) -> None:
    text = await step(prompt, CHANGES)
    pieces = text.strip("-. ").split(separator)
    assert len(pieces) == count
    assert all(piece.strip(" .") in CHANGES for piece in pieces)


async def test_what_matters_to_the_prompt_is_kept() -> None:
    assert await step("In one sentence: what must users do after the update?", CHANGES) == (
        "Users must restart the server after the update."
    )


async def test_one_word_is_one_of_those_offered() -> None:
    assert await step("Is it done? Answer with one word: yes or no.", "Yes, I think it is.") == "yes"
    assert len((await step("Sum it up in one word.", CHANGES)).split()) == 1


async def test_the_release_notes_of_the_example() -> None:
    draft = await step(prompt_of(NOTES, "draft"), CHANGES)
    assert draft.startswith("Added:\n- Added dark mode to the settings.\nChanged:\n- Changed the default language")
    assert "Fixed:\n- Fixed a crash when saving." in draft
    assert await step(prompt_of(NOTES, "draft"), "  ") == "NOTHING"
    assert "Users must restart the server" in await step(prompt_of(NOTES, "shorten"), draft)


async def test_without_anything_to_go_on_it_says_so() -> None:
    for text in (await step("Write a poem about whales."), await step("Write a poem about whales.", " ")):
        assert "no language model" in text
        assert "Write a poem about whales" in text


async def test_a_plan_is_followed_to_its_end() -> None:
    goal = READER.identity.mission
    plan = await do(MakePlan(goal), READER)
    assert plan.splitlines()[:2] == ["1. Go through the noted books each Monday.", "2. Drop what was read."]
    done: list[str] = []
    for line in plan.splitlines():
        verdict = read_verdict(await do(CheckDone(goal, plan, tuple(done)), READER))
        assert not verdict.done
        assert line[3:-1] in verdict.missing
        done.append(await do(Act(goal, plan, tuple(done)), READER))
        assert line[3:-1] in done[-1]
        assert "no language model" in done[-1]
    verdict = read_verdict(await do(CheckDone(goal, plan, tuple(done)), READER))
    assert verdict.done
    assert all(result in verdict.answer for result in done)


async def test_a_plan_fits_into_the_rounds_of_the_agent() -> None:
    workflow = READER.workflow
    assert workflow is not None
    short = READER.model_copy(update={"workflow": workflow.model_copy(update={"max_iterations": 2})})
    plan = await do(MakePlan("Clean the floor, buy milk, visit my aunt and write to her."), short)
    assert len(plan.splitlines()) == 2
    assert plan.startswith("1. Clean the floor.")


async def test_acting_uses_what_is_remembered() -> None:
    system = '## What you remember\n\n- "The noted books are Moby Dick and Emma" (20 May 2026)\n'
    text = await do(Act("Read", "1. Which books did I note?", ()), READER, system)
    assert "Moby Dick" in text


TASKS = st.one_of(
    st.builds(
        DoStep, st.text(max_size=200), st.lists(st.tuples(st.text(max_size=9), st.text(max_size=300)), max_size=3)
    ),
    st.builds(MakePlan, st.text(max_size=200)),
    st.builds(Act, st.text(max_size=99), st.text(max_size=200), st.lists(st.text(max_size=99), max_size=4).map(tuple)),
    st.builds(
        CheckDone, st.text(max_size=99), st.text(max_size=200), st.lists(st.text(max_size=99), max_size=4).map(tuple)
    ),
)


@given(TASKS)
async def test_every_task_has_a_result(task: Any) -> None:
    text = await do(task, READER)
    assert text.strip()
    if isinstance(task, CheckDone):
        read_verdict(text)
