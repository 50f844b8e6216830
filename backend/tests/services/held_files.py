"""A disk that takes its time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from backend.gateways.audio_files import DiskAudioFiles, DiskAudioWriter
from backend.ports.audio_files import AudioKey


class HeldFiles(DiskAudioFiles):
    """Takes its time with one step, until `go`."""

    def __init__(self, folder: Path, step: str) -> None:
        super().__init__(folder)
        self._step = step
        self.there, self.go = threading.Event(), threading.Event()

    def begin(self, key: AudioKey) -> DiskAudioWriter:
        if self._step == "begin":
            self._hold()
        writer = super().begin(key)
        return writer if self._step == "begin" else HeldWriter(writer, self._step, self._hold)

    def drop(self, key: AudioKey) -> None:
        if self._step == "drop":
            self._hold()
        super().drop(key)

    def _hold(self) -> None:
        self.there.set()
        assert self.go.wait(30)


class HeldWriter(DiskAudioWriter):
    def __init__(self, inner: DiskAudioWriter, step: str, hold: Callable[[], None]) -> None:
        self.__dict__.update(vars(inner))
        self._holds = {step: hold}

    def write(self, piece: bytes) -> None:
        self._held("write")
        super().write(piece)

    def keep(self) -> None:
        self._held("keep")
        super().keep()

    def discard(self) -> None:
        self._held("discard")
        super().discard()

    def _held(self, step: str) -> None:
        self._holds.get(step, lambda: None)()
