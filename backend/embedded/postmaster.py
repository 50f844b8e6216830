"""What a running PostgreSQL says about itself, and whether to believe it."""

from __future__ import annotations

import socket
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PROCESSES = Path("/proc")
WILL_YOU_ENCRYPT = struct.pack("!ii", 8, 80_877_103)  # the one question a server answers before it knows who asks


@dataclass(frozen=True, slots=True)
class Postmaster:
    """A `postmaster.pid` as it was read, over the data folder `data`; `written_ns` is when it was written.

    The file outlives a SIGKILL and goes on saying "ready": ask `alive` before you believe `ready`. A server that is
    just being killed looks alive for a moment longer: ask `answers` before you send anybody there.
    """

    data: Path
    pid: int
    sockets: Path
    ready: bool
    written_ns: int

    @classmethod
    def read(cls, data: Path) -> Self | None:
        """What the pid file says; None while it is absent or half written."""
        try:
            written = (data / "postmaster.pid").stat().st_mtime_ns
            lines = (data / "postmaster.pid").read_text().splitlines()
            return cls(data, int(lines[0]), Path(lines[4].strip()), lines[7].strip() == "ready", written)
        except (FileNotFoundError, IndexError, ValueError):
            return None

    @classmethod
    def running(cls, data: Path) -> Self | None:
        """The server that runs over `data` now, ready or not; None when there is none."""
        found = cls.read(data)
        return found if found and found.alive else None

    @property
    def alive(self) -> bool:
        """Whether the pid is a PostgreSQL over this folder. A zombie is dead, and a pid may be another's by now."""
        state, command = _look_at(self.pid)
        return state not in {"", "Z"} and "postgres" in command and str(self.data) in command

    def answers(self, port: int) -> bool:
        """Whether somebody at the socket speaks PostgreSQL. Waits a second at most."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(1.0)
            try:
                asking.connect(str(self.sockets / f".s.PGSQL.{port}"))
                asking.sendall(WILL_YOU_ENCRYPT)
                return asking.recv(1) in {b"N", b"S"}
            except OSError:
                return False


def _look_at(pid: int) -> tuple[str, str]:
    """State letter and command line of a process; empty when there is no such process."""
    try:
        if PROCESSES.is_dir():
            state = (PROCESSES / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()[0]
            return state, (PROCESSES / str(pid) / "cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return "", ""
    command = ["/bin/ps", "-ww", "-o", "state=,command=", "-p", str(pid)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    state, _, line = said.stdout.strip().partition(" ")
    return state[:1], line
