"""Scripts: part after part, told while it is written, recorded when it is. Two fields, one code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from backend.errors import ModelFailed, ModelTimeout, SessionState
from backend.graphs.script_prompt import LONGEST_BEGINNING, words_of
from backend.models.agent import AgentContract
from backend.models.interview_progress import Answer
from backend.models.script import ScriptPart
from backend.models.session import Pause, SpokenPart
from backend.ports import Reflect, WritePart
from backend.tests.fakes import FixedMemory, ScriptedModel, Step, fails, says
from backend.tests.graphs.interviews import GUIDE, TEACHER, Studio, script_of
from backend.tests.models.contracts import contract
from backend.tests.recording_journal import Moment, RecordingJournal, ServerLost

PLAN: dict[str, Answer] = {"goals": ("sleep", 'say "no"'), "tone": "calm", "notes": ""}
PIECES: list[Step] = [
    says("Breathe in. [pa", "use 4] And out.", " "),
    says("Down[pause 2], down."),
    says("You ", "sleep."),
    says("[long pause]Wake up."),
]
REFLECTION = says("They wanted\nto sleep. ")
TEXTS = ["Breathe in. And out.", "Down, down.", "You sleep.", "Wake up."]
NAMES = ["induction", "deepening", "therapy", "emergence"]
PATH = [*((name, "model", 1) for name in NAMES), ("reflect", "model", 1)]


def studio(*script: Step, **parts: Any) -> tuple[Studio, ScriptedModel]:
    model = ScriptedModel(*script)
    return Studio(parts.pop("contract", GUIDE), model, **parts), model


async def test_a_script_is_written_part_after_part_then_looked_back_on() -> None:
    writing, model = studio(*PIECES, REFLECTION, memory=FixedMemory("Was here in May."))
    journal = RecordingJournal()
    state = await writing.write(PLAN, journal)
    assert state.get("parts") == (
        SpokenPart(name="induction", text=TEXTS[0], pauses=[Pause(offset=11, seconds=4)]),
        SpokenPart(name="deepening", text=TEXTS[1], pauses=[Pause(offset=4, seconds=2)]),
        SpokenPart(name="therapy", text=TEXTS[2], pauses=[]),
        SpokenPart(name="emergence", text=TEXTS[3], pauses=[Pause(offset=0, seconds=6)]),
    )
    assert state.get("reflection") == "They wanted to sleep."
    assert writing.text == "\n\n".join(TEXTS)
    assert journal.path == PATH
    parts = script_of(GUIDE).parts
    assert [request.task for request in model.requests] == [
        *(WritePart(part, PLAN, tuple(TEXTS[:number])) for number, part in enumerate(parts)),
        Reflect(PLAN),
    ]
    assert all('"Was here in May."' in request.messages[0].content for request in model.requests)
    assert all(not request.tools for request in model.requests)


async def test_what_is_told_between_the_words() -> None:
    writing, _ = studio(*PIECES, REFLECTION)
    await writing.write(PLAN)
    assert [kind for kind, _ in writing.events] == ["memory.recalled", *(["part.started", "part.completed"] * 4)]
    assert writing.events[1:5] == [
        ("part.started", {"name": "induction", "ordinal": 1, "of": 4}),
        ("part.completed", {"name": "induction", "words": 4, "pauses": 1}),
        ("part.started", {"name": "deepening", "ordinal": 2, "of": 4}),
        ("part.completed", {"name": "deepening", "words": 2, "pauses": 1}),
    ]
    assert writing.pieces[:3] == ["Breathe in.", " And out.", "\n\nDown, down."]


async def test_each_step_records_the_words_and_the_pauses() -> None:
    writing, _ = studio(*PIECES, REFLECTION)
    journal = RecordingJournal()
    await writing.write(PLAN, journal)
    result = journal.rows[0].result
    assert result is not None
    assert result.text == TEXTS[0]
    assert {
        name: result.data[name] for name in ("name", "pauses", "provider", "model", "offline", "finish_reason")
    } == {
        "name": "induction",
        "pauses": [{"offset": 11, "seconds": 4.0}],
        "provider": "openai",
        "model": "gpt-6-luna",
        "offline": False,
        "finish_reason": "stop",
    }
    assert journal.rows[0].call.input == {"part": "induction"}


async def test_another_field_writes_with_the_same_code() -> None:
    names = [part.name for part in script_of(TEACHER).parts]
    writing, model = studio(*(says(f"Part {name}. [pause 1]") for name in names), says("A lesson."), contract=TEACHER)
    state = await writing.write({"goals": ("order food",), "level": "beginner"})
    assert [part.name for part in state.get("parts", ())] == names
    assert writing.text == "\n\n".join(f"Part {name}." for name in names)
    assert "Lesson Writer" in model.requests[0].messages[0].content


async def test_the_model_is_asked_for_one_part_with_the_plan_as_quoted_data() -> None:
    long = f"{'Rest. ' * 400}The end."
    writing, model = studio(PIECES[0], says(long), *PIECES[2:], REFLECTION)
    await writing.write(PLAN)
    system, *rest = model.requests[2].messages
    prompt, _, section = system.content.partition("## The plan")
    assert "TherapyAgent - Hypnotherapist" in prompt
    assert '\n- goals: "sleep"; "say \\"no\\""\n- tone: "calm"\n\n' in section
    assert "notes" not in section
    assert "such as [pause 4]" in section
    assert [message.role for message in rest] == ["user", "assistant", "user", "assistant", "user"]
    assert [rest[0].content, rest[1].content, rest[2].content] == [
        'Write the part "induction".', TEXTS[0], 'Write the part "deepening".',
    ]  # fmt: skip
    assert len(rest[3].content) < 1600 < len(long)
    assert rest[3].content.startswith(long[: LONGEST_BEGINNING - 10])
    assert rest[3].content.endswith("Rest. The end.")
    order = rest[4].content
    assert order.startswith('Write the part "therapy" now, and only this part.\n')
    assert "- Purpose: Work on each goal of the plan" in order
    assert "- Pacing: Steady and unhurried" in order
    assert "about 594 words, with pauses of about 120 seconds in all, so that it takes about 8 minutes" in order
    assert 'follows the part "deepening"' in order
    assert 'comes the part "emergence"' in order
    first, last = model.requests[0].messages[-1].content, model.requests[3].messages[-1].content
    assert "follows the part" not in first
    assert "After it comes" not in last
    assert model.requests[4].messages[-1].content.startswith("The script is written.")


@pytest.mark.parametrize(
    ("minutes", "parts", "words"),
    [
        (4, {}, 330),
        (4, {"voice": {"voice_id": "calm-female", "speed": 0.8}}, 264),
        (60, {}, 350),
        (0.1, {}, 10),
        (60, {"configuration": {"max_tokens": 4000}}, 2800),
    ],
)
def test_the_length_follows_from_the_minutes_and_the_voice(minutes: float, parts: dict[str, Any], words: int) -> None:
    agent = contract(**parts)
    assert words_of(agent, ScriptPart(name="x", purpose="y", minutes=minutes)) == words


@pytest.mark.parametrize("moment", get_args(Moment))
@pytest.mark.parametrize("number", range(len(PATH)))
async def test_after_a_lost_server_only_the_interrupted_part_is_written_again(number: int, moment: Moment) -> None:
    lost = RecordingJournal(dies=number, moment=moment)
    first, _ = studio(*PIECES, REFLECTION)
    with pytest.raises(ServerLost):
        await first.write(PLAN, lost)
    left = number + (moment == "after")
    second, model = studio(*[*PIECES, REFLECTION][left:])
    journal = lost.taken_over()
    state = await second.write(PLAN, journal)
    assert [part.text for part in state.get("parts", ())] == TEXTS
    assert state.get("reflection") == "They wanted to sleep."
    assert journal.path == PATH
    assert journal.done == PATH[left:]
    assert len(model.requests) == len(PATH) - left
    told = [data["name"] for kind, data in second.events if kind == "part.completed"]
    assert told == NAMES[left:]
    assert second.text == "".join(f"\n\n{text}" if place else text for place, text in enumerate(TEXTS) if place >= left)


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, I can’t write that.",
        "I cannot assist with this request.",
        "Unfortunately, I am not able to create this script for you.",
        "As an AI, I won't provide hypnosis.",
        "I apologize, but I'm unable to continue with this.",
    ],
)
async def test_a_refusal_is_no_part(answer: str) -> None:
    writing, _ = studio(PIECES[0], says(answer))
    journal = RecordingJournal()
    with pytest.raises(ModelFailed, match="refuses to write the part deepening"):
        await writing.write(PLAN, journal)
    assert [row.status for row in journal.rows] == ["completed", "failed"]


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry for the noise around you; let it pass. You can rest.",
        "You cannot help but relax. I write this for you.",
        "Sorry is a word you need no longer say. Breathe in. I can provide calm.",
        f"I'm sorry, I can't help you fall. {'You fall by yourself. ' * 30}",
    ],
)
async def test_words_that_only_sound_like_a_refusal_are_spoken(answer: str) -> None:
    writing, _ = studio(says(answer), *PIECES[1:], REFLECTION)
    state = await writing.write(PLAN)
    assert next(iter(state.get("parts", ()))).text == answer.strip()


@pytest.mark.parametrize("answer", ["[pause 4] [pause 3]", "  \n ", "[softly]", "[pau"])
async def test_a_part_without_words_is_none(answer: str) -> None:
    writing, _ = studio(says(answer))
    with pytest.raises(ModelFailed, match="no words for the part induction"):
        await writing.write(PLAN)


async def test_a_model_that_fails_in_the_middle_fails_the_run_and_keeps_what_is_recorded() -> None:
    journal = RecordingJournal()
    first, _ = studio(PIECES[0], fails(ModelTimeout("slow"), "Down"))
    with pytest.raises(ModelTimeout):
        await first.write(PLAN, journal)
    assert first.text == "Breathe in. And out.\n\nDown"
    journal.rows.pop()
    second, _ = studio(*PIECES[1:], REFLECTION)
    state = await second.write(PLAN, journal.taken_over())
    assert [part.text for part in state.get("parts", ())] == TEXTS


async def test_in_one_piece_it_is_the_same_script() -> None:
    writing, _ = studio(*PIECES, REFLECTION, streaming=False)
    state = await writing.write(PLAN)
    assert writing.pieces == []
    assert [part.text for part in state.get("parts", ())] == TEXTS


async def test_an_agent_without_memory_neither_recalls_nor_reflects() -> None:
    memory, forgetful = FixedMemory("x"), GUIDE.configuration.model_copy(update={"memory_enabled": False})
    agent: AgentContract = GUIDE.model_copy(update={"configuration": forgetful})
    writing, model = studio(*PIECES, contract=agent, memory=memory)
    state = await writing.write(PLAN)
    assert memory.asked == []
    assert state.get("reflection") is None
    assert len(model.requests) == 4


async def test_without_a_script_in_its_contract_there_is_nothing_to_write() -> None:
    writing, _ = studio()
    with pytest.raises(SessionState, match="no script any more"):
        await replace(writing, contract=GUIDE.model_copy(update={"script": None})).write(PLAN)
