"""Logs an operator can search and nobody can steal from, and metrics with bounded labels."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from backend.telemetry import (
    METRICS_CONTENT_TYPE,
    Metrics,
    bind_log_context,
    configure_logging,
    current_request_id,
    describe_exception,
    get_logger,
    redact,
    start_log_context,
)
from backend.tests.fixtures_logs import Logs

_log = get_logger("a.module")

SECRETS = [
    "numen_sk_abcdefghijkl_0123456789abcdefghijklmnopqrstuvwxyz_a1b2c3",
    "sk-proj-0123456789abcdefABCDEF",
    "sk_0123456789abcdefABCDEF",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
]


def test_a_line_is_one_json_object(logs: Logs) -> None:
    start_log_context(request_id="r-1")
    bind_log_context(tenant_id="t-1", run_id="run-1")
    _log.info("turn stored", seconds=0.5, model="gpt-6-luna")
    (line,) = logs()
    stamp = datetime.fromisoformat(line.pop("timestamp"))
    assert abs(datetime.now(UTC) - stamp) < timedelta(minutes=1)
    assert line == {
        "event": "turn stored", "level": "info", "logger": "a.module", "request_id": "r-1", "tenant_id": "t-1",
        "run_id": "run-1", "seconds": 0.5, "model": "gpt-6-luna",
    }  # fmt: skip


async def test_context_belongs_to_a_task_and_those_it_starts(logs: Logs) -> None:
    async def work(name: str) -> None:
        start_log_context(request_id=name)
        bind_log_context(tenant_id=f"tenant of {name}")
        await asyncio.sleep(0)
        await asyncio.create_task(inner())

    async def inner() -> None:
        _log.info("inner", asked=current_request_id())

    await asyncio.gather(work("one"), work("two"))
    lines = logs()
    assert {(line["request_id"], line["tenant_id"], line["asked"]) for line in lines} == {
        ("one", "tenant of one", "one"),
        ("two", "tenant of two", "two"),
    }


def test_a_new_request_forgets_the_one_before() -> None:
    start_log_context(request_id="one")
    bind_log_context(tenant_id="private")
    start_log_context(request_id="two")
    assert current_request_id() == "two"


def test_foreign_loggers_speak_the_same_and_only_when_it_matters(logs: Logs) -> None:
    configure_logging("debug", "json")
    start_log_context(request_id="r-2")
    for name in ("openai", "httpx", "asyncpg", "aiohttp.access", "websockets.server"):
        logging.getLogger(name).debug("body: private words")
        logging.getLogger(name).info("POST https://api/ private words")
    logging.getLogger("uvicorn.error").debug("frame: private words")
    logging.getLogger("uvicorn.access").info("GET /?private words")
    logging.getLogger("uvicorn.error").info("Started")
    logging.getLogger("asyncpg").warning("slow %s", "query")
    lines = logs()
    assert [(line["logger"], line["event"], line["level"]) for line in lines] == [
        ("uvicorn.error", "Started", "info"),
        ("asyncpg", "slow query", "warning"),
    ]
    assert {line["request_id"] for line in lines} == {"r-2"}


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_levels(logs: Logs, level: Any) -> None:
    configure_logging(level, "json")
    for name in ("debug", "info", "warning", "error"):
        getattr(_log, name)(name)
    heard = [line["event"] for line in logs()]
    assert heard == ["debug", "info", "warning", "error"][-len(heard) :]
    assert heard[0] == level


def _refuse(secret: str) -> None:
    raise ValueError(f"refused: {secret}")


@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_is_logged_wherever_it_hides(logs: Logs, secret: str) -> None:
    configure_logging("debug", "json")
    _log.info(f"event with {secret}", value=secret, nested={"deep": [{"x": f"Bearer {secret}"}]}, other=(secret,))
    _log.info("headers", headers={"Authorization": secret, "X-Api-Key": "anything"}, client_secret="anything")
    logging.getLogger("asyncpg").warning("cannot connect to postgres://me:%s@host/db", secret)
    try:
        _refuse(secret)
    except ValueError:
        _log.exception("failed")
        logging.getLogger("uvicorn.error").exception("failed")
    text = json.dumps(logs())
    assert secret not in text
    assert "anything" not in text
    assert text.count("[redacted]") >= 8


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("postgresql://numen:hunter2@db:5432/numen?sslmode=on", "postgresql://[redacted]@db:5432/numen?sslmode=on"),
        ("host=db password=hunter2 user=me", "host=db password=[redacted] user=me"),
        ("GET /?api_key=hunter2&q=1", "GET /?api_key=[redacted]&q=1"),
        ("bearer hunter2", "bearer [redacted]"),
        ("https://example.org/a:b@c", "https://example.org/a:b@c"),
        ("ask-me about risk-taking", "ask-me about risk-taking"),
    ],
)
def test_the_rest_of_the_text_stays(text: str, kept: str) -> None:
    assert redact(text) == kept


def test_counts_of_tokens_are_no_secret() -> None:
    assert redact({"input_tokens": 5, "tokens": 6, "access_token": "x"}) == {
        "input_tokens": 5,
        "tokens": 6,
        "access_token": "[redacted]",
    }


anything: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary() | st.uuids(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner) | st.tuples(inner),
    max_leaves=10,
)


@given(anything)
def test_every_value_can_be_logged(value: Any) -> None:
    configure_logging("info", "json")
    _log.info("value", value=value)
    configure_logging("warning", "json")


class Person(BaseModel):
    age: int


def _fail(secret: str) -> None:
    held = f"local {secret}"
    raise RuntimeError(str(len(held)))


def test_exceptions_are_told_without_local_variables(logs: Logs) -> None:
    try:
        try:
            _fail("private words")
        except RuntimeError as error:
            raise LookupError("outer") from error
    except LookupError:
        _log.exception("failed")
    (line,) = logs()
    assert [one["type"] for one in line["exception"]] == ["LookupError", "RuntimeError"]
    assert line["exception"][1]["frames"][-1].endswith(" _fail")
    assert "test_telemetry.py:" in line["exception"][0]["frames"][0]
    assert "private words" not in json.dumps(line)


def test_errors_that_quote_input_do_not() -> None:
    with pytest.raises(ValidationError) as invalid:
        Person.model_validate({"age": "private words"})
    told = describe_exception(invalid.value)
    assert told[0]["message"] == "age: int_parsing"

    class Violation(Exception):
        sqlstate = "23505"

        def __str__(self) -> str:
            return f"{self.args[0]}\nDETAIL: Key (name)=(private words) already exists."

    assert describe_exception(Violation("duplicate key"))[0]["message"] == "duplicate key"


def test_groups_and_circles_of_exceptions() -> None:
    first, second = ValueError("a"), KeyError("b")
    first.__context__, second.__context__ = second, first
    told = describe_exception(ExceptionGroup("both", [first]))
    assert [one["type"] for one in told[0]["exceptions"][0]] == ["ValueError", "KeyError"]


def test_the_console_format_is_for_people(logs: Logs, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "console")
    _log.info("started", port=8000)
    try:
        _fail("private words")
    except RuntimeError:
        _log.exception("failed")
    told = capsys.readouterr().err
    assert "started" in told
    assert "port=8000" in told
    assert "RuntimeError: " in told
    assert " _fail" in told
    assert "private words" not in told
    assert not logs()


def test_metrics_are_counted_and_shown() -> None:
    metrics = Metrics()
    metrics.answered("GET", "/agents/{agent_id}", 200, 0.003)
    metrics.answered("GET", "/agents/{agent_id}", 200, 0.3)
    metrics.answered("BREW", "unmatched", 405, 0.1)
    metrics.runs_total.labels("completed").inc()
    metrics.watch_pool(lambda: 3, lambda: 2, 10)
    shown = metrics.exposition().decode()
    for line in (
        'numen_http_requests_total{method="GET",route="/agents/{agent_id}",status="200"} 2.0',
        'numen_http_requests_total{method="other",route="unmatched",status="405"} 1.0',
        'numen_http_request_seconds_bucket{le="0.005",method="GET",route="/agents/{agent_id}"} 1.0',
        'numen_runs_total{status="completed"} 1.0',
        "numen_db_pool_connections 3.0",
        "numen_db_pool_idle 2.0",
        "numen_db_pool_limit 10.0",
    ):
        assert line in shown
    assert METRICS_CONTENT_TYPE.startswith("text/plain")


def test_two_apps_count_apart() -> None:
    one, two = Metrics(), Metrics()
    one.sse_streams.inc()
    assert "numen_sse_streams 0.0" in two.exposition().decode()
