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

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 11)
LOCKS = {"bootstrap": "requirements-bootstrap.lock", "run": "requirements.lock", "dev": "requirements-dev.lock"}
PARTS_OF_THE_INSTALLATION = ("project", "build-system")
HASHED = ("--no-deps", "--require-hashes", "--only-binary", ":all:", "-r")
OURSELVES = ("--no-deps", "--no-build-isolation", "-e", str(ROOT))
PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}
PRECEDENCE = ("global", "install", ":env:")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def digest() -> str:
    """What an installation depends on: the locks, our own package's description and where we are."""
    described = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    parts = json.dumps([described[part] for part in PARTS_OF_THE_INSTALLATION] + [str(ROOT)])
    return hashlib.sha256(b"".join((ROOT / lock).read_bytes() for lock in LOCKS.values()) + parts.encode()).hexdigest()


def is_done(kind: str, wanted: str) -> bool:
    """Whether this very installation is there, or one that contains it."""
    stamps = [VENV / f"installed-{one}" for one in {kind, "dev"}]
    return _works() and any(stamp.exists() and stamp.read_text() == wanted for stamp in stamps)


def _works() -> bool:
    """Whether the virtualenv's python runs (its own may be gone or moved), is new enough and has pip."""
    test = f"import sys, importlib.util as i; sys.exit(sys.version_info < {OLDEST} or i.find_spec('pip') is None)"
    return PYTHON.exists() and subprocess.run([str(PYTHON), "-c", test], check=False).returncode == 0


def install(kind: str) -> None:
    """Fill the virtualenv with the packages of `kind` ("run" or "dev") and with Numen itself, installed in place."""
    if not _works():
        venv.create(VENV, clear=True, symlinks=True, with_pip=True)
    _pip(*HASHED, str(ROOT / LOCKS["bootstrap"]))
    settings = uv_settings(_pip_settings())
    for arguments in ((*HASHED, str(ROOT / LOCKS[kind])), OURSELVES):
        if not _uv(settings, *arguments):
            _pip(*arguments)


def _pip(*arguments: str) -> None:
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    # Somebody's setting to install for their user would be an error in a virtualenv.
    done = subprocess.run(command, check=False, cwd=ROOT, env={**os.environ, "PIP_USER": "0"})
    if done.returncode:
        raise SystemExit("Not installed: pip says above why. Is the package index within reach?")


def _uv(settings: dict[str, str], *arguments: str) -> bool:
    command = [
        str(VENV / "bin" / "uv"),
        "pip",
        "install",
        "--quiet",
        "--system-certs",
        "--python",
        str(PYTHON),
        *arguments,
    ]
    done = subprocess.run(
        command, check=False, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True
    )
    if done.returncode:
        _say(f"uv did not succeed, pip takes over, which takes longer. uv said: {done.stderr.strip()}")
    return done.returncode == 0


def _pip_settings() -> str:
    command = [str(PYTHON), "-m", "pip", "config", "list"]
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


def main() -> None:
    """Bring `.venv` to what the locks say. Exit code 1 and a sentence when that fails."""
    kind = "dev" if "--dev" in sys.argv[1:] else "run"
    wanted = digest()
    if is_done(kind, wanted):
        return
    with (ROOT / "pyproject.toml").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_done(kind, wanted):
            return
        _say(f"Installing into {VENV}")
        install(kind)
        (VENV / f"installed-{kind}").write_text(wanted)


if __name__ == "__main__":
    main()
