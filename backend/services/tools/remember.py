"""The tool `remember`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from backend.models.memory import NewMemory
from backend.ports import ToolOutcome, ToolRequest, ToolSpec
from backend.services.identifiers import new_id
from backend.services.memory.engine import MemoryEngine
from backend.services.memory.gate import worth_keeping
from backend.telemetry import redact

LONGEST_NOTE = 2000
_OFF = "This agent's memory is switched off, so nothing can be remembered."
_NO_SECRETS = (
    "This holds a password, key or token, and secrets are not remembered. Leave it out, or tell the person so."
)
_REASONS = {
    "echo": "This repeats your own instructions; only what you learned of the person is remembered.",
    "question": "This only asks something; say what is so.",
    "too-short": "This is too short to be understood later; write a whole sentence.",
    "about-the-talk": "This is about the conversation; say what you learned of the person.",
}
_NOTHING = "This says nothing of the person that could be of use later; write what you learned as a whole sentence."


class Remember:
    """Keeps what an agent learned of the person it talks to."""

    spec = ToolSpec(
        name="remember",
        description=(
            "Keep something about the person you are talking to, so that you know it in later conversations: what they "
            "like, need, decided, or asked you to remember. Write one fact as one whole sentence that makes sense by "
            "itself. Never keep passwords or keys."
        ),
        parameters={
            "type": "object",
            "properties": {
                "text": {
                    "type": "string",
                    "description": "The fact, such as: Prefers to be called Mia.",
                    "minLength": 1,
                    "maxLength": LONGEST_NOTE,
                }
            },
            "required": ["text"],
            "additionalProperties": False,
        },
    )

    def __init__(self, engine: MemoryEngine) -> None:
        self._engine = engine

    async def call(self, request: ToolRequest, arguments: Mapping[str, Any], key: UUID) -> ToolOutcome:
        """Keep it, once for each key; a failed outcome says why it is not kept. Errors: `DatabaseUnavailable`."""
        if not request.contract.configuration.memory_enabled:
            return ToolOutcome(_OFF, failed=True)
        text = str(arguments["text"]).strip()
        refusal = _refusal(text, request)
        if refusal is not None:
            self._engine.metrics.memory_refused_total.labels(refusal).inc()
            told = _NO_SECRETS if refusal == "secret" else _REASONS.get(refusal, _NOTHING)
            return ToolOutcome(told, failed=True)
        memory = NewMemory(
            id=new_id(key, "memory"),
            agent_id=request.agent_id,
            scope="user",
            user_id=request.user_id,
            thread_id=request.thread_id,
            kind="fact",
            text=text,
            origin="agent",
        )
        async with self._engine.database.tenant(request.tenant_id) as tx:
            new = await tx.memories.insert([memory])
            [known] = await tx.memories.current([memory])
        if new:
            self._engine.metrics.memory_kept_total.labels("fact").inc()
        self._engine.orders()
        return ToolOutcome("Remembered." if known in {memory.id, None} else "That was known already.")


def _refusal(text: str, request: ToolRequest) -> str | None:
    return "secret" if redact(text) != text else worth_keeping(text, request.contract)
