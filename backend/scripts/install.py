"""Install Numen into `.venv` from the hashed lock files, or do nothing when that was done. Run by make.

    python3 backend/scripts/install.py [--dev]

Needs the standard library only. uv does the work where it can reach the package index, because it takes seconds where
pip takes minutes; uv itself comes by pip, pinned and hashed like everything else. uv does not read pip's settings, so
they are handed on, and where that does not help pip does the work after all.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

OLDEST = (3, 11)
LOCKS = {"bootstrap": "requirements-bootstrap.lock", "run": "requirements.lock", "dev": "requirements-dev.lock"}
PARTS_OF_THE_INSTALLATION = ("project", "build-system")
HASHED = ("--no-deps", "--require-hashes", "--only-binary", ":all:", "-r")
WORKS = f"import sys, importlib.util as i; sys.exit(sys.version_info < {OLDEST} or i.find_spec('pip') is None)"
PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}
PRECEDENCE = ("global", "install", ":env:")


class Installation:
    """The virtualenv of the project in `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / ".venv"
        self.python = self.folder / "bin" / "python"

    def ensure(self, kind: str) -> bool:
        """Install the packages of `kind` ("run", or "dev" which contains it) and the project in place.

        False when they were there. `SystemExit` with a sentence when pip fails, which says itself why.
        """
        wanted = self._digest()
        if self._is_done(kind, wanted):
            return False
        with (self.root / "pyproject.toml").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._is_done(kind, wanted):
                return False
            _say(f"Installing into {self.folder}")
            self._install(kind)
            (self.folder / f"installed-{kind}").write_text(wanted)
        return True

    def _digest(self) -> str:
        """What an installation depends on: the locks, our own package's description and where we are."""
        described = tomllib.loads((self.root / "pyproject.toml").read_text("utf-8"))
        found = hashlib.sha256(json.dumps([described[part] for part in PARTS_OF_THE_INSTALLATION]).encode())
        found.update(os.fsencode(self.root))
        for lock in LOCKS.values():
            found.update((self.root / lock).read_bytes())
        return found.hexdigest()

    def _is_done(self, kind: str, wanted: str) -> bool:
        stamps = [self.folder / f"installed-{one}" for one in {kind, "dev"}]
        return any(stamp.exists() and stamp.read_text() == wanted for stamp in stamps) and self._works()

    def _works(self) -> bool:
        """Whether the virtualenv's python runs (what it points to may be gone), is new enough and has pip."""
        return self.python.exists() and subprocess.run([str(self.python), "-c", WORKS], check=False).returncode == 0

    def _install(self, kind: str) -> None:
        if not self._works():
            venv.create(self.folder, clear=True, symlinks=True, with_pip=True)
        self._pip(*HASHED, str(self.root / LOCKS["bootstrap"]))
        settings = uv_settings(self._pip_settings())
        project = ("--no-deps", "--no-build-isolation", "-e", str(self.root))
        for arguments in ((*HASHED, str(self.root / LOCKS[kind])), project):
            if not self._uv(settings, *arguments):
                self._pip(*arguments)

    def _pip(self, *arguments: str) -> None:
        command = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
        # Somebody's setting to install for their user would be an error in a virtualenv.
        done = subprocess.run(command, check=False, cwd=self.root, env={**os.environ, "PIP_USER": "0"})
        if done.returncode:
            raise SystemExit("Not installed: pip says above why. Is the package index within reach?")

    def _uv(self, settings: dict[str, str], *arguments: str) -> bool:
        command = [str(self.folder / "bin" / "uv"), "pip", "install", "--quiet", "--system-certs"]
        command += ["--python", str(self.python), *arguments]
        try:
            environment = {**os.environ, **settings}
            subprocess.run(command, check=True, cwd=self.root, env=environment, capture_output=True, text=True)
        except (subprocess.CalledProcessError, OSError) as error:
            said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else error
            _say(f"uv did not succeed, pip takes over, which takes longer. uv said: {said}")
            return False
        return True

    def _pip_settings(self) -> str:
        command = [str(self.python), "-m", "pip", "config", "list"]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout


def uv_settings(pip_settings: str) -> dict[str, str]:
    """Environment variables that tell uv what `pip config list` says, for what both of them know."""
    found: dict[str, dict[str, str]] = {section: {} for section in PRECEDENCE}
    for line in pip_settings.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if section in found and key in PIP_TO_UV:
            found[section][PIP_TO_UV[key]] = " ".join(str(ast.literal_eval(value)).split())
    # One retry and short patience: pip is there to fall back on. The hashes make any index as good as another.
    settings = {"UV_HTTP_CONNECT_TIMEOUT": "5", "UV_HTTP_RETRIES": "1", "UV_INDEX_STRATEGY": "unsafe-best-match"}
    for section in PRECEDENCE:
        settings |= found[section]
    return {name: value for name, value in settings.items() if name not in os.environ}


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> None:
    """Bring `.venv` to what the locks say. Exit code 1 and a sentence when that fails."""
    Installation(Path(__file__).resolve().parents[2]).ensure("dev" if "--dev" in sys.argv[1:] else "run")


if __name__ == "__main__":
    main()
