"""Bodies that are no JSON, or JSON nobody can store, are the caller's fault on every route: no 5xx and no echo."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import Invalid, NumenError
from backend.routers.http_errors import MalformedBody
from backend.routers.strict_json import MOST_CONTAINERS, parse_strictly
from backend.tests.routers.small_app import client_of, small_app

LONG_NUMBER = "9" * 5000


def nested(depth: int) -> str:
    return '{"message":"a","meta":{"x":' + "[" * depth + "]" * depth + "}}"


# name, body, status, code
BODIES: list[tuple[str, str | bytes, int, str | None]] = [
    ("plain", '{"message":"hi"}', 201, None),
    ("U+0000 in a value", '{"message":"a\\u0000b"}', 422, "invalid-request"),
    ("U+0000 in a key", '{"message":"a","meta":{"k\\u0000":1}}', 422, "invalid-request"),
    ("U+0000 that is only spelled", '{"message":"a\\\\u0000b"}', 201, None),
    ("a raw NUL byte", b'{"message":"a\x00b"}', 400, "malformed-json"),
    ("lone high surrogate", '{"message":"a\\ud800b"}', 400, "malformed-json"),
    ("lone low surrogate", '{"message":"a","meta":{"x":"\\udfff"}}', 400, "malformed-json"),
    ("NaN", '{"message":"a","meta":{"x":NaN}}', 400, "malformed-json"),
    ("-Infinity", '{"message":"a","meta":{"x":-Infinity}}', 400, "malformed-json"),
    ("1e999", '{"message":"a","meta":{"x":1e999}}', 400, "malformed-json"),
    ("5000 digits", '{"message":"a","meta":{"x":' + LONG_NUMBER + "}}", 400, "malformed-json"),
    ("depth 62", nested(62), 201, None),
    ("depth 63", nested(63), 422, "invalid-request"),
    ("depth 1000", nested(1000), 422, "invalid-request"),
    ("depth 5000", nested(5000), 400, "malformed-json"),
    ("depth 100000", nested(100_000), 422, "invalid-request"),
    ("many lists", '{"message":"a","meta":{"x":[' + "[]," * 30_000 + "[]]}}", 422, "invalid-request"),
    ("many brackets in a text", json.dumps({"message": "[" * 100_000}), 201, None),
    ("NaN where text is wanted", '{"message":NaN}', 400, "malformed-json"),
    ("surrogate where text is wanted", '{"message":["\\ud800"]}', 400, "malformed-json"),
    ("5000 digits where text is wanted", '{"message":' + LONG_NUMBER + "}", 400, "malformed-json"),
    ("not UTF-8", b'{"message":"\xff\xfe"}', 400, "malformed-json"),
    ("UTF-16", '{"message":"hi"}'.encode("utf-16"), 400, "malformed-json"),
    ("a byte order mark", b'\xef\xbb\xbf{"message":"hi"}', 400, "malformed-json"),
    ("two documents", '{"message":"a"}{"message":"b"}', 400, "malformed-json"),
    ("duplicate key", '{"message":"a","message":"b"}', 201, None),
    ("wrong type", '{"message":5}', 422, "invalid-request"),
    ("unknown field", '{"message":"a","mesage":"b"}', 422, "invalid-request"),
    ("empty", "", 422, "invalid-request"),
    ("only spaces", "   ", 400, "malformed-json"),
    ("an array", "[]", 422, "invalid-request"),
    ("null", "null", 422, "invalid-request"),
    ("100k characters", json.dumps({"message": "x" * 100_000}), 201, None),
    ("500k characters", json.dumps({"message": "x" * 500_000}), 422, "invalid-request"),
    ("500k where text is wanted", json.dumps({"message": ["x" * 500_000]}), 422, "invalid-request"),
    ("2 MB", json.dumps({"message": "x" * 2_000_000}), 413, "body-too-large"),
]


@pytest.mark.parametrize(("body", "status", "code"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES])
async def test_hostile_bodies(body: str | bytes, status: int, code: str | None) -> None:
    async with client_of(small_app()) as client:
        answer = await client.post("/api/notes", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text[:300]
    assert len(answer.content) < 2_000 or status == 201, "nothing of it is echoed"
    if code is not None:
        assert (answer.headers["content-type"], answer.json()["code"]) == ("application/problem+json", code)


async def test_the_last_of_a_repeated_key_counts() -> None:
    async with client_of(small_app()) as client:
        answer = await client.post(
            "/api/notes", content='{"message":"a","message":"b"}', headers={"content-type": "application/json"}
        )
    assert answer.json()["message"] == "b"


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 201),
        ("Application/JSON; charset=UTF-8", 201),
        ('application/json;charset="utf-8"', 201),
        ("application/merge-patch+json", 201),
        ("application/json; charset=utf-16", 415),
        ("text/plain", 415),
        ("text/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/jsonp", 415),
        ("", 415),
        (None, 415),
    ],
)
async def test_content_types(content_type: str | None, status: int) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    async with client_of(small_app()) as client:
        answer = await client.post("/api/notes", content='{"message":"a"}', headers=headers)
    assert answer.status_code == status, answer.text
    if status == 415:
        assert answer.json()["code"] == "unsupported-media-type"


def test_the_pointer_finds_the_nul() -> None:
    with pytest.raises(Invalid) as refused:
        parse_strictly(b'{"a":[1,{"b/c":"x\\u0000"}]}')
    assert refused.value.errors[0].pointer == "/a/1/b~1c"


def test_an_unclosed_string_full_of_quotes_is_refused_at_once() -> None:
    body = b'"' + b'\\"' * 400_000 + b"[" * (MOST_CONTAINERS + 1) + b"\\"
    with pytest.raises(MalformedBody):
        parse_strictly(body)


texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
documents = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(documents, st.booleans())
def test_what_is_accepted_is_what_was_sent_and_can_be_stored(document: Any, ascii_only: bool) -> None:
    body = json.dumps(document, ensure_ascii=ascii_only).encode()
    holds_nul = "\\u0000" in json.dumps(document).replace("\\\\", "")
    if holds_nul:
        with pytest.raises(Invalid):
            parse_strictly(body)
    else:
        parsed = parse_strictly(body)
        assert parsed == document
        orjson.dumps(parsed)


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,\\u0Ddn 1e-.tfl', max_size=40).map(str.encode))
def test_any_bytes_are_parsed_or_refused(body: bytes) -> None:
    try:
        parsed = parse_strictly(body)
    except NumenError as refused:
        assert isinstance(refused, MalformedBody | Invalid)  # noqa: PT017 — either is right, a pass is right too
    else:
        assert b"\0" not in orjson.dumps(parsed)


@given(st.binary(max_size=200), st.sampled_from(["POST", "GET", "PUT", "DELETE", "PATCH"]))
async def test_any_body_on_any_route_is_no_fault_of_ours(body: bytes, method: str) -> None:
    async with client_of(small_app()) as client:
        for path in ("/api/notes", "/api/nowhere", "/api/notes/not-an-id"):
            answer = await client.request(method, path, content=body, headers={"content-type": "application/json"})
            assert answer.status_code < 500
