"""Another process over the folder of an index: `python -m backend.tests.embedded.qdrant_process <what> <folder>`.

`put` writes one point after the other and names each when it is acknowledged, until it is killed. `compact` does the
same and compacts in between. `open` only opens.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO
from uuid import UUID

from qdrant_client import models

from backend.embedded.qdrant import EdgeQdrantClient
from backend.errors import Misconfigured

ROOT = Path(__file__).parents[3]
NAME, SIZE = "things", 8


def start(what: str, folder: Path) -> subprocess.Popen[str]:
    """The process; its answers are lines."""
    command = [sys.executable, "-m", "backend.tests.embedded.qdrant_process", what, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def lines(process: subprocess.Popen[str]) -> IO[str]:
    """What it says."""
    assert process.stdout is not None
    return process.stdout


def create(client: EdgeQdrantClient, name: str = NAME) -> None:
    """A collection such as Mem0 makes them."""
    client.create_collection(
        name,
        vectors_config=models.VectorParams(
            size=SIZE, distance=models.Distance.COSINE, datatype=models.Datatype.FLOAT16
        ),
        sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    tenant = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
    client.create_payload_index(name, "owner", tenant)
    client.create_payload_index(name, "at", models.PayloadSchemaType.DATETIME)


def point(number: int, owner: str = "o", month: int = 1) -> models.PointStruct:
    """A point whose vector leans towards the axis `number % SIZE`, and whose word is its number."""
    vector = [0.1] * SIZE
    vector[number % SIZE] = 1.0
    words = models.SparseVector(indices=[number], values=[1.0])
    payload = {"owner": owner, "at": f"2026-{month:02}-01T00:00:00Z"}
    return models.PointStruct(id=str(UUID(int=number)), vector={"": vector, "bm25": words}, payload=payload)


def _main(what: str, folder: Path) -> None:
    try:
        client = EdgeQdrantClient(folder)
    except Misconfigured as refusal:
        print(refusal.detail, flush=True)  # noqa: T201 — the answer
        return
    print("open", flush=True)  # noqa: T201
    number = 0
    while what != "open":
        number += 1
        client.upsert(NAME, [point(number)])
        print(number, flush=True)  # noqa: T201
        if what == "compact" and number % 5 == 0:
            client.compact(NAME)


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]))
