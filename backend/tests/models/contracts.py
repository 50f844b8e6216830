"""Contracts to test with: one plain, and any that hypothesis can think of."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from backend.models.agent import AgentContract
from backend.models.explanation import explain

TENANT = UUID("550e8400-e29b-41d4-a716-446655440000")
OWNER = UUID("660e8400-e29b-41d4-a716-446655440001")
VOICE: dict[str, Any] = {"voice_id": "calm-female"}
STEP: dict[str, Any] = {"kind": "prompt", "id": "draft", "prompt": "Write."}


def contract(**parts: Any) -> AgentContract:
    """A small valid contract with `parts` in place of its own."""
    given: dict[str, Any] = {
        "id": "0b9a4b5e-52a2-4c0f-8a55-1d2f6f0f7c11",
        "name": "Stargazer",
        "identity": {"short_description": "A guide to the night sky"},
        "created_at": "2026-11-01T09:00:00Z",
        "updated_at": "2026-11-01T09:00:00Z",
        "metadata": {"tenant_id": TENANT, "owner_id": OWNER},
    }
    return AgentContract.model_validate(given | parts)


def refusals(model: type[BaseModel], value: Any) -> dict[str, str]:
    """JSON pointer to sentence for all that `model` refuses in `value`; empty when it takes it."""
    try:
        model.model_validate(value)
    except ValidationError as error:
        return dict(explain(error.errors()))
    return {}


PERCENT = st.integers(0, 100)
TRAITS = (
    "creativity",
    "empathy",
    "assertiveness",
    "humor",
    "formality",
    "verbosity",
    "confidence",
    "technicality",
    "safety",
)
TEXT = st.text("aZ0 ÄΩ你😀~/\\\"'${}<>#-_.|", max_size=20)
WORDS = TEXT.filter(lambda text: bool(text.strip()))
PARTS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "name": WORDS,
        "identity": st.fixed_dictionaries({"short_description": WORDS}, optional={"mission": TEXT}),
        "traits": st.fixed_dictionaries({}, optional=dict.fromkeys(TRAITS, PERCENT)),
        "voice": st.none() | st.fixed_dictionaries({"voice_id": st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)}),
        "capabilities": st.none()
        | st.fixed_dictionaries(
            {"languages": st.lists(st.sampled_from(["en", "de", "pt-BR"]), min_size=1, unique=True)}
        ),
        "interview": st.none()
        | st.fixed_dictionaries(
            {
                "fields": st.lists(
                    st.fixed_dictionaries(
                        {
                            "name": st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True),
                            "kind": st.sampled_from(["text", "list"]),
                            "question": WORDS,
                        }
                    ),
                    min_size=1,
                    max_size=3,
                    unique_by=lambda field: field["name"],
                )
            }
        ),
        "metadata": st.fixed_dictionaries(
            {
                "tenant_id": st.just(TENANT),
                "owner_id": st.just(OWNER),
                "tags": st.lists(WORDS, max_size=3, unique=True),
                "status": st.sampled_from(["active", "inactive", "archived"]),
            }
        ),
    }
)


def _made(parts: dict[str, Any]) -> AgentContract:
    return contract(**parts)


CONTRACTS = PARTS.map(_made)
