"""Whose memory it is: the one place where namespaces are built and read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

MemoryScope = Literal["agent", "user", "thread"]

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_NAMESPACE = re.compile(f"(?P<tenant>{_UUID}):(?P<agent>{_UUID})(?::(?P<scope>user|thread):(?P<subject>{_UUID}))?")


@dataclass(frozen=True, slots=True)
class Namespace:
    """What an agent knows whoever it talks to (`agent`), of one person (`user`), or from one thread (`thread`).

    `subject_id` is the person or the thread; None for the agent's own. As text: `{tenant}:{agent}`,
    `{tenant}:{agent}:user:{user}` or `{tenant}:{agent}:thread:{thread}`, with UUIDs in canonical form.
    """

    tenant_id: UUID
    agent_id: UUID
    scope: MemoryScope = "agent"
    subject_id: UUID | None = None

    def __post_init__(self) -> None:
        if (self.scope == "agent") != (self.subject_id is None):
            raise ValueError("an agent's namespace has no subject, the others have one")

    def __str__(self) -> str:
        own = f"{self.tenant_id}:{self.agent_id}"
        return own if self.subject_id is None else f"{own}:{self.scope}:{self.subject_id}"

    @classmethod
    def parse(cls, text: str) -> Namespace:
        """The namespace that `text` names, in canonical form only. Errors: `ValueError` for anything else."""
        found = _NAMESPACE.fullmatch(text)
        if found is None:
            raise ValueError("not a namespace: expected {tenant}:{agent}[:user:{user}|:thread:{thread}]")
        subject = UUID(found["subject"]) if found["subject"] else None
        scope: MemoryScope = "user" if found["scope"] == "user" else "thread" if subject else "agent"
        return cls(UUID(found["tenant"]), UUID(found["agent"]), scope, subject)
