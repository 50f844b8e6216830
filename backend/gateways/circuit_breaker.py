"""Stops asking a provider that does not answer, so that nobody waits for what will fail anyway."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta

from backend.errors import ModelUnavailable
from backend.gateways.model_fault import ModelFault
from backend.ports import Clock

FAILURES_TO_OPEN = 5
COOL_DOWN_SECONDS = 15.0
LONGEST_PAUSE_SECONDS = 60.0


class CircuitBreaker:
    """One provider and key. Opens after failures in a row, then lets one call through to see whether it is back."""

    def __init__(self, provider: str, clock: Clock, *, failures: int = FAILURES_TO_OPEN) -> None:
        self._provider = provider
        self._clock = clock
        self._limit = failures
        self._failures = 0
        self._refusing_until: datetime | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether calls are being refused, but for the one that tries."""
        return self._refusing_until is not None

    @contextmanager
    def call(self) -> Generator[None]:
        """Around one call. Errors: `ModelUnavailable` with `retry_after` (seconds) while the breaker is open."""
        probe = self._enter()
        try:
            yield
        except ModelFault as fault:
            if fault.dead:
                self._failed(fault.wait)
            else:
                self._succeeded()
            raise
        else:
            self._succeeded()
        finally:
            # A call that was cancelled says nothing about the provider; the next one may try.
            if probe:
                self._probing = False

    def _enter(self) -> bool:
        if self._refusing_until is None:
            return False
        left = (self._refusing_until - self._clock.now()).total_seconds()
        if left > 0 or self._probing:
            raise ModelUnavailable(
                f"{self._provider} has failed {self._failures} times in a row and is left alone for a moment",
                provider=self._provider,
                retry_after=max(1, math.ceil(left)),
            )
        self._probing = True
        return True

    def _succeeded(self) -> None:
        self._failures, self._refusing_until = 0, None

    def _failed(self, wait: float | None) -> None:
        self._failures += 1
        if self._failures >= self._limit or self._refusing_until is not None:
            pause = min(max(COOL_DOWN_SECONDS, wait or 0.0), LONGEST_PAUSE_SECONDS)
            self._refusing_until = self._clock.now() + timedelta(seconds=pause)
