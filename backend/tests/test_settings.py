"""What a deployment can set, and what it is refused with."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import get_args

import pytest
from pydantic import ValidationError

from backend.services.crisis.help_lines import HelpLines
from backend.settings import HelpRegion, Settings


@pytest.fixture(autouse=True)
def bare_environment() -> Generator[None]:
    """Nothing set from outside, and nothing left behind."""
    kept = dict(os.environ)
    for name in list(os.environ):
        if name.startswith(("NUMEN_", "DATABASE_", "OPENAI_", "QDRANT_", "ELEVENLABS_", "DEEPGRAM_")):
            del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(kept)


def settings(**environment: str) -> Settings:
    os.environ.update(environment)
    return Settings(_env_file=None)  # pyright: ignore[reportCallIssue] — pydantic's own parameter


def test_a_laptop_needs_no_setting() -> None:
    made = settings()
    assert (made.embedded, made.auth_mode, made.model_provider, made.port) == (True, "development", "offline", 8000)


@pytest.mark.parametrize(
    ("environment", "mode"),
    [
        ({"NUMEN_HOST": "0.0.0.0"}, "keys"),  # noqa: S104 — what a container sets
        ({"NUMEN_HOST": "::1"}, "development"),
        ({"NUMEN_HOST": "localhost"}, "development"),
        ({"NUMEN_HOST": "numen.internal"}, "keys"),
        ({"DATABASE_URL": "postgresql://o@h/d"}, "keys"),
        ({"DATABASE_URL": "postgresql://o@h/d", "NUMEN_AUTH": "development"}, "development"),
        ({"NUMEN_AUTH": "keys"}, "keys"),
        ({"NUMEN_AUTH": ""}, "development"),
    ],
)
def test_keys_are_asked_for_unless_everything_stays_at_home(environment: dict[str, str], mode: str) -> None:
    assert settings(**environment).auth_mode == mode


@pytest.mark.parametrize(
    ("environment", "provider"),
    [
        ({"OPENAI_API_KEY": "sk-test"}, "openai"),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, "openai"),
        ({"DATABASE_URL": "postgresql://o@h/d"}, "openai"),
        ({"NUMEN_LLM_PROVIDER": "offline", "OPENAI_API_KEY": "sk-test"}, "offline"),
        ({"OPENAI_API_KEY": ""}, "offline"),
    ],
)
def test_a_configured_provider_is_used(environment: dict[str, str], provider: str) -> None:
    assert settings(**environment).model_provider == provider


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"NUMEN_AUTH": "development", "NUMEN_HOST": "0.0.0.0"}, "only works on loopback"),  # noqa: S104 — refused
        ({"NUMEN_AUTH": "none"}, "'keys' or 'development'"),
        ({"NUMEN_BOOTSTRAP_KEY": "short"}, "at least 32 characters"),
        ({"NUMEN_CORS_ORIGINS": "https://a.example,*"}, "named origins"),
        ({"NUMEN_CORS_ORIGINS": "app.example.com"}, "is no origin"),
        ({"NUMEN_CORS_ORIGINS": "https://app.example.com/path"}, "is no origin"),
        ({"NUMEN_PORT": "70000"}, "65535"),
        ({"NUMEN_LLM_PROVIDERS": '{"ollama": {"url": "x"}}'}, "base_url"),
        ({"QDRANT_URL": "qdrant:6333"}, "QDRANT_URL: qdrant:6333 is no address"),
        ({"NUMEN_EMBEDDER": "openai", "NUMEN_EMBEDDER_BASE_URL": "ollama"}, "NUMEN_EMBEDDER_BASE_URL: ollama is no"),
        ({"NUMEN_EMBEDDER": "word2vec"}, "'minilm', 'openai' or 'lexical'"),
        ({"NUMEN_EMBEDDER": "openai"}, "has no key for api.openai.com"),
        ({"NUMEN_EMBEDDER_DIMENSIONS": "768"}, "minilm has 384"),
        ({"NUMEN_EMBEDDER": "lexical", "NUMEN_EMBEDDER_DIMENSIONS": "384"}, "lexical has 1024"),
        ({"NUMEN_EMBEDDER_MODEL": "bge-m3"}, "NUMEN_EMBEDDER_MODEL is for NUMEN_EMBEDDER=openai only"),
        (
            {"NUMEN_EMBEDDER": "openai", "OPENAI_API_KEY": "k", "NUMEN_EMBEDDER_DIMENSIONS": "0"},
            "greater than or equal",
        ),
        ({"NUMEN_TOOL_HOSTS": "https://tools.example.com"}, "NUMEN_TOOL_HOSTS: https://tools.example.com is no host"),
        ({"NUMEN_TOOL_HOSTS": "a.example, b.example/mcp"}, "NUMEN_TOOL_HOSTS: b.example/mcp is no host"),
        ({"NUMEN_TOOL_HOSTS": "*.example.com"}, "is no host such as tools.example.com or tools.example.com:8443"),
        ({"NUMEN_TOOL_HOSTS": "a.example:70000"}, "a.example:70000 is no host"),
        ({"NUMEN_TOOL_HOSTS": "::1"}, "::1 is no host"),
        ({"NUMEN_TOOL_PRIVATE_HOSTS": "10.0.0.5"}, "10.0.0.5 is no host with its port such as 10.0.0.5:8080"),
        ({"NUMEN_TOOL_PRIVATE_HOSTS": "10.0.0.0/8:80"}, "10.0.0.0/8:80 is no host with its port"),
        ({"NUMEN_TOOL_PRIVATE_HOSTS": "tools.internal:0"}, "tools.internal:0 is no host with its port"),
        ({"ELEVENLABS_BASE_URL": "api.elevenlabs.io"}, "ELEVENLABS_BASE_URL: api.elevenlabs.io is no address"),
        ({"DEEPGRAM_BASE_URL": "wss://api.deepgram.com"}, "DEEPGRAM_BASE_URL: wss://api.deepgram.com is no address"),
        ({"NUMEN_VOICE_ALIASES": '{"calm": "../../v1/user"}'}, "NUMEN_VOICE_ALIASES: '../../v1/user' is not 1 to 64"),
        ({"NUMEN_VOICE_ALIASES": '{"a b": "x"}'}, "NUMEN_VOICE_ALIASES: 'a b' is not 1 to 64"),
    ],
)
def test_what_cannot_work_is_refused_with_a_reason(environment: dict[str, str], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        settings(**environment)


def test_the_region_is_one_that_has_help_lines() -> None:
    assert settings().region == "international"
    assert settings(NUMEN_REGION="ZA").region == "ZA"
    assert set(get_args(HelpRegion)) == set(HelpLines.regions())
    with pytest.raises(ValidationError, match=r"NUMEN_REGION\n.*'international', 'US', .* or 'ZA'"):
        settings(NUMEN_REGION="ATLANTIS")


def test_origins_are_separated_by_commas() -> None:
    made = settings(NUMEN_CORS_ORIGINS="https://a.example, https://b.example")
    assert made.cors_origins == ["https://a.example", "https://b.example"]


def test_hosts_of_tools_are_separated_by_commas() -> None:
    made = settings(
        NUMEN_TOOL_HOSTS="tools.example.com, other.example:8443", NUMEN_TOOL_PRIVATE_HOSTS="10.0.0.5:8080,[::1]:9000"
    )
    assert made.tool_hosts == ["tools.example.com", "other.example:8443"]
    assert made.tool_private_hosts == ["10.0.0.5:8080", "[::1]:9000"]


def test_nothing_inside_is_open_to_tools_by_itself() -> None:
    made = settings()
    assert (made.tool_hosts, made.tool_private_hosts) == ([], [])


def test_a_named_provider_has_nothing_from_the_environment() -> None:
    os.environ["BASE_URL"] = "http://elsewhere"
    with pytest.raises(ValidationError, match="base_url"):
        settings(NUMEN_LLM_PROVIDERS='{"ollama": {}}')
    del os.environ["BASE_URL"]


LOCAL = "http://127.0.0.1:11434/v1"


@pytest.mark.parametrize(
    ("environment", "server"),
    [
        ({"OPENAI_API_KEY": "sk-test"}, ("https://api.openai.com/v1", "sk-test")),
        ({"OPENAI_API_KEY": "sk-test", "NUMEN_EMBEDDER_API_KEY": "sk-own"}, ("https://api.openai.com/v1", "sk-own")),
        ({"OPENAI_BASE_URL": LOCAL}, (LOCAL, "")),
        ({"NUMEN_EMBEDDER_BASE_URL": LOCAL}, (LOCAL, "")),
        # The key of one server is not shown to another.
        ({"OPENAI_API_KEY": "sk-test", "NUMEN_EMBEDDER_BASE_URL": LOCAL}, (LOCAL, "")),
        ({"NUMEN_EMBEDDER_BASE_URL": LOCAL, "NUMEN_EMBEDDER_API_KEY": "sk-own"}, (LOCAL, "sk-own")),
    ],
)
def test_an_embeddings_api_has_its_address_and_key(environment: dict[str, str], server: tuple[str, str]) -> None:
    found = settings(NUMEN_EMBEDDER="openai", **environment).embedder_server
    assert (found.base_url, found.api_key.get_secret_value()) == server


def test_the_default_dimensions_may_be_said() -> None:
    assert settings(NUMEN_EMBEDDER_DIMENSIONS="384").embedder_dimensions == 384


def test_voices_have_the_names_that_the_default_agents_use() -> None:
    assert settings().voice_aliases == {"calm-female": "21m00Tcm4TlvDq8ikWAM", "soothing-male": "pNInz6obpgDQGcFmaJgB"}
    more = settings(NUMEN_VOICE_ALIASES='{"soothing-male": "other", "bright": "third"}').voice_aliases
    assert more == {"calm-female": "21m00Tcm4TlvDq8ikWAM", "soothing-male": "other", "bright": "third"}


@pytest.mark.parametrize(
    ("environment", "locally"),
    [
        ({}, True),
        ({"ELEVENLABS_API_KEY": ""}, True),
        ({"ELEVENLABS_API_KEY": "key"}, False),
        ({"DATABASE_URL": "postgresql://o@h/d"}, False),
    ],
)
def test_this_machine_speaks_in_the_first_run_only(environment: dict[str, str], locally: bool) -> None:
    assert settings(**environment).speaks_locally is locally


def test_secrets_do_not_show() -> None:
    made = settings(
        ELEVENLABS_API_KEY="canary-voice",
        DEEPGRAM_API_KEY="canary-ears",
        OPENAI_API_KEY="sk-canary",
        DATABASE_URL="postgresql://o:canary@h/d",
        NUMEN_BOOTSTRAP_KEY="canary" * 8,
    )
    assert "canary" not in repr(made)
