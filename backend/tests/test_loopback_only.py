"""The guard of the tests: it lets this machine through and nothing else."""

from __future__ import annotations

import socket

import pytest

from backend.tests.loopback_only import ForeignAddress


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, ("192.0.2.1", 9)),
        (socket.AF_INET, ("169.254.169.254", 80)),
        (socket.AF_INET6, ("2001:db8::1", 9, 0, 0)),
    ],
)
def test_the_world_is_refused(family: socket.AddressFamily, address: tuple[str, int]) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as outgoing, pytest.raises(ForeignAddress):
        outgoing.connect(address)


def test_looking_up_a_name_is_refused() -> None:
    with pytest.raises(ForeignAddress):
        socket.getaddrinfo("example.invalid", 443)


def test_this_machine_is_let_through() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as outgoing:
        assert outgoing.getpeername() == server.getsockname()
