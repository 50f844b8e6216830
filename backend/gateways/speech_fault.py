"""The one place where the exceptions of a voice provider, its SDK and the transport become ours.

The SDKs of all of them are made by the same generator, so their errors look alike.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import httpx
import stamina

from backend.errors import SpeechError, SpeechFailed, SpeechTimeout, SpeechUnavailable, UnknownVoice
from backend.gateways.answer import BadAnswer, is_list, is_object, rows
from backend.gateways.provider_words import asked_wait, causes, presentable
from backend.ports import Clock

AWAY_STATUSES = {502, 503, 504, 529}
EMPTY_PURSE = {"quota_exceeded", "insufficient_credits", "ASR_PAYMENT_REQUIRED"}
FIRST_WAIT_SECONDS, WAIT_JITTER_SECONDS, LONGEST_WAIT_SECONDS = 0.1, 0.1, 0.5

FOREIGN: Final = (
    BadAnswer,
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    OSError,
    EOFError,
    ValueError,  # broken JSON and broken UTF-8
    RuntimeError,  # JSON nested too deeply; a transport that was closed under us
    TypeError,  # the SDKs build their objects without looking at what came
    AttributeError,
    LookupError,
)
"""All that may come out of the SDKs beside their own errors while they talk to a broken server; from their source."""

_CONNECTION_REASONS: Final = (
    ((httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.LocalProtocolError), "its base URL is no http address", False),
    ((ssl.SSLCertVerificationError,), "its TLS certificate is not trusted", False),
    ((socket.gaierror,), "its host name is not known", True),
    ((httpx.ProxyError,), "the proxy on the way does not answer", True),
    ((httpx.PoolTimeout,), "all the connections to it are in use", False),
    ((httpx.ConnectError, ConnectionRefusedError), "nobody accepts connections at its address", True),
)
"""Which exception of the transport means what, and whether another attempt may help; the first that fits is taken."""

AWAY_CODES = {1001, 1005, 1006, 1011, 1012, 1013, 1014}
"""With these a WebSocket is closed because of the one who closes it; the others are about what was sent."""

T = TypeVar("T")


class SocketRefused(Exception):
    """No WebSocket was opened: the HTTP answer that came instead, in the shape of the SDKs' errors."""

    def __init__(self, status_code: int, headers: Mapping[str, str], body: object) -> None:
        super().__init__(status_code)
        self.status_code = status_code
        self.headers = headers
        self.body = body


class SocketClosed(Exception):
    """A WebSocket is closed; `code` and `reason` are the provider's, the code None where the connection broke."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason


class SpeechFault(Exception):
    """One failed attempt. `retry` says whether another may help, `wait` the seconds the provider asks for."""

    def __init__(self, error: SpeechError, *, retry: bool = False, wait: float | None = None) -> None:
        super().__init__(error.detail)
        self.error = error
        self.retry = retry
        self.wait = wait


class SpeechFaults:
    """Translates for one provider: `provider` is its slug, `name` what people call it.

    `secret` is the key that no message may hold and `key_setting` the setting that it comes from. `unknown_voice`
    are its codes for a voice that it does not have, each with what to do about it.
    """

    def __init__(
        self,
        provider: str,
        name: str,
        *,
        key_setting: str,
        secret: str,
        connect_seconds: float,
        clock: Clock,
        unknown_voice: Mapping[str, str] | None = None,
    ) -> None:
        self._provider = provider
        self._name = name
        self._key_setting = key_setting
        self._secret = secret
        self._connect_seconds = connect_seconds
        self._clock = clock
        self._unknown_voice = unknown_voice or {}

    def fault(self, exc: Exception, *, begun: bool = False) -> SpeechFault:
        """The fault behind a foreign exception. `begun` says that the answer had begun, so nothing is tried again."""
        # The SDKs' own classes are imported late and cannot be named here; their status tells them apart.
        status = getattr(exc, "status_code", None)
        if isinstance(exc, SocketRefused) and exc.status_code < 300:
            return self.rubbish(f"it answers {status} where it should open a WebSocket; check its base URL")
        if isinstance(exc, SocketClosed):
            return self._closed(exc)
        if isinstance(status, int):
            return self._status(status, getattr(exc, "headers", None) or {}, getattr(exc, "body", None))
        if isinstance(exc, httpx.TransportError | httpx.InvalidURL | OSError):
            return self._connection(exc, begun)
        return self.rubbish(str(exc) if isinstance(exc, BadAnswer) else _shape(exc))

    def too_slow(self, deadline: str, seconds: float) -> SpeechFault:
        """The fault of a deadline (`connect`, `first_byte`, `total`) that passed."""
        words = {
            "connect": f"{self._name} did not accept a connection within {seconds:g} s",
            "first_byte": f"{self._name} did not begin to speak within {seconds:g} s",
            "total": f"{self._name} did not finish its answer within {seconds:g} s",
        }
        return SpeechFault(SpeechTimeout(words[deadline], provider=self._provider, deadline=deadline))

    def keyless(self) -> SpeechFault:
        """The fault of asking without a key."""
        return self._unavailable(f"it has no key: set {self._key_setting}")

    def rubbish(self, reason: str) -> SpeechFault:
        """The fault of an answer that is none."""
        return self._failed(f"{self._name} gave no usable answer: {self._fit(reason)}")

    def _closed(self, closed: SocketClosed) -> SpeechFault:
        said = f": {self._fit(closed.reason)}" if closed.reason.strip() else ""
        if closed.code is None:
            return self._unavailable(f"the connection was lost in the middle{said}")
        if closed.code == 1000 or closed.code in AWAY_CODES:
            return self._unavailable(f"it ended the conversation (code {closed.code}){said}")
        return self._failed(f"{self._name} ended the conversation (code {closed.code}){said}")

    def _connection(self, exc: Exception, begun: bool) -> SpeechFault:
        if begun:
            return self.rubbish("the connection broke in the middle of the answer")
        led_to_it = causes(exc)
        if any(isinstance(cause, httpx.ConnectTimeout) for cause in led_to_it):
            fault = self.too_slow("connect", self._connect_seconds)
            fault.retry = True
            return fault
        for kinds, reason, retry in _CONNECTION_REASONS:
            if any(isinstance(cause, kinds) for cause in led_to_it):
                return self._unavailable(reason, retry=retry)
        if isinstance(exc, httpx.RemoteProtocolError) and "without sending" not in str(exc):
            return self.rubbish("the answer is no valid HTTP")
        return self._unavailable("the connection was lost before an answer came", retry=True)

    def _status(self, status: int, headers: Mapping[str, str], body: Any) -> SpeechFault:
        if status < 400:
            return self.rubbish(
                f"it answers {status}, a redirect; check its base URL"
                if status >= 300
                else "the answer is no valid JSON"  # the SDKs' way to say that they could not read it
            )
        codes, message = _told(body)
        said = f": {self._fit(message)}" if message.strip() else ""
        if status == 402 or EMPTY_PURSE.intersection(codes):
            return self._unavailable(f"its quota is used up (answer {status}){said}")
        if status in {401, 403}:
            return self._unavailable(f"it refuses the key (answer {status}){said}; check {self._key_setting}")
        wait = asked_wait(headers, self._clock.now)
        if status == 429:
            return self._unavailable(f"it limits how often we may ask{said}", retry=True, wait=wait)
        if status in AWAY_STATUSES:
            return self._unavailable(f"it answers {status}{said}", retry=True, wait=wait)
        hint = next((f"; {self._unknown_voice[code]}" for code in codes if code in self._unknown_voice), "")
        kind = UnknownVoice if hint else SpeechFailed
        if status == 404 and not said:
            hint = "; check its base URL"
        fault = self._failed(f"{self._name} answers {status}{said}{hint}", kind)
        fault.retry, fault.wait = status >= 500, wait
        return fault

    def _unavailable(self, reason: str, *, retry: bool = False, wait: float | None = None) -> SpeechFault:
        context: dict[str, object] = {"provider": self._provider}
        if wait is not None:
            context["retry_after"] = math.ceil(wait)
        error = SpeechUnavailable(f"{self._name} cannot be used now: {reason}", **context)
        return SpeechFault(error, retry=retry, wait=wait)

    def _failed(self, detail: str, kind: type[SpeechFailed] = SpeechFailed) -> SpeechFault:
        return SpeechFault(kind(detail, provider=self._provider))

    def _fit(self, message: str) -> str:
        return presentable(message, self._secret)


async def twice(until: float, once: Callable[[], Awaitable[T]]) -> T:
    """What `once` returns, tried again where that may help before `until` (loop's seconds). Errors: `SpeechFault`."""
    tries = stamina.retry_context(
        on=partial(_again, until),
        attempts=2,
        timeout=None,
        wait_initial=FIRST_WAIT_SECONDS,
        wait_jitter=WAIT_JITTER_SECONDS,
        wait_max=LONGEST_WAIT_SECONDS,
    )
    async for attempt in tries:
        with attempt:
            return await once()
    raise AssertionError("the last attempt returns or raises")


def _again(until: float, exc: Exception) -> bool | float:
    """Whether, or after how many seconds, there is another attempt: never when the wait would outlast the deadline."""
    if not isinstance(exc, SpeechFault) or not exc.retry:
        return False
    left = until - asyncio.get_running_loop().time()
    if exc.wait is not None:
        return exc.wait if exc.wait < left else False
    return left > LONGEST_WAIT_SECONDS


def _told(body: Any) -> tuple[Sequence[str], str]:
    """The codes and the words of an error's body, in any of the shapes the providers use."""
    detail = body.get("detail", body) if is_object(body) else body
    if is_list(detail):  # what FastAPI says about a request that does not fit
        return (), "; ".join(_where(row) for row in rows(detail))
    if is_object(detail):
        codes = [code for key in ("code", "status", "err_code", "category") if (code := _text(detail.get(key)))]
        return codes, next((text for key in ("message", "err_msg", "details") if (text := _text(detail.get(key)))), "")
    return (), _text(detail) if is_object(body) else ""


def _where(row: Mapping[str, Any]) -> str:
    place = row.get("loc")
    path = ".".join(str(part) for part in place) if is_list(place) else ""
    return f"{path}: {_text(row.get('msg'))}" if path else _text(row.get("msg"))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _shape(exc: Exception) -> str:
    if isinstance(exc, ValueError | RecursionError):
        return "the answer is no valid JSON"
    if isinstance(exc, TypeError | AttributeError | LookupError):
        return "the answer has another shape than the one that is documented"
    return f"the connection broke ({type(exc).__name__})"
