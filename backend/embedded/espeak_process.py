"""The process that speaks: `python -m backend.embedded.espeak_process`.

In comes a frame per sentence: four bytes of length (big endian), then JSON of `text`, `voice`, `speed`, `pitch`,
`rate`. Out come frames of one letter, four bytes of length and a body: first H (JSON, the voices); then for each
sentence any number of A (PCM16), and at the end one E (empty) or X (what went wrong, UTF-8).
It ends when its input closes, also in the middle of a sentence and also when the C library hangs.
"""

from __future__ import annotations

import json
import os
import struct
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any, BinaryIO

_LENGTH = struct.Struct("!I")
_HEAD = struct.Struct("!cI")
_SECONDS_TO_END = 1.0


class Requests:
    """What the other side asks for, read ahead in a thread, so that its going is noticed at once."""

    def __init__(self, source: BinaryIO) -> None:
        """`source` has no buffer: its lock would be held by the thread when the process wants to end."""
        self._source = source
        self._waiting: SimpleQueue[bytes | None] = SimpleQueue()
        self._gone = threading.Event()
        threading.Thread(target=self._read, name="requests", daemon=True).start()

    def gone(self) -> bool:
        """Whether the other side has closed."""
        return self._gone.is_set()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while (body := self._waiting.get()) is not None:
            yield json.loads(body)

    def _read(self) -> None:
        while len(head := self._exactly(_LENGTH.size)) == _LENGTH.size:
            (length,) = _LENGTH.unpack(head)
            if len(body := self._exactly(length)) == length:
                self._waiting.put(body)
        self._gone.set()
        self._waiting.put(None)
        threading.Event().wait(_SECONDS_TO_END)
        os._exit(1)  # the C library does not come back, and nobody waits for it

    def _exactly(self, length: int) -> bytes:
        """So many bytes; fewer when the other side has closed."""
        read = b""
        while len(read) < length and (more := self._source.read(length - len(read))):
            read += more
        return read


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Speak until the other side has gone."""
    requests = Requests(source)
    try:
        # Here, so that a wheel that is missing or broken is told to the one who asked.
        from backend.embedded.espeak import Espeak, EspeakError  # noqa: PLC0415

        engine = Espeak(requests.gone)
    except (ImportError, OSError, RuntimeError) as error:
        _send(sink, b"X", f"espeak-ng cannot be loaded ({error}); install the package espeakng-loader".encode())
        return
    _send(sink, b"H", json.dumps(engine.voices()).encode())
    for request in requests:
        try:
            speech = engine.speak(**request)
            _send(sink, b"W", json.dumps(speech.said).encode())
            for piece in speech.pieces:
                _send(sink, b"A", piece)
            _send(sink, b"E")
        except EspeakError as error:
            _send(sink, b"X", str(error).encode())


def _send(sink: BinaryIO, kind: bytes, body: bytes = b"") -> None:
    sink.write(_HEAD.pack(kind, len(body)) + body)
    sink.flush()


def main() -> None:
    """Speak to the standard output, which the C library must not write into."""
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        serve(os.fdopen(0, "rb", buffering=0, closefd=False), sink)
    except BrokenPipeError:
        os._exit(0)  # the other side has gone, there is nothing to flush


if __name__ == "__main__":
    main()
