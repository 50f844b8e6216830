"""What is kept of a turn. Pure: what is asked twice is answered the same, and kept once."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from backend.models.memory import LONGEST_MEMORY, NewMemory
from backend.models.namespace import MemoryScope
from backend.services.identifiers import new_id


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody said to an agent in a thread. `user_id` is None where nobody is known, `message_id` and `position`
    where it is no stored message.
    """

    agent_id: UUID
    thread_id: UUID
    message: str
    user_id: UUID | None = None
    message_id: UUID | None = None
    position: int | None = None


def message_memory(said: Said, *, facts_follow: bool) -> NewMemory:
    """The message itself; of a very long one the beginning.

    It belongs to the person, whatever thread they come back in. Where `facts_follow`, these do, and the message belongs
    to its thread; as it does where nobody is known.
    """
    scope: MemoryScope = "thread" if facts_follow or said.user_id is None else "user"
    return NewMemory(
        id=new_id(said.message_id, "memory"),
        agent_id=said.agent_id,
        scope=scope,
        user_id=said.user_id,
        thread_id=said.thread_id,
        kind="message",
        text=said.message.strip()[:LONGEST_MEMORY].rstrip(),
        origin="chat",
        source_message_id=said.message_id,
        position=said.position,
    )
