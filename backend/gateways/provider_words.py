"""What a provider says, made fit to be shown, and how long it asks us to wait."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from backend.gateways.text_cleaner import clean

LONGEST_MESSAGE = 300
LONGEST_RETRY_AFTER = 24 * 3600.0

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_KEY_LIKE = re.compile(r"\b(?:(?:sk|key|pk)-|sk_)[\w*.…-]{4,}", re.IGNORECASE)


def presentable(message: str, secret: str) -> str:
    """A provider's words as they may be shown: short, on one line, without keys; `secret` is ours."""
    text = message.replace(secret, "…") if secret else message
    text = _KEY_LIKE.sub("…", _CONTROL.sub(" ", clean(text[: 10 * LONGEST_MESSAGE])))
    return text if len(text) <= LONGEST_MESSAGE else f"{text[: LONGEST_MESSAGE - 1]}…"


def asked_wait(headers: Mapping[str, str], now: Callable[[], datetime]) -> float | None:
    """The seconds to wait, from `Retry-After` (seconds or a date) or OpenAI's `retry-after-ms`; at most a day."""
    in_ms, plain = headers.get("retry-after-ms"), headers.get("retry-after")
    seconds = _number(in_ms, 0.001)
    if seconds is None:
        seconds = _number(plain, 1.0)
    if seconds is None and plain is not None:
        seconds = _until(plain, now)
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return None
    return min(seconds, LONGEST_RETRY_AFTER)


def causes(exc: BaseException) -> list[BaseException]:
    """The exception and what led to it, the last first."""
    found: list[BaseException] = []
    cause: BaseException | None = exc
    while cause is not None and len(found) < 10:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found


def _until(date: str, now: Callable[[], datetime]) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, TypeError, OverflowError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - now()).total_seconds())


def _number(text: str | None, unit: float) -> float | None:
    try:
        return None if text is None else float(text) * unit
    except ValueError:
        return None
