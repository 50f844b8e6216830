"""Wrong settings are told by variable, and no secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.errors import Misconfigured
from backend.scripts.deployment_settings import read_settings


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a .env."""
    monkeypatch.chdir(tmp_path)


def test_what_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMEN_PORT", "9000")
    assert read_settings(host=None, port=None).port == 9000
    assert (read_settings(host="127.0.0.2", port=0).host, read_settings(port=0).port) == ("127.0.0.2", 0)


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("NUMEN_PORT", "http", "NUMEN_PORT: 'http' does not fit, input should be a valid integer"),
        ("NUMEN_LOG_LEVEL", "loud", "NUMEN_LOG_LEVEL: 'loud' does not fit, input should be 'debug'"),
        ("NUMEN_CORS_ORIGINS", '["https://a.example"]', "NUMEN_CORS_ORIGINS: "),
        ("NUMEN_CORS_ORIGINS", "https://a.example,*", "NUMEN_CORS_ORIGINS takes named origins"),
        ("NUMEN_LLM_PROVIDERS", "ollama", "NUMEN_LLM_PROVIDERS must be JSON, such as the example"),
        ("NUMEN_BOOTSTRAP_KEY", "hunter2", "NUMEN_BOOTSTRAP_KEY needs at least 32 characters"),
        ("NUMEN_LLM_PROVIDERS", '{"x": {"api_key": "hunter2"}}', "NUMEN_LLM_PROVIDERS.x.base_url: field required"),
        ("NUMEN_LLM_PROVIDERS", '{"x": "hunter2"}', "NUMEN_LLM_PROVIDERS.x: "),
    ],
)
def test_a_wrong_setting(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, complaint: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(Misconfigured) as refused:
        read_settings()
    assert refused.value.detail.startswith(complaint)
    assert "hunter2" not in refused.value.detail


def test_all_that_is_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMEN_PORT", "70000")
    monkeypatch.setenv("NUMEN_DATABASE_POOL_SIZE", "0")
    with pytest.raises(Misconfigured, match=r"NUMEN_PORT.*; NUMEN_DATABASE_POOL_SIZE"):
        read_settings()


def test_development_mode_stays_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMEN_AUTH", "development")
    with pytest.raises(Misconfigured, match=r"only works on loopback, not on 192\.0\.2\.7"):
        read_settings(host="192.0.2.7")
