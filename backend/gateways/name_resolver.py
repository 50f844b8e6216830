"""From the names of foreign hosts to their addresses."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

Resolver = Callable[[str, int], Awaitable[list[str]]]
"""From a host and a port to numeric addresses, the best first. Errors: `OSError`, `UnicodeError`."""
_LOOKUPS = 8


class SystemResolver:
    """Asks the system, in threads of its own: names that a tenant lets hang must not hold up anybody else's work."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="tool-names")

    async def __call__(self, host: str, port: int) -> list[str]:
        """What `host` means here. Errors: `OSError`, `UnicodeError`."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _look_up, host, port)
        return list(dict.fromkeys(found))

    def close(self) -> None:
        """Take no more questions; those that hang are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[str]:
    return [str(answer[4][0]) for answer in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
