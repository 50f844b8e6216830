"""Embeddings of the local server: made up from the text alone, so that the same text always has the same."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import numpy as np

DIMENSIONS = 12


def embedding(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """A vector of this text, not of unit length."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).normal(size=dimensions).astype(np.float32).tolist()


def embeddings(body: dict[str, Any]) -> dict[str, Any]:
    """The answer to `POST /v1/embeddings`, as floats or base64, with as many dimensions as were asked for."""
    found = [embedding(text, body.get("dimensions", DIMENSIONS)) for text in body["input"]]
    written: list[Any] = found
    if body.get("encoding_format") == "base64":
        written = [base64.b64encode(np.array(one, "<f4").tobytes()).decode() for one in found]
    data = [{"object": "embedding", "index": place, "embedding": one} for place, one in enumerate(written)]
    return {"object": "list", "model": body["model"], "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}}
