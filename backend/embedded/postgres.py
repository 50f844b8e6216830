"""A real PostgreSQL inside the data folder, started from a wheel's binaries, shared by every command that needs it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import IO
from urllib.parse import quote

from backend.embedded.data_folder import make_folder
from backend.embedded.postgres_binaries import binaries_for
from backend.embedded.postmaster import Postmaster
from backend.embedded.server_account import ServerAccount
from backend.errors import DatabaseUnavailable, Misconfigured

LONGEST_SOCKET_PATH = 100  # the kernel takes 107 bytes; PostgreSQL's lock file beside the socket has a longer name
PORT = 5432  # only names the socket: the server listens on no network
LARGEST_LOG = 10_000_000
SHOWN_LOG = 1_500
STOLEN_MEMORY = "shared memory block"
RETRY_STOLEN_SECONDS = 10.0
RETRY_SECONDS = 0.1
POLL_SECONDS = 0.01
ELSEWHERE = Path("/var/lib")
PLACE = re.compile(r"[0-9a-f]{16}")

# On the command line, so that no file in the data folder can make the server forget what it acknowledged.
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # What was deleted is really gone when its erasure says so: an old file of the log is removed, not used again with
    # its old content.
    "wal_recycle": "off",
    "wal_keep_size": "0",
    "min_wal_size": "32MB",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    # A failed statement is reported by whoever sent it; its text and values are people's words and stay out of the log.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
}


class EmbeddedPostgres:
    """One PostgreSQL over `<data_folder>/postgres`.

    `start` starts it, or attaches to the one that already runs there; `stop` gives it back, and the last user stops it,
    whoever started it. Both block (a cold start takes about a second). Not for use by two threads at once.
    """

    def __init__(self, data_folder: Path) -> None:
        self.folder = data_folder.resolve() / "postgres"
        self.attached = False
        self.home = self.folder
        self._sockets = self.home / "socket"
        self._process: subprocess.Popen[bytes] | None = None
        self._running: Postmaster | None = None
        self._log_starts = 0
        self._use: IO[str] | None = None

    @property
    def data(self) -> Path:
        """PostgreSQL's own data folder."""
        return self.home / "pgdata"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.home / "postgres.log"

    @property
    def pid(self) -> int | None:
        """Process id of the server over this folder, whoever started it; None when it does not run."""
        self._find_home()
        found = Postmaster.running(self.data)
        return found.pid if found else None

    @property
    def is_running(self) -> bool:
        """Whether the server over this folder runs and takes connections."""
        self._find_home()
        found = Postmaster.running(self.data)
        return found is not None and found.ready and found.answers(PORT)

    def dsn(self, database: str = "postgres", user: str = "postgres") -> str:
        """Where to connect: a unix socket that only this account and the server's can reach, hence no password."""
        return f"postgresql://{quote(user)}@/{quote(database)}?host={quote(str(self._sockets))}&port={PORT}"

    def start(self, timeout: float = 60.0) -> None:
        """Make the server run and take connections; a repeated call brings a server back that died meanwhile.

        Errors: `Misconfigured` when this machine or folder cannot carry one, `DatabaseUnavailable` with the end of the
        server's log when it does not come up within `timeout` seconds.
        """
        try:
            self._start(time.monotonic() + timeout)
        except PermissionError as error:
            self._leave()
            raise Misconfigured(
                f"The data folder {self.folder.parent} holds what another account made and we may not touch "
                f"({error.filename}): start Numen under that account, or set NUMEN_DATA_DIR to another folder"
            ) from error
        except (Misconfigured, DatabaseUnavailable):
            self._leave()
            raise

    def stop(self, timeout: float = 30.0) -> None:
        """Give the server back. The last user shuts it down: open transactions roll back, a checkpoint is written.

        Does nothing when we are no user. Errors: `DatabaseUnavailable` when the server does not end.
        """
        if self._use is None:
            return
        with self._one_at_a_time() if self.folder.exists() else contextlib.nullcontext():
            try:
                if self._last_user(self._use):
                    self._shut_down(timeout)
            finally:
                self._leave()

    # --- starting ---

    def _start(self, give_up: float) -> None:
        make_folder(self.folder)
        with self._one_at_a_time():
            self._find_home()
            account = ServerAccount.for_data(self.data)
            self._settle(account)
            self._enter()
            self._bring_up(account, give_up)

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Generator[None]:
        with (self.folder / "start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _find_home(self) -> None:
        self.home, location = self.folder, self.folder / "location"
        if location.exists():
            place = location.read_text().strip()
            if not PLACE.fullmatch(place):
                raise Misconfigured(
                    f"{location} is damaged: it should hold the 16 digits of a folder {ELSEWHERE}/numen-…"
                )
            self.home = ELSEWHERE / f"numen-{place}"

    def _settle(self, account: ServerAccount) -> None:
        """Choose the home: the data folder, or a place of our own where `account` may not enter the data folder.

        The place's random name is kept in the data folder, so that who deletes the data folder really starts empty.
        """
        if self.home == self.folder and not account.can_enter(self.folder):
            if self.data.exists():
                raise Misconfigured(
                    f"PostgreSQL runs under another account than root, which may not enter {self.folder} any more: let "
                    "others pass through that folder and those above it (chmod o+x), or set NUMEN_DATA_DIR"
                )
            place = secrets.token_hex(8)
            self.home = ELSEWHERE / f"numen-{place}"
            make_folder(self.home)
            (self.home / "belongs-to").write_text(f"{self.folder.parent}\n")
            (self.folder / "location").write_text(place)
        make_folder(self.home)

    def _bring_up(self, account: ServerAccount, give_up: float) -> None:
        """Attach to the server that runs, or launch one, and wait until it takes connections."""
        retry_until = time.monotonic() + RETRY_STOLEN_SECONDS
        launched, stale = False, None
        while time.monotonic() < give_up:
            running = Postmaster.running(self.data)
            if running and running.ready and running != stale and running.answers(PORT):
                self._running, self._sockets = running, running.sockets
                self.attached = self._process is None or running.pid != self._process.pid
                return
            if self._process is None or self._process.poll() is not None:
                said = self._end_of_log() if launched else ""
                # The children of a killed server hold its memory for a moment.
                if launched and (STOLEN_MEMORY not in said or time.monotonic() > retry_until):
                    raise DatabaseUnavailable(f"PostgreSQL ended while it started. Its log {self.log} says: {said}")
                if running is None:
                    # In a restarted container our child may get the very pid that the file of its predecessor names.
                    time.sleep(RETRY_SECONDS if launched else 0)
                    launched, stale = True, Postmaster.read(self.data)
                    self._launch(account)
            time.sleep(POLL_SECONDS)
        raise DatabaseUnavailable(f"PostgreSQL was not ready in time. Its log {self.log} says: {self._end_of_log()}")

    def _create(self, binaries: Path, account: ServerAccount) -> None:
        """Make the data folder under another name first: an interrupted initdb leaves one that looks complete."""
        fresh = self.home / "pgdata.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        account.give(fresh)
        command = [str(binaries / "initdb"), "-D", str(fresh), "-U", "postgres", "-E", "UTF8", "--no-instructions"]
        command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += ["--auth-local=trust", "--auth-host=reject"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/", **account.run_as)
        if done.returncode:
            raise DatabaseUnavailable(
                f"PostgreSQL could not be set up in {self.home}: {done.stderr[-SHOWN_LOG:].strip()}"
            )
        fresh.rename(self.data)

    def _launch(self, account: ServerAccount) -> None:
        binaries = binaries_for(account)
        if not self.data.exists():
            self._create(binaries, account)
        self._sockets = self.home / "socket"
        path = os.fsencode(self._sockets / f".s.PGSQL.{PORT}")
        if len(path) > LONGEST_SOCKET_PATH or b"," in path or b'"' in path:
            self._sockets = Path(tempfile.mkdtemp(prefix="numen-"))
        self._sockets.mkdir(mode=0o700, exist_ok=True)
        account.give(self._sockets)
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))
        command = [str(binaries / "postgres"), "-D", str(self.data), "-c", f"unix_socket_directories={self._sockets}"]
        for name, value in SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            self._log_starts = log.tell()
            # A session of its own: Ctrl-C is for us, and we stop the server when its last client is done.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                **account.run_as,
            )

    def _end_of_log(self) -> str:
        with self.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_starts, size - SHOWN_LOG))
            return log.read().decode(errors="replace").strip()

    # --- stopping ---

    def _shut_down(self, timeout: float) -> None:
        running = Postmaster.running(self.data) or self._running
        # SIGQUIT leaves without a checkpoint; the next start recovers from the log of writes.
        for how, patience in ((signal.SIGINT, timeout), (signal.SIGQUIT, 10.0)):
            if running is None or self._ended(running, how, patience):
                break
        else:
            raise DatabaseUnavailable(f"PostgreSQL (process {running.pid}) does not end. See its log {self.log}")
        if self._sockets.parent != self.home:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def _ended(self, running: Postmaster, how: signal.Signals, timeout: float) -> bool:
        if running.alive:
            os.kill(running.pid, how)
        give_up = time.monotonic() + timeout
        while running.alive:
            if time.monotonic() > give_up:
                return False
            time.sleep(POLL_SECONDS)
        if self._process is not None and self._process.pid == running.pid:
            self._process.wait(timeout)
        return True

    # --- who uses the server: a shared flock each, so that the kernel forgets the dead ---

    def _enter(self) -> None:
        if self._use is None:
            self._use = (self.folder / "users.lock").open("w")
            fcntl.flock(self._use, fcntl.LOCK_SH)

    def _last_user(self, use: IO[str]) -> bool:
        try:
            fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _leave(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        if self._use is not None:
            self._use.close()
            self._use = None
