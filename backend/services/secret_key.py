"""The text of an API key: `numen_sk_<id>_<secret>_<crc>`, all in lower-case hexadecimal."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Self
from zlib import crc32

START = "numen_sk_"
_ID_BYTES, _SECRET_BYTES = 8, 32
_FORM = re.compile(rf"{START}([0-9a-f]{{{2 * _ID_BYTES}}})_([0-9a-f]{{{2 * _SECRET_BYTES}}})_([0-9a-f]{{8}})")


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A key's public part, by which it is found, and its secret part of 256 bits, of which only the hash is stored."""

    public: str
    secret: str = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """A new one."""
        return cls(secrets.token_hex(_ID_BYTES), secrets.token_hex(_SECRET_BYTES))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The key of this text; None when it cannot be one: what is mistyped or cut never reaches the database."""
        found = _FORM.fullmatch(text)
        if found is None:
            return None
        key = cls(found[1], found[2])
        return key if key.text == text else None

    @property
    def prefix(self) -> str:
        """The part that may be shown."""
        return f"{START}{self.public}"

    @property
    def text(self) -> str:
        """The whole key, to be shown once."""
        body = f"{self.prefix}_{self.secret}"
        return f"{body}_{crc32(body.encode()):08x}"

    @property
    def secret_hash(self) -> bytes:
        """SHA-256 of the secret: enough, since nobody can try 2^256 secrets."""
        return hashlib.sha256(self.secret.encode()).digest()
