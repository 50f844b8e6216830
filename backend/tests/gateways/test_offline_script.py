"""Scripts written without a model: to be spoken, for one plan, in the time that they have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.gateways.offline_model import OfflineModel
from backend.models.agent import AgentContract
from backend.models.interview_progress import Answer
from backend.models.script import ScriptPart
from backend.ports import ModelRequest, PromptMessage
from backend.ports.tasks import Reflect, WritePart
from backend.tests.gateways.interviews import LESSON, SESSION, THERAPY_AGENT
from backend.tests.graphs.spoken import Spoken, take_pauses

OFFLINE = OfflineModel()
STUDENT: dict[str, Answer] = {
    "goals": ("order food in a restaurant", "talk to my neighbours"),
    "level": "beginner",
    "focus": "speaking",
    "topics": ("football", "cooking"),
    "notes": "",
}
ANXIOUS: dict[str, Answer] = {
    **SESSION,
    "goals": ("stop worrying about my work", "more confidence", "anxiety"),
    "session_type": "anxiety_relief",
    "notes": "I love the sea",
}
MARK = re.compile(r"\[pause \d+(?:\.\d+)?s\]")


async def written(contract: AgentContract, part: ScriptPart, plan: Mapping[str, Answer], *before: str) -> str:
    """One part as it is written."""
    request = ModelRequest(
        contract, "offline", "offline", [PromptMessage("user", "")], task=WritePart(part, plan, before)
    )
    reply = await OFFLINE.complete(request)
    assert reply.offline
    return reply.text


async def script(contract: AgentContract, plan: Mapping[str, Answer]) -> dict[str, Spoken]:
    """All parts, without their marks."""
    assert contract.script is not None
    parts: dict[str, Spoken] = {}
    for part in contract.script.parts:
        text = await written(contract, part, plan, *(spoken.text for spoken in parts.values()))
        assert "[" not in MARK.sub("", text)
        parts[part.name] = take_pauses(text)
    return parts


def minutes(spoken: Spoken) -> float:
    """How long it takes at a hundred words a minute."""
    return len(spoken.text.split()) / 100 + sum(pause.seconds for pause in spoken.pauses) / 60


@pytest.mark.parametrize(
    ("contract", "plan"),
    [(THERAPY_AGENT, SESSION), (THERAPY_AGENT, ANXIOUS), (LESSON, STUDENT)],
    ids=["sleep", "anxiety", "lesson"],
)
async def test_every_part_takes_its_time_and_names_what_is_wanted(
    contract: AgentContract, plan: Mapping[str, Answer]
) -> None:
    assert contract.script is not None
    parts = await script(contract, plan)
    for part in contract.script.parts:
        assert minutes(parts[part.name]) == pytest.approx(part.minutes, rel=0.1)
        said = parts[part.name].text
        assert all(goal.replace("my", "your") in said for goal in plan["goals"])
        assert not re.search(r"\bthe (?:person|student)\b|\$|\bplan\b", said)


async def test_a_session_leads_in_and_out_again() -> None:
    parts = {name: spoken.text for name, spoken in (await script(THERAPY_AGENT, ANXIOUS)).items()}
    assert parts["induction"].startswith("Welcome.")
    assert "Let your body settle" in parts["induction"]
    assert "You stay safe and in control and may open your eyes at any time." in parts["induction"]
    assert "calm for the tone" in parts["induction"]
    assert "you love the sea" in parts["induction"]
    assert "Ten." in parts["deepening"]
    assert "You stop worrying about your work" in parts["therapy"]
    assert "there is more confidence in your life" in parts["therapy"]
    assert "you let go of anxiety" in parts["therapy"]
    assert "See, hear and feel the change as done." in parts["therapy"]
    numbers = [parts["emergence"].index(f"{number}.") for number in ("One", "Two", "Three", "Four", "Five")]
    assert numbers == sorted(numbers)
    assert "wide awake" in parts["emergence"]


async def test_who_wants_to_sleep_is_not_woken() -> None:
    last = (await script(THERAPY_AGENT, SESSION))["emergence"]
    assert "carried into sleep" in last.text
    assert "wake" not in last.text
    assert last.text.endswith("Good night.")
    assert last.pauses[-1].seconds > last.pauses[0].seconds


async def test_what_shall_be_left_out_is_left_out() -> None:
    part = (
        next(part for part in THERAPY_AGENT.script.parts if part.name == "deepening") if THERAPY_AGENT.script else None
    )
    assert part is not None
    assert "stairs" in await written(THERAPY_AGENT, part, SESSION)
    text = await written(THERAPY_AGENT, part, {**SESSION, "notes": "No stairs please, and no counting."})
    assert "stairs" not in text
    assert "path" in text


async def test_a_lesson_asks_and_lets_the_student_do_things() -> None:
    parts = {name: spoken.text for name, spoken in (await script(LESSON, STUDENT)).items()}
    assert parts["warm_up"].startswith("Bring back what you know already.")
    assert "football" in parts["warm_up"]
    assert len(re.findall(r"\w+ question:", parts["warm_up"])) == 3
    assert "at your level, beginner." in parts["new_material"]
    assert len(re.findall(r"\w+ example:", parts["new_material"])) == 5
    assert "speaking" in parts["practice"]
    assert "small task for tomorrow" in parts["review"]
    assert "Notice what you did well." in parts["review"]


@pytest.mark.parametrize(
    ("purpose", "said"),
    [
        ("Settle the mind", "Let your mind settle."),
        ("Say that the listener may stop at any time.", "You may stop at any time."),
        ("Explain how the engine works", "Notice how the engine works."),
        ("Introduce one rule of the game", "Now we come to one rule of the game."),
        ("Let the guest choose a dish", "Choose a dish."),
        ("Bring the visitor to the harbour", "Let me bring you to the harbour."),
        ("What has the player learned so far?", "What has you learned so far?"),
        ("A few words about salt", "Now we come to a few words about salt."),
        ("Recall what is known already, and drop what is not needed.", "Drop what is not needed."),
    ],
)
async def test_a_purpose_becomes_guidance(purpose: str, said: str) -> None:
    text = await written(LESSON, ScriptPart(name="part", purpose=purpose, minutes=1), STUDENT)
    assert said in text


async def test_pacing_decides_the_pauses() -> None:
    part = ScriptPart(name="part", purpose="Lengthen the breath and lead attention inward", minutes=2)
    quick = await written(THERAPY_AGENT, part.model_copy(update={"pacing": "Brisk and lively"}), SESSION)
    slow = await written(THERAPY_AGENT, part.model_copy(update={"pacing": "Slow, with long pauses"}), SESSION)
    assert len(quick.split()) > len(slow.split())
    assert max(pause.seconds for pause in take_pauses(slow).pauses) > max(
        pause.seconds for pause in take_pauses(quick).pauses
    )


async def test_the_same_plan_gives_the_same_script() -> None:
    assert await script(THERAPY_AGENT, ANXIOUS) == await script(THERAPY_AGENT, ANXIOUS)


async def test_a_reflection_is_about_the_person() -> None:
    request = ModelRequest(THERAPY_AGENT, "offline", "offline", [PromptMessage("user", "")], task=Reflect(ANXIOUS))
    text = (await OFFLINE.complete(request)).text
    assert "stop worrying about their work, more confidence and anxiety" in text
    assert "anxiety relief" in text
    assert not re.search(r"\b(?:I|my|you)\b", text)
    nothing = ModelRequest(LESSON, "offline", "offline", [PromptMessage("user", "")], task=Reflect({"notes": ""}))
    assert "warm up, new material, practice and review" in (await OFFLINE.complete(nothing)).text


PLANS = st.dictionaries(
    st.sampled_from(["goals", "tone", "session_type", "notes", "topics", "x_id"]),
    st.one_of(st.text(max_size=60), st.lists(st.text(max_size=60), max_size=8).map(tuple)),
)


@given(
    st.text(min_size=1, max_size=200).filter(lambda text: bool(text.strip()) and "\0" not in text),
    st.text(max_size=60).filter(lambda text: "\0" not in text),
    st.floats(0.1, 120),
    PLANS,
    st.lists(st.text(max_size=60), max_size=3),
)
async def test_any_part_can_be_written(purpose: str, pacing: str, length: float, plan: Any, before: list[str]) -> None:
    part = ScriptPart.model_construct(name="part", purpose=purpose, minutes=length, pacing=pacing)
    spoken = take_pauses(await written(LESSON, part, plan, *before))
    assert spoken.text.strip()
    assert len(spoken.text.split()) < 6000
