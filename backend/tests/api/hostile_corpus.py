"""What people, broken clients and attackers send: bodies, addresses, headers and bytes that are hardly HTTP."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import uuid4

JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class HostileBody:
    """A body as bytes, with the headers it comes with."""

    name: str
    content: bytes
    headers: Mapping[str, str | bytes] = field(default_factory=lambda: {"content-type": JSON_TYPE})


def deep(depth: int, open_: bytes = b"[", close: bytes = b"]") -> bytes:
    """JSON of so many levels."""
    return open_ * depth + close * depth


_ANY = b'{"name": "x"}'
_MULTIPART = "multipart/form-data; boundary=x"
_FORM = "application/x-www-form-urlencoded"
BODIES = [
    *(
        HostileBody(repr(text[:20])[2:-1], text)
        for text in (
            b"", b" ", b"null", b"true", b"0", b"-0", b'"x"', b"[]", b"[{}]", b"{}", b"{", b"}", b"{]", b"{'a': 1}",
            b'{"a": 1,}', b'{"a": 1} {}', b'{"a": 1} // x', b'{"a" 1}', b"{a: 1}", b"\xff\xfe\xfd", b"\x00", b'"\x00"',
            b'{"name": "\x00"}', b'{"name": "\\u0000"}', b'{"\\u0000": 1}', b'{"name": "\\ud800"}',
            b'{"name": "\\udfff\\ud800"}', b'{"name": "\xed\xa0\x80"}', b'{"name": "\xc0\x80"}', b'{"name": "\xff"}',
            b'{"name": NaN}', b'{"name": Infinity}', b'{"name": -Infinity}', b'{"name": 1e999}', b'{"name": -1e999}',
            b'{"name": 1e-999}', b'{"name": 0x10}', b'{"name": 01}', b'{"name": .5}', b'{"name": +1}',
            b'{"name": "a", "name": "b"}', b'{"__proto__": {"x": 1}}', b'{"name": {"$gt": ""}}', b'{"": ""}',
            b'{"name": "\\u"}', b'{"name": "\\x41"}', b'{"name": "tab\there"}', b'{"name": "line\nhere"}',
            b"\xef\xbb\xbf" + _ANY, b"# yaml: 1", b"<xml/>", b"name=x", b"undefined",
        )
    ),
    HostileBody("digits", b'{"name": ' + b"9" * 100_000 + b"}"),
    HostileBody("decimals", b'{"name": 0.' + b"9" * 100_000 + b"}"),
    HostileBody("one long text", b'{"name": "' + b"x" * 100_000 + b'"}'),
    HostileBody("one long name", b'{"' + b"x" * 100_000 + b'": 1}'),
    HostileBody("many names", json.dumps({f"k{number}": number for number in range(20_000)}).encode()),
    HostileBody("many items", b"[" + b"0," * 100_000 + b"0]"),
    HostileBody("many objects", b'{"name": [' + b"{}," * 50_000 + b"{}]}"),
    *(HostileBody(f"{depth} lists", deep(depth)) for depth in (63, 64, 65, 1_000, 100_000)),
    *(HostileBody(f"{depth} objects", deep(depth, b'{"a":', b"}")) for depth in (64, 1_000, 50_000)),
    HostileBody("unclosed lists", b"[" * 500_000),
    HostileBody("UTF-16", '{"name": "x"}'.encode("utf-16")),
    HostileBody("UTF-32", '{"name": "x"}'.encode("utf-32")),
    HostileBody("gzip", gzip.compress(_ANY)),
    HostileBody("declared gzip", gzip.compress(_ANY), {"content-type": JSON_TYPE, "content-encoding": "gzip"}),
    HostileBody("a bomb", gzip.compress(b" " * 50_000_000), {"content-type": JSON_TYPE, "content-encoding": "gzip"}),
    HostileBody("false gzip", _ANY, {"content-type": JSON_TYPE, "content-encoding": "gzip, deflate, br"}),
    *(
        HostileBody(f"as {kind!r}", _ANY, {"content-type": kind})
        for kind in (
            "", "text/plain", _FORM, "multipart/form-data", "multipart/form-data; boundary=x", "application/xml",
            "json",
            "application/json; charset=utf-16", "application/json; charset=latin-1", "application/jsonx", ";", "*/*",
            "application/json; charset=\x80", "APPLICATION/JSON; CHARSET=\"UTF-8\"", "application/ld+json",
            "x" * 9_000,
        )
    ),
    HostileBody("as nothing", _ANY, {}),
    HostileBody("a form", b"name=x&name=y&%00=%00", {"content-type": _FORM}),
    HostileBody("half a form", b"--x\r\nContent-Disposition: form-data; name=", {"content-type": _MULTIPART}),
    HostileBody("with Expect", _ANY, {"content-type": JSON_TYPE, "expect": "100-continue"}),
    HostileBody("with an odd Expect", _ANY, {"content-type": JSON_TYPE, "expect": "200-ok"}),
    HostileBody("just over a megabyte", b'{"name": "' + b"x" * 1_000_000 + b'"}'),
]  # fmt: skip

_WRONG: tuple[bytes, ...] = (
    b"null", b"true", b"-1", b"0", b"1.5", b"1e308", b"1e999", b"99999999999999999999999999", b'""', b'" "', b'"x"',
    b'"\\u0000"', b'"\\ud83d"', b'"' + b"y" * 100_000 + b'"', b"[]", b"[null]", b"[[]]", b"{}", b'{"x": 1}', b"NaN",
    b'["' + b"z" * 70 + b'"]', '"\N{RIGHT-TO-LEFT OVERRIDE}\N{PILE OF POO}"'.encode(), deep(500), b'"a\\nb"',
)  # fmt: skip


def wrong_values(body: Mapping[str, Any], sample: int) -> Iterator[HostileBody]:
    """The body with each of its places, one after the other, taken by wrong values; `sample` of them a place."""
    for start, path in enumerate(places(body)):
        for step in range(sample):
            wrong = _WRONG[(start + step * 5) % len(_WRONG)]
            name = "/".join(map(str, path))
            yield HostileBody(f"{name} = {wrong[:20]!r}", _replaced(body, path).replace(b'"\\u001a"', wrong))


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every value inside a document."""
    if path:
        yield path
    for key, one in _members(value):
        yield from places(one, (*path, key))


def _members(value: Any) -> Iterable[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).items()
    return enumerate(cast("list[Any]", value)) if isinstance(value, list) else ()


def _replaced(body: Any, path: tuple[str | int, ...]) -> bytes:
    copy: Any = json.loads(json.dumps(body))
    target = copy
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = "\x1a"
    return json.dumps(copy).encode()


def odd_segments() -> list[bytes]:
    """Parts of an address that no id of ours is."""
    one = str(uuid4())
    letters = [b"%%%02x" % number for number in (*range(32), 0x7F, 0x80, 0x9F, 0xFF)]
    words = (
        "%2e", "%2e%2e", "..", ".", "%2f", "%5c", "..%2f..%2f", "..;", "~", "'", "%22", "%20", "+", "*", "@", ":",
        ";a=b",
        ",", "$", "&", "=", "!", "(", ")", "%", "%z", "%zz", "%1", "%u0041", "%25%30%30", "%2500", "%252e", "{}",
        "{agent_id}", "[]", "|", "%5E", "`", "%3Cscript%3E", "null", "undefined", "None", "NaN", "-1", "0", "1",
        "1e9", "0x10",
        "true", "%c0%af", "%c1%81", "%ff%fe", "%ed%a0%80", "%f5%80%80%80", "%e2%80%ae", "%EF%BB%BF", "%F0%9F%92%A9",
        "import%20",
        ".env", ".git", "wp-login.php", "etc%00passwd", "1'%20OR%20'1'='1", "%7B%7B7*7%7D%7D", "$%7Bjndi:ldap:x%7D",
        "__proto__",
        "constructor", "agents", "9" * 400, "x" * 1_000, "x" * 8_000, "%41" * 2_000, "/", "//", "/..",
        "%0d%0aset-cookie:x",
        one[:-1], one + "0", f"%20{one}", f"{one}%20", f"{one}%00", f"{one}%0a", f"{one};", f"{one}.json",
        f"{one},{one}",
        one.replace("-", "_"), one.replace("-", ""), one.upper(), f"{{{one}}}", f"urn:uuid:{one}", f"%7B{one}%7D",
        one.replace("a", "%EF%BD%81"), "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "\N{SNOWMAN}", "\N{LATIN SMALL LETTER E WITH ACUTE}", "\N{FULLWIDTH DIGIT ONE}", "a\N{COMBINING ACUTE ACCENT}",
    )  # fmt: skip
    followed = [one.encode() + letter for letter in letters]
    raw = [b"\x80", b"\xff", b"\xc3\x28", b"\xed\xa0\x80"]
    return [*letters, *followed, *(word.encode() for word in words), *raw]


QUERIES = (
    "", "?", "limit=-1", "limit=0", "limit=1e9", "limit=abc", "limit=", "limit", "limit=99999999999999999999",
    "limit=1&limit=2",
    "limit[]=1", "limit=1.0", "limit=%31", "limit=NaN", "offset=-1", "offset=9223372036854775808", "offset=2147483647",
    "offset=x", "cursor=", "cursor=x", "cursor=%00", "cursor=AAAA", "cursor=" + "A" * 200, "cursor=" + "A" * 5_000,
    "cursor=fHw", "cursor=OTk5OS0xMi0zMVQyMzo1OTo1OS0yMzo1OXwwMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDA",
    "cursor=%F0%9F%92%A9", "q=%00", "q=", "q=%25", "q=%5C", "q=_%25_", "q=" + "x" * 201, "q=%ED%A0%80", "q=%FF",
    "q=%zz",
    "q=%F0%9F%92%A9", "q='%20OR%201=1--", "q=%E2%80%AE", "tag=%00", "tag=" + "x" * 5_000, "tag[]=x", "status=gone",
    "status=",
    "status=ACTIVE", "status=active&status=archived", "agent_type=1", "agent_type=", "before=x", "before=",
    "before=%00",
    "before=00000000-0000-0000-0000-000000000000",
    "x=" + "y" * 20_000, "&".join(f"k{n}=v" for n in range(2_000)), "=&=&=",
    "%00=%00", "a=b;c=d", "?a=b", "#x", "%", "a=%E0%A4%A", "limit=\N{ARABIC-INDIC DIGIT ONE}",
)  # fmt: skip

HEADERS = (
    "idempotency-key", "if-match", "if-none-match", "last-event-id", "numen-user", "authorization", "x-request-id",
    "accept",
    "content-type", "origin", "host", "cookie", "range", "accept-encoding", "accept-language", "x-forwarded-for", "te",
    "forwarded", "x-http-method-override", "if-modified-since", "referer", "user-agent", "traceparent", "prefer",
)  # fmt: skip
HEADER_VALUES: tuple[bytes, ...] = (
    b"", b" ", b"x", b"0", b"-1", b"%00", b'"', b'""', b"*", b"a,b", b"{}", b"\t", b"'; DROP TABLE agents; --",
    b"\xff\xfe",
    "\N{PILE OF POO}".encode(), b"\xed\xa0\x80", b"\xc3\x28", b"x" * 201, b"x" * 9_000, b"${jndi:ldap://x}", b"1-0",
    b"W/", b'W/"',
    b"999999999-999999999", b"Bearer", b"Bearer \xff", b"a b c", b"http://evil.example.org", b"=?utf-8?q?x?=",
    b"\x7f", b"\x80",
)  # fmt: skip

Head = Callable[[str], bytes]
_GET = "GET /api/v1/me HTTP/1.1\r\nHost: x\r\n"
_POST = "POST /api/v1/agents HTTP/1.1\r\nHost: x\r\n"

HARDLY_HTTP: Mapping[str, Head] = {
    "another host's address": lambda key: (
        f"GET http://evil.example.org/api/v1/me HTTP/1.1\r\nHost: x\r\n{key}\r\n\r\n".encode()
    ),
    "two slashes": lambda key: f"GET //evil.example.org/api/v1/me HTTP/1.1\r\nHost: x\r\n{key}\r\n\r\n".encode(),
    "an asterisk": lambda key: f"OPTIONS * HTTP/1.1\r\nHost: x\r\n{key}\r\n\r\n".encode(),
    "an authority": lambda key: f"CONNECT evil.example.org:443 HTTP/1.1\r\nHost: x\r\n{key}\r\n\r\n".encode(),
    "no slash": lambda key: f"GET api/v1/me HTTP/1.1\r\nHost: x\r\n{key}\r\n\r\n".encode(),
    "a small method": lambda key: f"get /api/v1/me HTTP/1.1\r\nHost: x\r\n{key}\r\n\r\n".encode(),
    "a method nobody knows": lambda key: f"BREW /api/v1/me HTTP/1.1\r\nHost: x\r\n{key}\r\n\r\n".encode(),
    "an endless method": lambda _: b"X" * 70_000 + b" / HTTP/1.1\r\n\r\n",
    "HTTP/1.0": lambda key: f"GET /api/v1/me HTTP/1.0\r\n{key}\r\n\r\n".encode(),
    "HTTP/9.9": lambda key: f"GET /api/v1/me HTTP/9.9\r\nHost: x\r\n{key}\r\n\r\n".encode(),
    "HTTP/2": lambda _: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": lambda _: bytes.fromhex("16030100c8010000c40303") + b"\x00" * 200 + b"\r\n\r\n",
    "no Host": lambda key: f"GET /api/v1/me HTTP/1.1\r\n{key}\r\n\r\n".encode(),
    "two Hosts": lambda key: f"GET /api/v1/me HTTP/1.1\r\nHost: a\r\nHost: b\r\n{key}\r\n\r\n".encode(),
    "a folded header": lambda key: f"{_GET}{key}\r\nX-A: b\r\n c\r\n\r\n".encode(),
    "a NUL in a header": lambda key: f"{_GET}{key}\r\nX-A: b\0c\r\n\r\n".encode(),
    "a space before the colon": lambda key: f"GET /api/v1/me HTTP/1.1\r\nHost : x\r\n{key}\r\n\r\n".encode(),
    "a header without a name": lambda key: f"{_GET}{key}\r\n: y\r\n\r\n".encode(),
    "two hundred headers": lambda key: (f"{_GET}{key}\r\n" + "X-A: b\r\n" * 200 + "\r\n").encode(),
    "a long header": lambda key: f"{_GET}{key}\r\nX-A: {'b' * 60_000}\r\n\r\n".encode(),
    "an endless header": lambda key: f"{_GET}{key}\r\nX-A: {'b' * 200_000}\r\n\r\n".encode(),
    "an endless address": lambda key: f"GET /{'a' * 100_000} HTTP/1.1\r\nHost: x\r\n{key}\r\n\r\n".encode(),
    "two authorizations": lambda key: f"{_GET}{key}\r\n{key}\r\n\r\n".encode(),
    "a negative length": lambda key: f"{_POST}{key}\r\nContent-Length: -1\r\n\r\n".encode(),
    "a length in words": lambda key: f"{_POST}{key}\r\nContent-Length: two\r\n\r\n".encode(),
    "two lengths": lambda key: f"{_POST}{key}\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}x".encode(),
    "an endless length": lambda key: f"{_POST}{key}\r\nContent-Length: {'9' * 50}\r\n\r\n".encode(),
    "length and chunks": lambda key: (
        f"{_POST}{key}\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ).encode(),
    "another transfer": lambda key: f"{_POST}{key}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".encode(),
    "a chunk of no size": lambda key: f"{_POST}{key}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode(),
    "a chunk of endless size": lambda key: f"{_POST}{key}\r\nTransfer-Encoding: chunked\r\n\r\n{'f' * 40}\r\n".encode(),
    "an offer of HTTP/2": lambda key: (
        f"{_GET}{key}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n".encode()
    ),
    "a WebSocket": lambda key: (
        f"{_GET}{key}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode(),
}
"""The bytes of a request; the argument is a header line with a key that opens."""
