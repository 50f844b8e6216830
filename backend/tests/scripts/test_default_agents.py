"""The shipped contracts: the default agents as the product defines them, and every example."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.models import AgentCreateRequest
from backend.scripts.default_agents import load_default_agents

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "contracts").glob("*.json"))
AGENTS = load_default_agents()


def traits(name: str) -> list[int]:
    return list(AGENTS[name].traits.model_dump().values())


def voice(name: str) -> tuple[str, float, float, float]:
    settings = AGENTS[name].voice
    assert settings is not None
    assert (settings.provider, settings.stt_provider, settings.stt_model) == ("elevenlabs", "deepgram", "nova-2")
    assert settings.language == "en-US"
    return settings.voice_id, settings.speed, settings.stability, settings.similarity_boost


def model(name: str) -> tuple[str, float, int]:
    settings = AGENTS[name].configuration
    assert settings.memory_enabled
    assert settings.voice_enabled
    return settings.llm_model, settings.temperature, settings.max_tokens


def test_the_intake_agent_is_the_one_that_was_agreed() -> None:
    agent = AGENTS["intake"]
    assert (agent.name, agent.type) == ("IntakeAgent - Manifestation Coach", "voice")
    assert agent.identity.short_description == "Empathetic intake specialist for hypnotherapy"
    assert agent.identity.character_role == "Compassionate Intake Guide"
    assert traits("intake") == [60, 95, 40, 30, 30, 65, 75, 40, 90]
    assert model("intake") == ("gpt-4", 0.7, 800)
    assert voice("intake") == ("calm-female", 1.0, 0.75, 0.75)
    assert agent.tags == ("production", "intake", "hypnotherapy")


def test_the_therapy_agent_is_the_one_that_was_agreed() -> None:
    agent = AGENTS["therapy"]
    assert (agent.name, agent.type) == ("TherapyAgent - Hypnotherapist", "voice")
    assert agent.identity.short_description == "Expert hypnotherapist for manifestation and healing"
    assert agent.identity.character_role == "Master Hypnotherapist"
    assert traits("therapy") == [80, 90, 65, 20, 50, 70, 85, 55, 95]
    assert model("therapy") == ("gpt-4", 0.8, 1500)
    assert voice("therapy") == ("soothing-male", 0.9, 0.85, 0.8)
    assert agent.tags == ("production", "therapy", "hypnotherapy")


def test_the_interview_finds_out_what_a_plan_needs() -> None:
    interview = AGENTS["intake"].interview
    assert interview is not None
    options = {field.name: [option.value for option in field.options] for field in interview.fields}
    assert options == {
        "goals": [],
        "tone": ["calm", "energetic", "authoritative", "gentle", "empowering"],
        "session_type": ["manifestation", "anxiety_relief", "sleep_hypnosis", "confidence", "habit_change"],
        "voice_id": ["calm-female", "soothing-male"],
        "notes": [],
    }
    assert [field.name for field in interview.fields if not field.required] == ["notes"]


def test_everyday_words_lead_to_one_option_only() -> None:
    interview = AGENTS["intake"].interview
    assert interview is not None
    for field in interview.fields:
        words = [word for option in field.options for word in option.words]
        assert len(words) == len(set(words))


def test_the_script_has_its_four_parts() -> None:
    script = AGENTS["therapy"].script
    assert script is not None
    assert [part.name for part in script.parts] == ["induction", "deepening", "therapy", "emergence"]


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_example_is_a_contract(file: Path) -> None:
    AgentCreateRequest.model_validate_json(file.read_bytes())


def test_the_examples_show_every_type_and_another_interview() -> None:
    made = [AgentCreateRequest.model_validate_json(file.read_bytes()) for file in EXAMPLES]
    assert {agent.type for agent in made} == {"conversational", "voice", "workflow", "autonomous"}
    assert len({agent.name for agent in made}) == len(made)
    assert [agent.name for agent in made if agent.interview]
    assert [agent.name for agent in made if agent.script]
    assert not {agent.name for agent in made} & {agent.name for agent in AGENTS.values()}
