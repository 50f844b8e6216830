"""Signatures of events, as Standard Webhooks has them: https://www.standardwebhooks.com, version v1."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

TOLERANCE = timedelta(minutes=5)
START = "whsec_"
_SECRET_BYTES = 32
_VERSION = "v1,"
_LONGEST_SIGNATURES = 4096
# A dot in the id would let the parts of what was signed be divided another way.
_ID = re.compile(r"[!-\-/-~]{1,255}")
_TIMESTAMP = re.compile("[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class SignedEvent:
    """An event as it came in: the three headers, each exactly as sent, and the bytes of the body."""

    id: str
    timestamp: str
    signatures: str
    body: bytes = field(repr=False)

    def fits(self, secret: bytes, now: datetime) -> bool:
        """Whether one of its signatures was made with this secret, for a moment close to now."""
        # All of it is reckoned in any case: how long it takes tells nothing about the secret.
        expected = signature(secret, self.id, self.timestamp, self.body).encode()
        tried = [hmac.compare_digest(expected, one.encode()) for one in self._given()]
        return self._is_readable() and self._is_timely(now) and any(tried)

    def _given(self) -> list[str]:
        if len(self.signatures) > _LONGEST_SIGNATURES:
            return []
        return self.signatures.split(" ")

    def _is_readable(self) -> bool:
        return bool(_ID.fullmatch(self.id) and _TIMESTAMP.fullmatch(self.timestamp))

    def _is_timely(self, now: datetime) -> bool:
        return abs(now.timestamp() - int(self.timestamp)) <= TOLERANCE.total_seconds()


def signature(secret: bytes, event_id: str, timestamp: str, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    return _VERSION + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


def new_secret() -> bytes:
    """A new secret, of 32 bytes."""
    return secrets.token_bytes(_SECRET_BYTES)


def secret_text(secret: bytes) -> str:
    """The secret as its sender gets it."""
    return START + base64.b64encode(secret).decode()
