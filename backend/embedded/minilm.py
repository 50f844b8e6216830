"""Texts to vectors on this machine: all-MiniLM-L6-v2 on onnxruntime, without torch and without a download.

Two threads run the network. A few texts at a time (somebody waits for a query) have a thread of their own; many (an
import, a reindex) go through the other in small batches, and each batch lets the queries pass first.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.embedded.minilm_graph import network
from backend.embedded.minilm_weights import checked, installed_folder
from backend.errors import EmbedderUnavailable
from backend.ports import Vector

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

DIMENSIONS = 384
LONGEST_TOKENS = 256
"""What comes later in a text is not read: the model was trained on no more."""
LONGEST_CHARACTERS = 8192
"""Cut before the tokens are counted, because counting takes its time with endless texts."""
A_FEW_TEXTS = 4
BATCH_TEXTS = 32
BATCH_TOKENS = 512
MOST_THREADS = 4
LONGEST_WAY_SECONDS = 0.25
"""How long a batch waits for queries to pass: without an end, an import would starve under a flood of them."""


class MiniLM:
    """An `Embedder`. Costs nothing until it is warmed or used; then the model stays in memory (about 130 MB).

    `folder` holds `model.safetensors` and `tokenizer.json`; the default is where pip put them.
    """

    name = "minilm-l6-v2"
    dimensions = DIMENSIONS

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._opening = threading.Lock()
        self._network: _Network | EmbedderUnavailable | None = None
        self._closed = False
        self._way = _RightOfWay()
        self._queries = ThreadPoolExecutor(1, "minilm query")
        self._bulk = ThreadPoolExecutor(1, "minilm bulk")

    async def warm(self) -> None:
        """Check and load the model now, in a thread. Errors: `EmbedderUnavailable`."""
        await self._in(self._bulk, lambda: self._opened().run(["warm"]))

    async def embed(self, texts: Sequence[str]) -> Vector:
        """One row of unit length per text, in order; an empty text has one, too. Errors: `EmbedderUnavailable`."""
        vectors = np.empty((len(texts), DIMENSIONS), np.float32)
        fit = [_fit(text) for text in texts]
        if len(fit) <= A_FEW_TEXTS:
            with self._way.query():
                if fit:
                    vectors[:] = await self._in(self._queries, lambda: self._opened().run(fit))
            return vectors
        by_length = sorted(range(len(fit)), key=lambda row: len(fit[row]))
        for start in range(0, len(fit), BATCH_TEXTS):
            rows = by_length[start : start + BATCH_TEXTS]
            some = [fit[row] for row in rows]
            vectors[rows] = await self._in(self._bulk, lambda some=some: self._opened().run(some, self._way.give))
        return vectors

    async def close(self) -> None:
        """End the threads after what they are doing now; who waits behind that gets `EmbedderUnavailable`."""
        self._closed = True
        for executor in (self._queries, self._bulk):
            await asyncio.to_thread(executor.shutdown)
        self._network = None

    async def _in(self, executor: ThreadPoolExecutor, work: Callable[[], Vector]) -> Vector:
        if self._closed:
            raise EmbedderUnavailable("the embedder is closed, the server is stopping")
        return await asyncio.get_running_loop().run_in_executor(executor, work)

    def _opened(self) -> _Network:
        with self._opening:
            if self._closed:
                raise EmbedderUnavailable("the embedder is closed, the server is stopping")
            if self._network is None:
                try:
                    self._network = _Network(*checked(self._folder or installed_folder()))
                except EmbedderUnavailable as exc:
                    # Files do not become others by asking again, and hashing them takes its time.
                    self._network = exc
            if isinstance(self._network, EmbedderUnavailable):
                raise EmbedderUnavailable(self._network.detail) from self._network
            return self._network


class _RightOfWay:
    """Lets batches wait while queries are under way, from whichever thread or event loop they come."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queries = 0

    @contextmanager
    def query(self) -> Generator[None]:
        """Around a query, its time in the queue included."""
        with self._changed:
            self._queries += 1
        try:
            yield
        finally:
            with self._changed:
                self._queries -= 1
                self._changed.notify_all()

    def give(self) -> None:
        """Wait until no query is under way, or long enough."""
        with self._changed:
            self._changed.wait_for(lambda: self._queries == 0, LONGEST_WAY_SECONDS)


class _Network:
    """The open model. Blocking; may run in several threads at once."""

    def __init__(self, weights: Path, tokenizer: Path) -> None:
        # These take a third of a second and 60 MB, which a process that embeds nothing should not pay.
        onnxruntime: Any = importlib.import_module("onnxruntime")
        from tokenizers import Tokenizer  # noqa: PLC0415 — slow to import

        words: Any = Tokenizer.from_file(str(tokenizer))
        words.enable_truncation(LONGEST_TOKENS)
        words.no_padding()
        self._tokenizer: Tokenizer = words
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = min(MOST_THREADS, _processors())
        options.inter_op_num_threads = 1
        # Without its arena every layer asks the system for memory and gives it back, which halves the throughput.
        options.enable_cpu_mem_arena = True
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # an idle server burns no core
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights.parent))
        model = network(weights)
        self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(self, texts: Sequence[str], before_each: Callable[[], None] = lambda: None) -> Vector:
        """One row per text. `before_each` is called before each batch that goes through the network."""
        encoded = self._tokenizer.encode_batch_fast(list(texts))
        vectors = np.empty((len(texts), DIMENSIONS), np.float32)
        for rows in _batches([len(one.ids) for one in encoded]):
            before_each()
            vectors[rows] = self._session.run(None, _inputs([encoded[row] for row in rows]))[0]
        return vectors


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """The rows in batches of alike length, so that little is padded."""
    rows: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if rows and (len(rows) + 1) * lengths[row] > BATCH_TOKENS:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def _inputs(encoded: Sequence[Encoding]) -> dict[str, np.ndarray[Any, Any]]:
    longest = max(len(one.ids) for one in encoded)
    ids = np.zeros((len(encoded), longest), np.int64)
    attended = np.zeros_like(ids)
    for row, one in enumerate(encoded):
        ids[row, : len(one.ids)] = one.ids
        attended[row, : len(one.ids)] = 1
    return {"input_ids": ids, "attention_mask": attended}


def _fit(text: str) -> str:
    """The text as the tokenizer takes it: not endless, and no half characters."""
    return text[:LONGEST_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
