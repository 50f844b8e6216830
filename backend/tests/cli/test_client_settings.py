"""Where the command finds its server, and what it shows there."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.cli.client_settings import ClientSettings
from backend.cli.failures import CommandFailed


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a .env."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("environment", "url", "local"),
    [
        ({}, "http://127.0.0.1:8000", True),
        ({"NUMEN_PORT": "9000"}, "http://127.0.0.1:9000", True),
        ({"NUMEN_HOST": "::"}, "http://127.0.0.1:8000", True),
        ({"NUMEN_HOST": "::1"}, "http://[::1]:8000", True),
        ({"NUMEN_HOST": "192.0.2.7"}, "http://192.0.2.7:8000", False),
        ({"NUMEN_URL": "https://numen.example.com/", "NUMEN_PORT": "9000"}, "https://numen.example.com", False),
        ({"NUMEN_URL": "http://user@localhost:1/below/"}, "http://user@localhost:1/below", True),
    ],
)
def test_where_the_server_is(environment: dict[str, str], url: str, local: bool) -> None:
    settings = ClientSettings.read(environment)
    assert (settings.url, settings.on_this_machine) == (url, local)


def test_the_environment_goes_before_the_file(elsewhere: Path) -> None:
    (elsewhere / ".env").write_text("NUMEN_URL=http://127.0.0.1:7000\nNUMEN_API_KEY=from-the-file\n")
    assert ClientSettings.read({"NUMEN_URL": "http://127.0.0.1:7001"}).url == "http://127.0.0.1:7001"
    assert ClientSettings.read({}).api_key == "from-the-file"


def test_the_bootstrap_key_goes_to_no_other_server() -> None:
    key = {"NUMEN_BOOTSTRAP_KEY": "b" * 32}
    assert ClientSettings.read(key).api_key == "b" * 32
    assert ClientSettings.read({**key, "NUMEN_API_KEY": "mine"}).api_key == "mine"
    assert ClientSettings.read({**key, "NUMEN_URL": "http://127.0.0.1:7000"}).api_key is None


def test_a_key_is_not_shown() -> None:
    assert "secret" not in repr(ClientSettings.read({"NUMEN_API_KEY": "secret"}))


@pytest.mark.parametrize(
    "url", ["numen.example.com", "ftp://numen.example.com", "http://", "http://x:0", "http://x:99999", "http://[x"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(CommandFailed, match="is no address of a server: set NUMEN_URL"):
        ClientSettings.read({"NUMEN_URL": url})


def test_a_port_that_is_none_is_refused() -> None:
    with pytest.raises(CommandFailed, match=r"'http://127\.0\.0\.1:many' is no address .* NUMEN_PORT"):
        ClientSettings.read({"NUMEN_PORT": "many"})
