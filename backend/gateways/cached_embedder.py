"""Remembers the vectors of short texts, in memory only: queries are repeated, and neighbours are embedded again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from backend.ports import Embedder, Vector

LONGEST_KEPT = 2000


class CachedEmbedder:
    """An `Embedder` over another. Keeps the vectors of the `texts` last used texts, of those up to 2,000 characters.

    Vectors say something about private texts, so they are never written anywhere, and `forget` clears them; of the
    texts themselves only fingerprints are kept.
    """

    def __init__(self, inner: Embedder, texts: int = 4096) -> None:
        self._inner = inner
        self._texts = texts
        self._kept: OrderedDict[bytes, Vector] = OrderedDict()
        self._forgotten = 0

    @property
    def name(self) -> str:
        """The inner embedder's."""
        return self._inner.name

    @property
    def dimensions(self) -> int:
        """The inner embedder's."""
        return self._inner.dimensions

    async def embed(self, texts: Sequence[str]) -> Vector:
        """One row per text, in order. Errors: `EmbedderUnavailable`."""
        keys = [_fingerprint(text) for text in texts]
        found = {key: self._kept[key] for key in keys if key in self._kept}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        forgotten = self._forgotten
        if missing:
            found |= zip(missing, await self._inner.embed(list(missing.values())), strict=True)
        if forgotten == self._forgotten:  # else what was asked for before must not be kept after
            self._keep({key: found[key] for key, text in zip(keys, texts, strict=True) if len(text) <= LONGEST_KEPT})
        return np.stack([found[key] for key in keys]) if keys else np.empty((0, self.dimensions), np.float32)

    def forget(self) -> None:
        """Clear everything; somebody's data are erased."""
        self._forgotten += 1
        self._kept.clear()

    async def close(self) -> None:
        """Clear everything, and close the inner embedder."""
        self.forget()
        await self._inner.close()

    def _keep(self, used: dict[bytes, Vector]) -> None:
        for key, vector in used.items():
            if key not in self._kept:
                self._kept[key] = vector.copy()  # a row alone would keep its whole batch in memory
            self._kept.move_to_end(key)
        while len(self._kept) > self._texts:
            self._kept.popitem(last=False)


def _fingerprint(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
