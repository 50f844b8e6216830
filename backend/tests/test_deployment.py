"""The ways to run Numen, as far as they can be tried without Docker: image, Compose file, Makefile, locks, settings."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from packaging.requirements import Requirement

from backend.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-bootstrap.lock"]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, rest), continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text("utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def of(instruction: str) -> list[str]:
    return [rest for word, rest in instructions() if word == instruction]


# --- the image ---


def test_the_image_installs_and_serves_as_make_does() -> None:
    assert "python backend/scripts/install.py" in of("RUN")
    assert re.search(r'"\$\$python" backend/scripts/install\.py$', MAKEFILE, re.MULTILINE)
    started = [*json.loads(of("ENTRYPOINT")[0]), *json.loads(of("CMD")[0])]
    assert f"exec $(BIN)/{' '.join(started)}" in MAKEFILE


def test_the_image_runs_as_nobody_in_particular_and_keeps_its_data_in_a_volume() -> None:
    assert of("USER") == ["10001:10001"]
    environment = dict(pair.split("=", 1) for pair in of("ENV")[-1].split())
    assert of("VOLUME") == [environment["NUMEN_DATA_DIR"]]
    assert environment["NUMEN_PROMPTS_DIR"].startswith(environment["NUMEN_DATA_DIR"])
    assert environment["NUMEN_HOST"] == "0.0.0.0"  # noqa: S104 — inside a container that is what publishing needs
    assert of("EXPOSE") == [environment["NUMEN_PORT"]]


def test_every_image_is_pinned() -> None:
    images = [line.split()[0] for line in of("FROM")] + [one["image"] for one in SERVICES.values() if "image" in one]
    assert len(images) == 4
    assert all(re.search(r":v?\d", image) for image in images), images


def test_what_the_image_copies_exists_and_is_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert ignored[0] == "*"
    for line in of("COPY"):
        names = [] if line.startswith("--from") else line.split()[:-1]
        for name in names:
            assert (ROOT / name).exists(), name
            kept = {"!requirements*.lock"} if name.endswith(".lock") else {f"!{name}"}
            assert kept & set(ignored), name


# --- the Compose file ---


@pytest.mark.parametrize(
    ("service", "path"),
    [("postgres", "/var/lib/postgresql"), ("qdrant", "/qdrant/storage"), ("backend", "/var/lib/numen")],
)
def test_data_lie_in_named_volumes_where_the_images_write_them(service: str, path: str) -> None:
    (volume,) = SERVICES[service]["volumes"]
    name, target = volume.split(":")
    assert name in COMPOSE["volumes"]
    assert target == path


def test_only_the_backend_is_published_and_only_on_this_machine() -> None:
    published = {name: one["ports"] for name, one in SERVICES.items() if "ports" in one}
    assert list(published) == ["backend"]
    assert all(port.startswith("127.0.0.1:") for port in published["backend"])


def test_the_backend_waits_for_healthy_services() -> None:
    assert all("healthcheck" in one for one in SERVICES.values())
    assert SERVICES["backend"]["depends_on"] == {
        name: {"condition": "service_healthy"} for name in SERVICES if name != "backend"
    }


def test_no_secret_has_a_default() -> None:
    used = re.findall(r"\$\{(\w+)([^}]*)\}", COMPOSE_TEXT)
    secrets = {name: rest for name, rest in used if re.search("PASSWORD|KEY|SECRET", name)}
    assert set(secrets) == {"POSTGRES_PASSWORD", "QDRANT_API_KEY", "NUMEN_BOOTSTRAP_KEY"}
    assert all(rest.startswith(":?") for rest in secrets.values())
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|KEY|SECRET|_URL", name) and name != "QDRANT_URL":  # it names a host, and no login
                assert value is None or "${" in value, name


def test_the_backend_is_given_settings_that_exist() -> None:
    assert set(SERVICES["backend"]["environment"]) <= aliases()


# --- the health checks, run for real against a small server ---


class Health(BaseHTTPRequestHandler):
    """Answers /readyz with the server's `status`."""

    def do_GET(self) -> None:
        server = cast("HealthServer", self.server)
        self.send_response(server.status if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class HealthServer(ThreadingHTTPServer):
    status = 200


@pytest.fixture
def health() -> Generator[HealthServer]:
    with HealthServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def checks() -> dict[str, list[str]]:
    _, _, command = of("HEALTHCHECK")[0].partition("CMD ")
    return {
        "image": json.loads(command),
        "backend": SERVICES["backend"]["healthcheck"]["test"][1:],
        "qdrant": SERVICES["qdrant"]["healthcheck"]["test"][1:],
    }


@pytest.mark.parametrize("which", ["image", "backend", "qdrant"])
def test_a_health_check_tells_ready_from_not_ready(which: str, health: HealthServer) -> None:
    port = str(health.server_port)
    command = [re.sub(r"\b(?:8000|6333)\b", port, word) for word in checks()[which]]
    command[0] = sys.executable if command[0] == "python" else command[0]
    for status, healthy in ((200, True), (503, False)):
        health.status = status
        done = subprocess.run(
            command, check=False, capture_output=True, env={"NUMEN_PORT": port, "PATH": "/usr/bin:/bin"}
        )
        assert (done.returncode == 0) is healthy, done.stderr


# --- settings ---


def aliases() -> set[str]:
    return {str(field.alias) for field in Settings.model_fields.values()}


def example() -> dict[str, str]:
    text = (ROOT / ".env.example").read_text("utf-8")
    return dict(re.findall(r"^# ([A-Z][A-Z_]+)=(.*)$", text, re.MULTILINE))


def test_the_example_names_every_setting_and_no_other() -> None:
    compose_only = {name for name, _ in re.findall(r"\$\{(\w+)([^}]*)\}", COMPOSE_TEXT)} - aliases()
    assert set(example()) == aliases() | compose_only


def test_the_example_shows_the_defaults() -> None:
    for field in Settings.model_fields.values():
        shown = example()[str(field.alias)]
        if field.default is None or field.default == []:
            assert shown == "", field.alias
        else:
            is_json = shown.startswith(("[", "{")) or isinstance(field.default, bool)
            assert shown == (json.dumps(field.default) if is_json else str(field.default)), field.alias


# --- locks, make and CI ---


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_by_hash_and_names_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8")
    assert "://" not in text
    assert not re.search(
        r"^\s*-", re.sub(r"^\s+--hash=sha256:[0-9a-f]{64}( \\)?$", "", text, flags=re.MULTILINE), re.MULTILINE
    )
    pins = re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]
    assert all("==" in pin.splitlines()[0] and "--hash=sha256:" in pin for pin in pins)


def test_the_locks_hold_what_the_project_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups = {
        "requirements.lock": project["project"]["dependencies"],
        "requirements-dev.lock": project["project"]["dependencies"] + project["dependency-groups"]["dev"],
        "requirements-bootstrap.lock": project["dependency-groups"]["bootstrap"] + project["build-system"]["requires"],
    }
    for lock, declared in groups.items():
        pinned = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / lock).read_text("utf-8"), re.MULTILINE))
        for one in map(Requirement, declared):
            assert one.specifier.contains(pinned[one.name.lower()]), f"{lock}: {one}"


def test_tests_run_on_what_is_shipped() -> None:
    lines = [
        set(re.findall(r"^[\w.-]+==.*?(?= \\$)", (ROOT / lock).read_text("utf-8"), re.MULTILINE)) for lock in LOCKS[:2]
    ]
    assert lines[0] <= lines[1]


def test_make_explains_itself() -> None:
    said = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert {"run", "setup", "check", "fix", "test", "migrate", "openapi", "help"} <= {
        line.split()[0] for line in said.splitlines()
    }


def test_ci_runs_what_people_run() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    assert "set -euo pipefail" in script
    assert [line for line in script if line.startswith("make")] == ["make check", "make test"]
