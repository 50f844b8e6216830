"""Vectors without a model: alike where the words are alike, in every script, and the same in every process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backend.gateways.lexical_embedder import BATCH_TEXTS, DIMENSIONS, LexicalEmbedder
from backend.settings import OWN_DIMENSIONS

ROOT = Path(__file__).parents[3]
ODD = ["", " ", "the of and", "…!?", "\x00", "\ud83d", "_", "\U0001f600", "a" * 100_000, "字" * 3000]


async def test_vectors_are_of_unit_length() -> None:
    embedder = LexicalEmbedder()
    assert embedder.dimensions == OWN_DIMENSIONS["lexical"]
    for vectors in (await embedder.embed(ODD), np.vstack([await embedder.embed([text]) for text in ODD])):
        assert vectors.shape == (len(ODD), embedder.dimensions)
        assert vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (await embedder.embed([])).shape == (0, embedder.dimensions)


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        ("Where did Ana go hiking?", "Ana hiked in the Alps.", "The contract forbids sharing prices."),
        ("CAFÉ", "the café", "tea"),
        ("Где живёт Анна?", "Анна живёт в Лиссабоне.", "Борис любит кофе."),
        ("我住在里斯本", "里斯本很美", "他喜欢咖啡"),
        ("リスボンに住んでいます", "リスボンの天気", "コーヒーが好き"),
        ("أين تعيش ليلى؟", "ليلى تعيش في لشبونة", "يحب القهوة"),
        ("where are you", "you are where", "bananas"),
        ("\U0001f600", "\U0001f600", "\U0001f4a9"),
    ],
)
async def test_what_is_written_alike_is_near(text: str, near: str, far: str) -> None:
    vectors = await LexicalEmbedder().embed([text, near, far])
    assert vectors[0] @ vectors[1] > 0.2 + vectors[0] @ vectors[2]


async def test_a_text_has_the_same_vector_alone_and_among_others() -> None:
    texts = [f"text {number} of many" for number in range(2 * BATCH_TEXTS + 1)]
    together = await LexicalEmbedder().embed(texts)
    for row in (0, BATCH_TEXTS, 2 * BATCH_TEXTS):
        assert np.array_equal(together[row], (await LexicalEmbedder().embed([texts[row]]))[0])


OTHER = """
import asyncio
from backend.gateways.lexical_embedder import LexicalEmbedder
print(asyncio.run(LexicalEmbedder().embed(["Ana hiked in the Alps."])).tobytes().hex())
"""


def test_every_process_makes_the_same_vectors() -> None:
    made = [
        subprocess.run(
            [sys.executable, "-c", OTHER], cwd=ROOT, check=True, capture_output=True, env={"PYTHONHASHSEED": seed}
        )
        for seed in ("1", "2")
    ]
    assert len(made[0].stdout) > DIMENSIONS
    assert made[0].stdout == made[1].stdout
