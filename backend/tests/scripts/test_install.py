"""Installing from hashed locks: once, again only when something changed, by uv or else by pip. No network: a wheel."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from backend.scripts.install import Installation, uv_settings

PROJECT = """
[project]
name = "house"
version = "1"

[build-system]
requires = []
build-backend = "builder"
backend-path = ["."]
"""
BUILDER = """
import zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(folder + "/house-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("house-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: house\\nVersion: 1\\n")
        wheel.writestr("house-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("house-1.dist-info/entry_points.txt", "[console_scripts]\\nhouse = brick:show\\n")
        wheel.writestr("house-1.dist-info/RECORD", "")
    return "house-1-py3-none-any.whl"
"""
UV = """#!/bin/sh
echo "$UV_DEFAULT_INDEX $@" >> "$0.calls"
"""


def make_a_wheel(folder: Path) -> str:
    """A wheel `brick` in `folder`; its line in a lock."""
    path = folder / "brick-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("brick.py", "def show(): print('a brick')\n")
        wheel.writestr("brick-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: brick\nVersion: 1\n")
        wheel.writestr("brick-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("brick-1.dist-info/RECORD", "")
    return f"brick==1 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose only dependency lies beside it, where pip is told to look."""
    root = tmp_path / "a house"
    root.mkdir()
    (root / "pyproject.toml").write_text(PROJECT)
    (root / "builder.py").write_text(BUILDER)
    line = make_a_wheel(tmp_path)
    (root / "requirements.lock").write_text(line)
    (root / "requirements-dev.lock").write_text(line)
    (root / "requirements-bootstrap.lock").write_text("# nothing\n")
    for name, value in {"CONFIG_FILE": "/dev/null", "NO_INDEX": "1", "FIND_LINKS": str(tmp_path)}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return root


def test_it_installs_once_by_pip_and_then_by_uv(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = project / "requirements.lock"
    right = lock.read_text()
    lock.write_text("brick==1 --hash=sha256:" + "0" * 64)
    with pytest.raises(SystemExit, match="Not installed"):
        Installation(project).ensure("run")

    lock.write_text(right)
    assert Installation(project).ensure("run")
    said = subprocess.run([str(project / ".venv/bin/house")], check=True, capture_output=True, text=True).stdout
    assert said == "a brick\n"
    assert not Installation(project).ensure("run")

    uv = project / ".venv/bin/uv"
    uv.write_text(UV)
    uv.chmod(0o755)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    assert Installation(project).ensure("dev")
    packages, itself = uv.with_name("uv.calls").read_text().splitlines()
    assert packages.startswith("http://127.0.0.1:9/ pip install")
    assert packages.endswith(f"--no-deps --require-hashes --only-binary :all: -r {project}/requirements-dev.lock")
    assert itself.endswith(f"-e {project}")
    assert not Installation(project).ensure("run")


def test_uv_is_told_what_pip_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    said = """:env:.index-url='https://mirror.example/env'
global.index-url='https://mirror.example/global'
global.extra-index-url='https://one.example\\nhttps://two.example'
global.find-links='/somewhere'
install.trusted-host='one.example'
freeze.timeout='10'
"""
    monkeypatch.setenv("UV_HTTP_RETRIES", "7")
    found = uv_settings(said)
    assert found["UV_DEFAULT_INDEX"] == "https://mirror.example/env"
    assert found["UV_INDEX"] == "https://one.example https://two.example"
    assert found["UV_INSECURE_HOST"] == "one.example"
    assert "UV_HTTP_RETRIES" not in found, "what somebody set for uv stays"
