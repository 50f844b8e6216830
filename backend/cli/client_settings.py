"""Where the server is and how to get in. No pydantic-settings: it would take a third of a short command's time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from dotenv import dotenv_values

from backend.cli.failures import CommandFailed

_EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 — what a server binds to, not where a client goes
_LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """`url` has no trailing slash; `on_this_machine` says that it is a loopback address."""

    url: str
    api_key: str | None = field(repr=False)
    on_this_machine: bool

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> Self:
        """From the environment, then from `.env` in the current folder.

        `NUMEN_URL`, or the address that `numen serve` would have; `NUMEN_API_KEY`, or, for the deployment of these very
        settings, its bootstrap key. Errors: `CommandFailed`.
        """
        environment = os.environ if environment is None else environment
        in_file = {name: value for name, value in dotenv_values(".env").items() if value}
        found = in_file | {name: value for name, value in environment.items() if value}
        url = found.get("NUMEN_URL", "").strip().rstrip("/")
        key = found.get("NUMEN_API_KEY", "").strip()
        if not url:
            url = f"http://{_host(found.get('NUMEN_HOST', ''))}:{found.get('NUMEN_PORT', '8000')}"
            key = key or found.get("NUMEN_BOOTSTRAP_KEY", "").strip()
        return cls(url, key or None, _host_in(url) in _LOCAL)


def _host_in(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    else:
        if usable:
            return parts.hostname or ""
    raise CommandFailed(
        f"{url!r} is no address of a server: set NUMEN_URL to something like http://127.0.0.1:8000, "
        "or correct NUMEN_HOST and NUMEN_PORT."
    )


def _host(bound: str) -> str:
    host = "127.0.0.1" if bound in _EVERYWHERE else bound
    return f"[{host}]" if ":" in host else host
