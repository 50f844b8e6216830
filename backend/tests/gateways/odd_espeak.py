"""A process that behaves as espeak-ng's might: `python -m backend.tests.gateways.odd_espeak <how> <folder>`.

Each start leaves a file in the folder, named after its pid. Whatever `how` says happens in the first process only when
it ends with `-once`; the next ones answer with a quarter of a second of a constant sound.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
from pathlib import Path

SOUND = struct.pack("<h", 1000) * 4000
TOLD = [(7, 0.1), (46, 0.2)]
VOICES = [{"voice_id": "en-us", "name": "English (America)", "languages": [["en-us", 2]]}]


def send(kind: bytes, body: bytes = b"") -> None:
    sys.stdout.buffer.write(struct.pack("!cI", kind, len(body)) + body)
    sys.stdout.buffer.flush()


def request() -> bool:
    """Wait for a request; false when the other side has gone."""
    head = sys.stdin.buffer.read(4)
    return len(head) == 4 and bool(sys.stdin.buffer.read(struct.unpack("!I", head)[0]))


def answer(how: str) -> None:
    match how:
        case "die":
            os._exit(139)
        case "die-told":
            send(b"W", json.dumps(TOLD).encode())
            os._exit(139)
        case "die-halfway":
            send(b"W", json.dumps([*TOLD, (60, 0.9)]).encode())
            send(b"A", SOUND)
            os._exit(139)
        case "hang":
            threading.Event().wait()
        case "refuse":
            send(b"X", b"espeak-ng has no voice en-us")
        case "tell-surroundings":
            send(b"X", json.dumps([sorted(os.environ), str(Path.cwd())]).encode())
        case _:
            send(b"W", json.dumps(TOLD).encode())
            send(b"A", SOUND)
            send(b"E")


def main() -> None:
    """Greet and answer."""
    how, folder = sys.argv[1], Path(sys.argv[2])
    first = not any(folder.iterdir())
    (folder / str(os.getpid())).touch()
    if how.endswith("-once"):
        how = how.removesuffix("-once") if first else "speak"
    match how:
        case "never-greet":
            threading.Event().wait()
        case "greet-badly":
            send(b"X", b"espeak-ng cannot be loaded (no such file)")
        case "die-before-greeting":
            return
        case _:
            send(b"H", json.dumps(VOICES).encode())
    while request():
        answer(how)


if __name__ == "__main__":
    main()
