"""What the server tells its operator: JSON logs that carry no secret, and metrics with bounded labels.

Bodies, prompts and secrets never reach a log: foreign libraries are heard from `warning` on (at `debug` they print
what they send), exceptions are told without local variables, and every value passes a redaction.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from types import TracebackType
from typing import Any, Literal, cast
from weakref import WeakSet

import orjson
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from structlog.typing import FilteringBoundLogger, Processor

LogContext = Mapping[str, str]
Event = MutableMapping[str, Any]

_log_context: ContextVar[LogContext] = ContextVar("log_context", default={})  # noqa: B039 — read only: every change is a new mapping


# --- who a line is about --------------------------------------------------------------------------------


def start_log_context(**values: str) -> None:
    """Forget what an earlier request on this connection left behind and name this one, as in `request_id=...`."""
    _log_context.set(values)


def bind_log_context(**values: str) -> None:
    """Add to every further line of this task and of those it starts: `tenant_id`, `run_id`, …"""
    _log_context.set({**_log_context.get(), **values})


def current_request_id() -> str | None:
    """The id of the request that this task works for, if it works for one."""
    return _log_context.get().get("request_id")


# --- no secrets -----------------------------------------------------------------------------------------

REDACTED = "[redacted]"
_SECRET_NAMES = frozenset({
    "authorization", "proxy-authorization", "cookie", "set-cookie", "password", "passwd", "secret", "token",
    "api_key", "apikey", "x-api-key", "jwt", "dsn", "database_url", "body", "prompt",
})  # fmt: skip
_SECRET_ENDINGS = ("_secret", "_password", "_api_key", "_token", "-token", "-key")
_SECRET_VALUE = re.compile(
    r"""
    numen_sk_[\w-]+                                         # our own keys
    | \bsk[-_][A-Za-z0-9_-]{8,}                             # keys of model and voice providers
    | \beyJ[\w-]+\.[\w-]+\.[\w-]*                           # JSON web tokens
    | (?<=earer\ )[^\s"',;]+
    | (?<=asic\ )[A-Za-z0-9+/=]{8,}
    | (?<=://)[^\s/@:]*:[^\s/@]+(?=@)                       # user and password of a URL
    | (?i:(?<=password=)|(?<=api_key=)|(?<=apikey=)|(?<=secret=)|(?<=token=))[^\s&"',;]+
    """,
    re.VERBOSE,
)
_DEEPEST = 8


def redact(value: Any, depth: int = 0) -> Any:
    """The same value without secrets: by the names of mappings' keys, and by what a secret looks like in text."""
    if isinstance(value, str):
        return _SECRET_VALUE.sub(REDACTED, value) if _may_hold_secret(value) else value
    if depth > _DEEPEST:
        return REDACTED
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {key: REDACTED if _is_secret(key) else redact(one, depth + 1) for key, one in items}
    if isinstance(value, list | tuple):
        return [redact(one, depth + 1) for one in cast("Sequence[Any]", value)]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value), depth)


def _may_hold_secret(text: str) -> bool:
    # Sixty times cheaper than the expression, on every value of every line; each of its branches needs one of these.
    return "sk" in text or "=" in text or "://" in text or "eyJ" in text or "earer " in text or "asic " in text


@lru_cache(1024)
def _is_secret(key: Any) -> bool:
    name = str(key).lower()
    return name in _SECRET_NAMES or name.endswith(_SECRET_ENDINGS)


# --- exceptions -----------------------------------------------------------------------------------------

_LONGEST_MESSAGE = 500
_MOST_FRAMES = 40


def describe_exception(error: BaseException) -> list[dict[str, Any]]:
    """The error and what caused it, latest first: `[{type, message, frames: ["file:line function"], …}]`.

    Without local variables, and without the input that validation and database errors quote.
    """
    told: list[dict[str, Any]] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        entry: dict[str, Any] = {
            "type": type(current).__qualname__,
            "message": _message(current),
            "frames": _frames(current),
        }
        if isinstance(current, BaseExceptionGroup):
            group = cast("BaseExceptionGroup[BaseException]", current)
            entry["exceptions"] = [describe_exception(one) for one in group.exceptions[:5]]
        told.append(entry)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return told


def _message(error: BaseException) -> str:
    if type(error).__module__.startswith(("pydantic", "fastapi")) and hasattr(error, "errors"):
        found = cast("Sequence[Mapping[str, Any]]", cast("Any", error).errors())  # their text quotes the input
        return "; ".join(f"{'/'.join(map(str, one.get('loc', ())))}: {one.get('type')}" for one in found[:10])
    if hasattr(error, "sqlstate") and error.args:  # the rest of a database error's text quotes the row
        return f"{error.args[0]}"[:_LONGEST_MESSAGE]
    return str(error)[:_LONGEST_MESSAGE]


def _frames(error: BaseException) -> list[str]:
    frames: list[str] = []
    step: TracebackType | None = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        frames.append(f"{code.co_filename}:{step.tb_lineno} {code.co_qualname}")
        step = step.tb_next
    return frames[-_MOST_FRAMES:]


# --- logs -----------------------------------------------------------------------------------------------


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger that names its source in every line; events are short and constant, what varies is a keyword."""
    logger = structlog.get_logger(name)
    _made.add(logger)
    return logger


def configure_logging(level: Literal["debug", "info", "warning", "error"], format: Literal["json", "console"]) -> None:
    """Send everything to standard error as one JSON object a line (or coloured text), from `level` on.

    A later call changes the loggers that are already in use as well.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    before: list[Processor] = [_add_context, _add_source, structlog.processors.add_log_level, _STAMP]
    last: list[Processor] = [_add_exception, _redact_event, _as_json if format == "json" else _Console()]
    structlog.configure(
        processors=[*before, *last],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=_Lines,
        cache_logger_on_first_use=True,
    )
    for made in _made:
        cast("dict[str, Any]", made.__dict__).pop(
            "bind", None
        )  # what it cached at its first use, with the level of that time
    handler = logging.StreamHandler(_Lines())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(threshold, logging.WARNING))
    # At debug uvicorn's WebSocket side prints every frame, so its floor is info; its access log is ours (with route
    # templates and ids), so that one is silent.
    logging.getLogger("uvicorn").setLevel(max(threshold, logging.INFO))
    logging.getLogger("uvicorn.sockets").setLevel(max(threshold, logging.WARNING))
    for source, told in (("uvicorn", True), ("uvicorn.error", True), ("uvicorn.access", False)):
        logging.getLogger(source).handlers[:] = []
        logging.getLogger(source).propagate = told


_made: WeakSet[Any] = WeakSet()
_STAMP = structlog.processors.TimeStamper(fmt="iso", utc=True)


class _Lines:
    """Writes to standard error as it is at that moment: tests and daemons replace it."""

    def __init__(self, name: str = "root") -> None:
        self.name = name

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def msg(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")

    debug = info = warning = error = critical = msg


def _add_context(_: Any, __: str, event: Event) -> Event:
    for name, value in _log_context.get().items():
        event.setdefault(name, value)
    return event


def _add_source(logger: Any, _: str, event: Event) -> Event:
    record = cast("logging.LogRecord | None", event.get("_record"))
    event["logger"] = logger.name if record is None else record.name
    return event


def _add_exception(_: Any, __: str, event: Event) -> Event:
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = cast("tuple[Any, ...]", error)[1]
    if isinstance(error, BaseException):
        event["exception"] = describe_exception(error)
    return event


def _redact_event(_: Any, __: str, event: Event) -> Event:
    return cast("Event", redact(event))


def _as_json(_: Any, __: str, event: Event) -> str:
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:  # a lone surrogate, as in the name of a file
        return json.dumps(event, default=str)


class _Console:
    """Coloured lines for a person, tracebacks below them."""

    def __init__(self) -> None:
        self._renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())

    def __call__(self, logger: Any, name: str, event: Event) -> str:
        errors = cast("list[dict[str, Any]]", event.pop("exception", []))
        lines = [f"{one['type']}: {one['message']}\n    " + "\n    ".join(one["frames"]) for one in errors]
        return "\n".join([str(self._renderer(logger, name, event)), *lines])


# --- metrics --------------------------------------------------------------------------------------------

METRICS_CONTENT_TYPE = CONTENT_TYPE_LATEST
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
_SPOKEN = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 3, 5, 10)
_SLOW = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60)


class RecentTimes(Collector):
    """Quantiles of what was measured lately, for whoever has no histogram_quantile: a gauge by label and quantile."""

    def __init__(self, name: str, meaning: str, label: str, *, keeps: int = 500) -> None:
        self._name, self._meaning, self._label, self._keeps = name, meaning, label, keeps
        self._times: dict[str, deque[float]] = {}

    def add(self, of: str, seconds: float) -> None:
        """One more."""
        self._times.setdefault(of, deque(maxlen=self._keeps)).append(seconds)

    def collect(self) -> Iterator[Metric]:
        """Prometheus' hook."""
        told = GaugeMetricFamily(self._name, self._meaning, labels=[self._label, "quantile"])
        for of, times in self._times.items():
            ordered = sorted(times)
            for quantile in (0.5, 0.95):
                told.add_metric([of, str(quantile)], ordered[min(len(ordered) - 1, int(quantile * len(ordered)))])
        yield told


class Metrics:
    """The counters of one app, in a registry of its own. Labels are bounded: never an id, a path or a chosen name."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        space: dict[str, Any] = {"namespace": "numen", "registry": self.registry}
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.http_requests_total = Counter(
            "http_requests_total", "Answered requests.", ("method", "route", "status"), **space
        )
        self.http_request_seconds = Histogram(
            "http_request_seconds", "Time to the end of the answer.", ("method", "route"), buckets=_FAST, **space
        )
        self.runs_total = Counter("runs_total", "Ended runs, and those that began to wait.", ("status",), **space)
        self.crisis_total = Counter("crisis_total", "Turns answered with help lines.", ("kind",), **space)
        self.model_calls_total = Counter("model_calls_total", "Calls of models.", ("provider", "outcome"), **space)
        self.model_first_token_seconds = Histogram(
            "model_first_token_seconds", "Time to a model's first token.", ("provider",), buckets=_SLOW, **space
        )
        self.tokens_total = Counter(
            "tokens_total", "Tokens as providers count them.", ("provider", "direction"), **space
        )
        self.tool_calls_total = Counter("tool_calls_total", "Calls of tools.", ("tool", "outcome"), **space)
        self.speech_calls_total = Counter(
            "speech_calls_total", "Texts given to voices, recordings given to ears.", ("provider", "outcome"), **space
        )
        self.outbox_pending = Gauge("outbox_pending", "Orders that wait in the outbox.", ("kind",), **space)
        self.outbox_oldest_seconds = Gauge(
            "outbox_oldest_seconds", "Age of the oldest order that waits.", ("kind",), **space
        )
        self.outbox_failures_total = Counter(
            "outbox_failures_total", "Failed deliveries of the outbox.", ("kind",), **space
        )
        self.db_pool_connections = Gauge("db_pool_connections", "Open connections to PostgreSQL.", **space)
        self.db_pool_idle = Gauge("db_pool_idle", "Open connections that nobody uses.", **space)
        self.db_pool_limit = Gauge("db_pool_limit", "Most connections that may be open.", **space)
        self.schedule_ticks_total = Counter("schedule_ticks_total", "Runs that schedules have ordered.", **space)
        self.schedule_missed_total = Counter(
            "schedule_missed_total", "Ticks of schedules that passed while no server was there.", **space
        )
        self.sse_streams = Gauge("sse_streams", "Event streams that clients listen to.", **space)
        self.voice_sessions = Gauge("voice_sessions", "Conversations by voice that go on now.", **space)
        self.voice_stage_seconds = Histogram(
            "voice_stage_seconds", "Time of a spoken turn's stages.", ("stage",), buckets=_SPOKEN, **space
        )
        self._voice_recent = RecentTimes("numen_voice_recent_seconds", "The stages of the last spoken turns.", "stage")
        self.registry.register(self._voice_recent)
        self._requests: dict[tuple[str, str, int], tuple[Callable[[], None], Callable[[float], None]]] = {}
        self._count_memory(space)

    def _count_memory(self, space: dict[str, Any]) -> None:
        self.memory_recalls_total = Counter("memory_recalls_total", "Recalls, by how they went.", ("state",), **space)
        self.memory_recall_seconds = Histogram(
            "memory_recall_seconds", "Time of a recall, degraded ones included.", buckets=_FAST, **space
        )
        self.memory_kept_total = Counter("memory_kept_total", "Memories kept.", ("kind",), **space)
        self.memory_refused_total = Counter(
            "memory_refused_total", "Messages and facts that were not worth a memory.", ("reason",), **space
        )
        self.memory_superseded_total = Counter(
            "memory_superseded_total", "Memories that newer ones took the place of.", **space
        )
        self.memory_foreign_hits_total = Counter(
            "memory_foreign_hits_total", "Points of other namespaces that the index answered with; always 0.", **space
        )
        self.memory_extractions_total = Counter(
            "memory_extractions_total", "Turns whose facts were to be extracted.", ("outcome",), **space
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request. `route` is the template (`/agents/{agent_id}`) or "unmatched"."""
        bound = self._requests.get((method, route, status))
        if bound is None:
            bound = self._bind(method, route, status)
        count, observe = bound
        count()
        observe(seconds)

    def spoken_turn(self, milliseconds: Mapping[str, int | None]) -> None:
        """How long the stages of a spoken turn took, by stage; None where one did not happen."""
        for stage, value in milliseconds.items():
            if value is not None:
                self.voice_stage_seconds.labels(stage).observe(value / 1000)
                self._voice_recent.add(stage, value / 1000)

    def watch_pool(self, size: Callable[[], float], idle: Callable[[], float], limit: float) -> None:
        """Ask the pool of database connections whenever somebody asks us."""
        self.db_pool_connections.set_function(size)
        self.db_pool_idle.set_function(idle)
        self.db_pool_limit.set(limit)

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format; its media type is `METRICS_CONTENT_TYPE`."""
        return generate_latest(self.registry)

    def _bind(self, method: str, route: str, status: int) -> tuple[Callable[[], None], Callable[[float], None]]:
        label = method if method in _METHODS else "other"
        count = self.http_requests_total.labels(label, route, str(status))
        observe = self.http_request_seconds.labels(label, route)
        bound = (count.inc, observe.observe)
        if label == method:
            self._requests[method, route, status] = bound
        return bound
