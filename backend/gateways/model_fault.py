"""The one place where the provider's, the SDK's and the transport's exceptions become ours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import aiohttp
import httpx2
import openai
from aiohttp.http_exceptions import HttpProcessingError

from backend.errors import ModelError, ModelFailed, ModelTimeout, ModelUnavailable
from backend.gateways.answer import BadAnswer, is_object
from backend.gateways.guarded_bytes import DeadlinePassed
from backend.gateways.provider_words import asked_wait, causes, presentable
from backend.ports import Clock

RETRIED_STATUSES = {408, 409, 429}
AWAY_STATUSES = {502, 503, 504, 529}
DEADLINE_SETTINGS = {name: f"NUMEN_LLM_{name.upper()}_SECONDS" for name in ("connect", "first_token", "total")}

FOREIGN: Final = (
    BadAnswer,
    DeadlinePassed,
    openai.OpenAIError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    aiohttp.ClientError,
    HttpProcessingError,
    OSError,
    EOFError,
    ValueError,  # broken JSON and broken UTF-8, also in the middle of a stream
    RuntimeError,  # JSON nested too deeply; a transport that was closed under us
)
"""All that may come out of the SDK while it talks to a broken server; read from its source and its transport's."""

_CONNECTION_REASONS: Final = (
    ((httpx2.UnsupportedProtocol, aiohttp.InvalidURL, httpx2.InvalidURL), "its base URL is no http address", False),
    ((aiohttp.ClientConnectorCertificateError,), "its TLS certificate is not trusted", False),
    ((aiohttp.ClientConnectorDNSError,), "its host name is not known", True),
    ((aiohttp.ClientProxyConnectionError,), "the proxy on the way does not answer", True),
    ((aiohttp.ClientConnectorError,), "nobody accepts connections at its address", True),
)
"""Which exception of the transport means what, and whether another attempt may help; the first that fits is taken."""


class ModelFault(Exception):
    """One failed attempt.

    `retry` says whether another attempt may help, `wait` the seconds the provider asks for, `dead` that the provider
    as a whole did not serve us.
    """

    def __init__(
        self, error: ModelError, *, retry: bool = False, wait: float | None = None, dead: bool = False
    ) -> None:
        super().__init__(error.detail)
        self.error = error
        self.retry = retry
        self.wait = wait
        self.dead = dead


class FaultTranslator:
    """Translates for one provider. `secret` is the key that no message may hold.

    `key_setting` names the setting of the key, `deadline_settings` those of the deadlines that have one.
    """

    def __init__(
        self,
        provider: str,
        *,
        key_setting: str,
        secret: str,
        connect_seconds: float,
        clock: Clock,
        deadline_settings: Mapping[str, str] = DEADLINE_SETTINGS,
    ) -> None:
        self._provider = provider
        self._connect_seconds = connect_seconds
        self._key_setting = key_setting
        self._secret = secret
        self._clock = clock
        self._deadline_settings = deadline_settings

    def fault(self, exc: Exception, model: str, *, begun: bool = False) -> ModelFault:
        """The fault behind a foreign exception. `begun` says that the answer had begun, so nothing is tried again."""
        if isinstance(exc, openai.APIStatusError):
            return self._status(exc, model)
        if isinstance(exc, DeadlinePassed):
            return self.too_slow("total", model)
        if isinstance(exc, openai.APIConnectionError | httpx2.TransportError | aiohttp.ClientError | OSError):
            return self._connection(exc, model, begun)
        return self._rubbish(_what_was_wrong(exc), model)

    def too_slow(self, deadline: str, model: str, seconds: float | None = None, *, dead: bool = False) -> ModelFault:
        """The fault of a deadline (`connect`, `first_token`, `total`) that passed."""
        within = f" within {seconds:g} s" if seconds is not None else " in time"
        words = {
            "connect": f"{self._provider} did not accept a connection{within}",
            "first_token": f"{self._provider} did not begin to answer{within}",
            "total": f"{self._provider} did not finish its answer{within}",
        }
        setting = self._deadline_settings.get(deadline)
        detail = f"{words[deadline]} ({setting})" if setting else words[deadline]
        context = {"provider": self._provider, "model": model, "deadline": deadline}
        return ModelFault(ModelTimeout(detail, **context), dead=dead)

    def _connection(self, exc: Exception, model: str, begun: bool) -> ModelFault:
        # The transport calls every lost connection a timeout, a refused one too: only the first cause tells them apart.
        led_to_it = causes(exc)
        if begun:
            return self._rubbish("the connection broke in the middle of the answer", model)
        if any(isinstance(cause, TimeoutError) for cause in led_to_it):
            fault = self.too_slow("connect", model, self._connect_seconds, dead=True)
            fault.retry = True
            return fault
        if any(isinstance(cause, aiohttp.ClientResponseError) for cause in led_to_it):
            return self._rubbish("the answer is no valid HTTP", model)
        for kinds, reason, retry in _CONNECTION_REASONS:
            if any(isinstance(cause, kinds) for cause in led_to_it):
                return ModelFault(self._unavailable(reason, model).error, retry=retry, dead=True)
        lost = self._unavailable("the connection was lost before an answer came", model)
        return ModelFault(lost.error, retry=True, dead=True)

    def _status(self, exc: openai.APIStatusError, model: str) -> ModelFault:
        status = exc.status_code
        if status in {401, 403}:
            return self._unavailable(f"it refuses the key (answer {status}): check {self._key_setting}", model)
        said = self._said(exc)
        if status == 429:
            return self._limited(exc, said, model)
        wait = self._retry_after(exc.response.headers)
        retry = status in RETRIED_STATUSES or status >= 500
        if status in AWAY_STATUSES or status in RETRIED_STATUSES:
            error: ModelError = self._unavailable(f"it answers {status}{said}", model, wait).error
        elif 300 <= status < 400:
            error = self._rubbish(f"it answers {status}, a redirect: check its base URL", model).error
        else:
            error = ModelFailed(f"{self._provider} answers {status}{said}", provider=self._provider, model=model)
        return ModelFault(error, retry=retry, wait=wait, dead=retry)

    def _limited(self, exc: openai.APIStatusError, said: str, model: str) -> ModelFault:
        wait = self._retry_after(exc.response.headers)
        fault = self._unavailable(f"it limits how often we may ask{said}", model, wait)
        fault.retry = exc.code != "insufficient_quota"  # an empty purse is not filled by asking again
        fault.wait, fault.dead = wait, True
        return fault

    def _unavailable(self, reason: str, model: str, wait: float | None = None) -> ModelFault:
        context: dict[str, object] = {"provider": self._provider, "model": model}
        if wait is not None:
            context["retry_after"] = math.ceil(wait)
        return ModelFault(ModelUnavailable(f"{self._provider} cannot be used now: {reason}", **context))

    def _rubbish(self, reason: str, model: str) -> ModelFault:
        detail = f"{self._provider} gave no usable answer: {self._fit(reason)}"
        return ModelFault(ModelFailed(detail, provider=self._provider, model=model))

    def _said(self, exc: openai.APIStatusError) -> str:
        message = exc.body.get("message") if is_object(exc.body) else None
        if isinstance(message, str) and message.strip():
            return f": {self._fit(message)}"
        return ": check its base URL" if exc.status_code == 404 else ""

    def _fit(self, message: str) -> str:
        return presentable(message, self._secret)

    def _retry_after(self, headers: Mapping[str, str]) -> float | None:
        return asked_wait(headers, self._clock.now)


def _what_was_wrong(exc: Exception) -> str:
    if isinstance(exc, BadAnswer):
        return str(exc)
    if isinstance(exc, openai.APIError):
        return f"it reports an error: {exc.message}"
    if isinstance(exc, ValueError | RecursionError):
        return "the answer is no valid JSON"
    return f"the connection broke ({type(exc).__name__})"
