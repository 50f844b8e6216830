"""A hundred and more ways to ask a server for what is inside its own network."""

from __future__ import annotations

import ipaddress

PUBLIC = "93.184.215.14"

_INSIDE_IPV4 = (
    "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.1.1", "169.254.169.254",
    "169.254.170.2", "100.64.0.1", "100.100.100.200", "0.0.0.0", "198.18.0.1", "192.0.0.192", "168.63.129.16",  # noqa: S104
    "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "203.0.113.5", "192.88.99.1",
)  # fmt: skip
_INSIDE_IPV6 = (
    "::", "::1", "fe80::1", "fe80::1%25eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1",
    "2001:0:7f00:1::", "100::1", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b:1::7f00:1", "5f00::1", "3fff::1",
)  # fmt: skip


def _spellings(address: str) -> list[str]:
    """The same address as browsers, resolvers and translators also understand it."""
    number = int(ipaddress.IPv4Address(address))
    a, b, c, d = address.split(".")
    return [
        str(number),
        f"0x{number:08x}",
        f"0x{int(a):x}.{number & 0xFFFFFF}",
        f"{a}.{b}.{(int(c) << 8) + int(d)}",
        f"0{int(a):o}.0{int(b):o}.0{int(c):o}.0{int(d):o}",
        f"0x{int(a):x}.0x{int(b):x}.0x{int(c):x}.0x{int(d):x}",
        f"{address}.",
        "".join(chr(0xFF10 + int(sign)) if sign.isdigit() else sign for sign in address),
        address.replace(".", "\u3002"),
        f"[::ffff:{address}]",
        f"[0:0:0:0:0:ffff:{number >> 16:x}:{number & 0xFFFF:x}]",
        f"[64:ff9b::{number >> 16:x}:{number & 0xFFFF:x}]",
        f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::1]",
    ]


NUMBERS = (
    *(f"http://{address}/" for address in _INSIDE_IPV4),
    *(f"http://[{address}]/" for address in _INSIDE_IPV6),
    *(f"http://{one}/mcp" for address in ("127.0.0.1", "10.0.0.1", "169.254.169.254") for one in _spellings(address)),
)
NAMES_OF_THE_INSIDE = (
    "http://localhost/", "https://LocalHost/", "http://localhost./", "http://a.localhost/", "http://qdrant/",
    "http://postgres/", "http://metadata/", "http://metadata.google.internal/", "http://printer.local/",
    "http://nas.lan/", "http://router.home/", "http://wiki.corp/", "http://1.0.0.127.in-addr.arpa/",
    "http://localhost.localdomain/", "http://①②⑦.⓪.⓪.①/", "http://ⓛocalhost/",
)  # fmt: skip
NO_HTTP = (
    "file:///etc/passwd", "gopher://127.0.0.1:6379/_INFO", "ftp://127.0.0.1/", "dict://127.0.0.1:11211/stats",
    "ldap://127.0.0.1/", "unix:///var/run/docker.sock", "data:text/plain,x", "jar:http://127.0.0.1!/", "//127.0.0.1/",
    "http://", "http:///mcp", "",
)  # fmt: skip
SOMEBODY = (
    "http://user:pw@8.8.8.8/", "http://8.8.8.8@127.0.0.1/", "http://8.8.8.8\\@127.0.0.1/", "http://user@localhost/",
    "http://127.0.0.1%2f@8.8.8.8/", "http://a:b@[::1]/",
)  # fmt: skip
PORTS = (
    "http://8.8.8.8:22/", "http://8.8.8.8:25/", "http://8.8.8.8:5432/", "http://8.8.8.8:6333/", "http://8.8.8.8:6379/",
    "http://127.0.0.1:6333/collections", "http://[::1]:5432/", "https://tools.example.com:8443/",
    "http://tools.example.com:99999/", "http://tools.example.com:80:80/",
)  # fmt: skip
SPLIT = (
    "http://127.0.0.1#@8.8.8.8/",
    "http://127.0.0.1?@8.8.8.8/",
    "http://127.0.0.1\t.example.com/",
    "http://10.0.0.1 /",
)

WRITTEN = (*NUMBERS, *NAMES_OF_THE_INSIDE, *NO_HTTP, *SOMEBODY, *PORTS, *SPLIT)
"""Found out by looking at them."""

LEADING_INSIDE: dict[str, list[str]] = {
    "loopback.example": ["127.0.0.1"],
    "six.example": ["::1"],
    "private.example": ["10.0.0.5"],
    "metadata.example": ["169.254.169.254"],
    "mapped.example": ["::ffff:10.0.0.5"],
    "translated.example": ["64:ff9b::a9fe:a9fe"],
    "tunnel.example": ["2002:a00:1::"],
    "link.example": ["fe80::1%eth0"],
    "unspecified.example": ["0.0.0.0"],  # noqa: S104 — what a name server may answer
    "carrier.example": ["100.64.0.1"],
    "mixed.example": [PUBLIC, "10.0.0.1"],
    "mixed-six.example": ["2606:4700::1111", "fd00::1"],
    "last.example": [PUBLIC, "1.1.1.1", "8.8.8.8", "8.8.4.4", "127.0.0.1"],
    "rubbish.example": ["not an address"],
    "empty.example": [],
    "127.0.0.1.nip.example": ["127.0.0.1"],
}
"""Names that look well, and what the name server says."""

ALL = (*WRITTEN, *(f"https://{name}/mcp" for name in LEADING_INSIDE))


async def name_server(host: str, _: int) -> list[str]:
    """Answers for `LEADING_INSIDE`, and gives numbers back; knows no other name."""
    if host in LEADING_INSIDE:
        return LEADING_INSIDE[host]
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError as exc:
        raise OSError("no such name") from exc
