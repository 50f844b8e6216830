"""Spoken parts of sessions, kept as files: derived from rows, made again when they are gone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class AudioKey:
    """One part of a session; `digest` names its words, its pauses and its voice."""

    tenant_id: UUID
    session_id: UUID
    digest: str


@dataclass(frozen=True, slots=True)
class KeptAudio:
    """A part that is there: how many bytes it has, and when it was made, in nanoseconds, so another time made anew."""

    size: int
    made_at: int


class AudioWriter(Protocol):
    """A part that is being made; nobody finds it before it is kept. Blocking; errors are `OSError`."""

    def write(self, piece: bytes) -> None:
        """Add a piece."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """What is written already, from `offset` on, at most so many bytes; nothing once it is discarded."""
        ...

    def keep(self) -> None:
        """It is whole: from now on it is found, also after a crash. `FileNotFoundError` when it was removed."""
        ...

    def discard(self) -> None:
        """It is not needed any more, or never became whole; after `keep` only what it holds open is given back."""
        ...


class AudioFiles(Protocol):
    """PCM16 by part. Blocking; errors are `OSError`."""

    def find(self, key: AudioKey) -> KeptAudio | None:
        """The part, None when it is not there; it counts as used now."""
        ...

    def read(self, key: AudioKey, offset: int, length: int) -> bytes:
        """At most so many bytes from `offset` on; `FileNotFoundError` when it is not there."""
        ...

    def begin(self, key: AudioKey) -> AudioWriter:
        """Make the part, or make it anew."""
        ...

    def drop(self, key: AudioKey) -> None:
        """Take the part away, if it is there."""
        ...

    def sessions(self) -> list[tuple[UUID, UUID]]:
        """(tenant, session) of everything that has files."""
        ...

    def count(self, tenant_id: UUID, sessions: Collection[UUID]) -> int:
        """How many files these sessions have, half-written ones too."""
        ...

    def remove(self, tenant_id: UUID, sessions: Collection[UUID]) -> None:
        """Take every file of these sessions away."""
        ...

    def sweep(self, unused_seconds: float) -> int:
        """Remove what nobody used for so long, and what a killed process left half written; how many files."""
        ...
