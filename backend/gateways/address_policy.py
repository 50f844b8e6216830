"""Which addresses a tenant may make this server call: what a URL says, and what its name turns out to mean."""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

PORTS = {"http": 80, "https": 443}
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Public, or so `is_global` says, and yet nobody's: protocol assignments (among them one cloud's metadata, and Teredo),
# relays of 6to4, documentation, and the host of another cloud's virtual machines.
_NOBODYS = (
    *map(ipaddress.IPv4Network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")),
    *map(ipaddress.IPv6Network, ("2001::/23", "3fff::/20")),
)
_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+")
_INSIDE = frozenset(
    {"localhost", "local", "localdomain", "internal", "intranet", "private", "lan", "home", "corp", "arpa", "onion"}
)
"""Last labels of names that mean something inside a network only."""


class AddressPolicy:
    """Public addresses on the ports of HTTP, unless the operator says otherwise.

    `hosts`: when there are any, only these may be reached; one written `host:port` opens that port besides 80 and 443.
    `private_hosts`, each `host:port`, may be reached wherever their names lead, also inside. Names are compared as
    they are written, without their case.
    """

    def __init__(self, hosts: Iterable[str] = (), private_hosts: Iterable[str] = ()) -> None:
        listed = [_host_and_port(one) for one in hosts]
        self._hosts = {host for host, _ in listed}
        self._opened = {(host, port) for host, port in listed if port is not None}
        self._private = {_host_and_port(one) for one in private_hosts}

    def refusal(self, url: str) -> str | None:
        """Why no contract may name this address here, for people; None when it may be tried.

        Nothing is looked up: a name that leads inside is found out when it is called, by `may_dial`.
        """
        try:
            parts = urlsplit(url)
            port, host = parts.port, parts.hostname
        except ValueError:
            return "must be an http or https address such as https://tools.example.com/mcp"
        if not host or parts.scheme not in PORTS or _reads_in_two_ways(url):
            return "must be an http or https address such as https://tools.example.com/mcp"
        if _names_somebody(parts):
            return "must not carry a user name or password"
        return self.fault(parts.scheme, host, port)

    def fault(self, scheme: str, host: str, port: int | None) -> str | None:
        """What is wrong with calling there, for people, as far as it can be seen without looking the name up."""
        if scheme not in PORTS:
            return "must begin with http:// or https://"
        name, port = _plain(host), PORTS[scheme] if port is None else port
        if (name, port) in self._private:
            return None
        if self._hosts and name not in self._hosts:
            return f"{host[:100]} is not among the hosts that this deployment allows (NUMEN_TOOL_HOSTS)"
        if _is_inside(name):
            return (
                f"{host[:100]} is no public address; the operator of this deployment may allow it by host:port in "
                "NUMEN_TOOL_PRIVATE_HOSTS"
            )
        if port not in PORTS.values() and (name, port) not in self._opened:
            return (
                f"port {port} is not open to tools: 80 and 443 are, and what the operator names as host:port in "
                "NUMEN_TOOL_HOSTS"
            )
        return None

    def may_dial(self, host: str, port: int, address: str) -> bool:
        """Whether a connection may go to `address`, which is what `host` means."""
        return (_plain(host), port) in self._private or is_public(address)


def is_public(address: str) -> bool:
    """Whether everybody can reach this numeric address. One that carries an IPv4 address is judged by that."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return _is_somebodys(ip) and not (ip.is_multicast or ip.is_reserved)
    if ip.scope_id is not None:
        return False
    # `is_global` says yes to these two, whatever is inside them.
    if inner := ip.ipv4_mapped or ip.sixtofour:
        return is_public(str(inner))
    if ip in _NAT64:
        return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
    return ip in _GLOBAL_UNICAST and _is_somebodys(ip)


def _is_somebodys(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return ip.is_global and not any(ip in network for network in _NOBODYS)


def _host_and_port(written: str) -> tuple[str, int | None]:
    parts = urlsplit(f"//{written}")
    return _plain(parts.hostname or ""), parts.port


def _plain(host: str) -> str:
    """One spelling for hosts that look or sound the same: lower case, ASCII, no dot at the end."""
    name = unicodedata.normalize("NFKC", host).lower().replace("\u3002", ".").removesuffix(".")
    try:
        return name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        return name


def _reads_in_two_ways(url: str) -> bool:
    """Whether another parser would find another host in it."""
    return "\\" in url or any(sign.isspace() or not sign.isprintable() for sign in url)


def _names_somebody(parts: SplitResult) -> bool:
    return parts.username is not None or parts.password is not None


def _is_inside(name: str) -> bool:
    if (address := _numeric(name)) is not None:
        return not is_public(address)
    return _NAME.fullmatch(name) is None or name.rpartition(".")[2] in _INSIDE


def _numeric(name: str) -> str | None:
    """The address that this is a spelling of: also 0x7f.1, 2130706433 and 127.1 are understood by the system."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(name))
    except (OSError, ValueError):
        return None
