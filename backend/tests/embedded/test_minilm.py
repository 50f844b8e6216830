"""The real model: what its vectors mean, that they are reproducible, and who waits for whom."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backend.embedded.minilm import BATCH_TEXTS, LONGEST_CHARACTERS, MiniLM
from backend.embedded.minilm_weights import PACKAGE, installed_folder
from backend.errors import EmbedderUnavailable
from backend.settings import OWN_DIMENSIONS

ROOT = Path(__file__).parents[3]
TEXTS = [
    "The user prefers short answers and lives in Lisbon.",
    "User wants concise replies.",
    "The contract forbids sharing prices.",
    "Bananas are rich in potassium.",
]
# What an implementation in numpy alone, written apart from this one, makes of the first text.
BEGINS_WITH = [0.09407297, 0.03966671, 0.04905587, 0.03733916]
ODD = ["", " ", "\n\t", "\x00", "\ud83d", "…!?", "日本語のテキスト", "\U0001f600" * 50, "a" * 5000, "[CLS] [SEP]"]


async def test_vectors_are_of_unit_length_and_mean_something(minilm: MiniLM) -> None:
    vectors = await minilm.embed(TEXTS)
    assert vectors.shape == (4, minilm.dimensions) == (4, OWN_DIMENSIONS["minilm"])
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    likeness = vectors @ vectors.T
    assert likeness[0, 1] > 0.4 > likeness[0, 3]


async def test_vectors_are_those_of_the_model(minilm: MiniLM) -> None:
    vectors = await minilm.embed(TEXTS)
    assert np.allclose(vectors[0, :4], BEGINS_WITH, atol=1e-5)
    assert np.array_equal(vectors, await minilm.embed(TEXTS))


async def test_a_text_has_the_same_vector_alone_and_among_others(minilm: MiniLM) -> None:
    texts = [" ".join(TEXTS[: number % 4 + 1]) + f" {number}" for number in range(2 * BATCH_TEXTS + 3)]
    texts[5] = texts[1]
    together = await minilm.embed(texts)
    assert np.array_equal(together[5], together[1])
    some = [0, 1, 17, len(texts) - 1]
    alone = await asyncio.gather(*(minilm.embed([texts[row]]) for row in some))
    for row, vector in zip(some, alone, strict=True):
        assert np.allclose(together[row], vector[0], atol=1e-5), f"padding or order changed row {row}"


async def test_odd_texts_have_vectors(minilm: MiniLM) -> None:
    for vectors in (await minilm.embed(ODD), np.vstack([await minilm.embed([text]) for text in ODD])):
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (await minilm.embed([])).shape == (0, minilm.dimensions)


async def test_the_rest_of_an_endless_text_is_not_read(minilm: MiniLM) -> None:
    long, longer = await minilm.embed(["word " * 300, "word " * 3000 + "banana"])
    assert np.allclose(long, longer, atol=1e-5)
    blank, also = await minilm.embed([" " * LONGEST_CHARACTERS + "banana", ""])
    assert np.allclose(blank, also, atol=1e-5)


async def test_a_query_passes_an_import(minilm: MiniLM) -> None:
    texts = [f"{text} {number}" for text in TEXTS for number in range(300)]
    importing = asyncio.create_task(minilm.embed(texts))
    for number in range(3):
        await minilm.embed([f"What does the user prefer? {number}"])
    assert not importing.done()
    importing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await importing
    assert (await minilm.embed(texts[:BATCH_TEXTS])).shape[0] == BATCH_TEXTS


async def test_an_import_ends_although_there_are_always_queries(minilm: MiniLM) -> None:
    importing = asyncio.create_task(minilm.embed(TEXTS * 4))

    async def ask() -> None:
        while not importing.done():
            await minilm.embed(["What does the user prefer?"])

    async with asyncio.timeout(20):
        await asyncio.gather(ask(), ask())
    assert importing.result().shape[0] == 16


async def test_opening_does_not_stop_the_loop_and_closing_ends_it() -> None:
    model = MiniLM()
    warming = asyncio.create_task(model.warm())
    turns = 0
    while not warming.done():
        await asyncio.sleep(0.005)
        turns += 1
    await warming
    assert turns > 5
    waiting = asyncio.create_task(model.embed(TEXTS * 50))
    await asyncio.sleep(0)
    await model.close()
    for late in (waiting, asyncio.create_task(model.embed(["one"])), asyncio.create_task(model.warm())):
        with pytest.raises(EmbedderUnavailable, match="closed"):
            await late


async def refused(folder: Path, told: str) -> None:
    model = MiniLM(folder)
    for attempt in (model.warm(), model.embed(["one"]), model.embed(TEXTS * 2)):
        with pytest.raises(EmbedderUnavailable, match=told):
            await attempt
    await model.close()


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
async def test_a_tampered_file_is_refused(name: str, data_folder: Path) -> None:
    for one in ("model.safetensors", "tokenizer.json"):
        # A link keeps 90 MB from being written; only what is changed is copied.
        (data_folder / one).symlink_to(installed_folder() / one)
    (data_folder / name).unlink()
    shutil.copy(installed_folder() / name, data_folder / name)
    with (data_folder / name).open("r+b") as file:
        file.seek(-1000, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1000, os.SEEK_END)
        file.write(bytes([byte ^ 1]))
    await refused(data_folder, f"{name} of MiniLM is not the file that Numen knows: install Numen anew")


async def test_an_absent_file_is_named(data_folder: Path) -> None:
    await refused(data_folder, r"model\.safetensors of MiniLM cannot be read")


def test_an_absent_package_is_named() -> None:
    with pytest.raises(EmbedderUnavailable, match=r"no_such_package .* is not installed"):
        installed_folder("no_such_package")


OFFLINE = f"""
import asyncio, sys
from backend.embedded.minilm import MiniLM
assert not {{"onnx", "onnxruntime", "tokenizers"}} & sys.modules.keys(), "imported before they are needed"
dialled = []
sys.addaudithook(lambda event, _: dialled.append(event) if event in ("socket.connect", "socket.getaddrinfo") else None)
async def main():
    model = MiniLM()
    await model.embed(["one"])
    await model.close()
asyncio.run(main())
assert not dialled, dialled
assert {PACKAGE!r} not in sys.modules, "the package of the weights is data"
"""


def test_nothing_is_dialled_and_nothing_imported_before_its_time() -> None:
    done = subprocess.run([sys.executable, "-c", OFFLINE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
