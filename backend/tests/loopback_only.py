"""No test talks to the world: connecting elsewhere than to this machine, or asking for a name, is refused."""

from __future__ import annotations

import ipaddress
import socket
import sys
from typing import Any

LOCAL_NAMES = {"localhost", "localhost.localdomain", ""}


class ForeignAddress(AssertionError):
    """A test, or the code under it, wanted to leave this machine."""


def refuse_the_world() -> None:
    """Refuse from now on, until the process ends: an audit hook cannot be taken away."""
    sys.addaudithook(_watch)


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        ours, address = arguments
        if ours.family in (socket.AF_INET, socket.AF_INET6) and not _is_local(address[0]):
            raise ForeignAddress(f"a test connects to {address}: bring a server of your own on 127.0.0.1")
    elif event == "socket.getaddrinfo" and not _is_local(arguments[0]):
        raise ForeignAddress(f"a test looks up {arguments[0]!r}: use 127.0.0.1")


def _is_local(host: str | bytes | None) -> bool:
    name = host.decode() if isinstance(host, bytes) else host or ""
    if name in LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False
