"""Mem0 neither dials, nor writes outside of its folder, nor talks: seen from a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]

# Everything that Mem0 and its parts do for us, in a process that notes every attempt to reach out.
LIFE = r"""
import asyncio, json, os, sys

attempts, written = [], []

def watch(event, arguments):
    if event == "subprocess.Popen" and list(arguments[1])[:1] == ["file"]:
        return  # Python's own `platform`, asking what kind of program Python is
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "subprocess.Popen"):
        attempts.append(f"{event} {arguments[1:]}")
    if event == "open" and isinstance(arguments[0], str) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        written.append(arguments[0])

sys.addaudithook(watch)

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

from backend.embedded.qdrant import EdgeQdrantClient
from backend.gateways.mem0_extractor import Mem0Extractor
from backend.gateways.mem0_index import Mem0Index
from backend.models.namespace import Namespace
from backend.ports import ExtractionRequest, IndexPoint, IndexQuery
from backend.telemetry import Metrics
from backend.tests.fakes import HashEmbedder, ScriptedModel, says
from backend.tests.gateways.model_requests import contract

async def live(folder):
    embedder, mine = HashEmbedder(), Namespace(uuid4(), uuid4(), "user", uuid4())
    index = Mem0Index(lambda: EdgeQdrantClient(folder), embedder, Metrics())
    await index.prepare()
    vectors = await embedder.embed(["I moved to Lisbon", "meeting about running"] * 30)
    points = [IndexPoint(uuid4(), mine, vector, "I moved to Lisbon", datetime.now(UTC)) for vector in vectors]
    await index.put(points)
    hits = await index.search(IndexQuery([mine], vectors[0], "Lisbon last week", 100))
    await index.remove([points[0].id])
    await index.remove_namespace(mine)
    await index.compact()
    await index.drop_others()
    await index.close()
    texts = 'Lives in Lisbon with "Momo" since 2024-05-01', "Likes New York"
    facts = json.dumps({"memory": [{"text": text} for text in texts]})
    extractor = Mem0Extractor(ScriptedModel(says(facts)))
    request = ExtractionRequest(mine, contract(), "m", "Last week I moved to Lisbon", "How nice", ["Has a dog"])
    found = await extractor.extract(request)
    await extractor.close()
    return len(hits), len(found)

folder = Path(sys.argv[1])
result = asyncio.run(live(folder))
outside = [one for one in written if not one.startswith((str(folder), "/dev/"))]
print(json.dumps({"result": result, "attempts": attempts, "outside": outside, "modules": sorted(sys.modules)}))
"""


def lived(home: Path) -> tuple[dict[str, Any], str]:
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(home.parent), "MEM0_TELEMETRY": "True"}
    environment.pop("MEM0_DIR", None)
    command = [sys.executable, "-W", "error", "-B", "-c", LIFE, str(home.parent / "index")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_mem0_is_silent_even_where_its_telemetry_is_wanted(tmp_path: Path) -> None:
    told, said = lived(tmp_path / "home")
    assert told["result"] == [60, 2], "it did all of it"
    assert told["attempts"] == []
    assert said == ""
    assert list((tmp_path / "home").iterdir()) == [], "nothing is left in the home folder"
    # The id of an installation, which Mem0 writes at its import, went into a temporary folder that is gone.
    assert any("numen-mem0-" in one for one in told["outside"])
    assert all(one.startswith(str(tmp_path)) for one in told["outside"]), told["outside"]
    assert {one.name for one in tmp_path.iterdir()} == {"home", "index"}
    assert not {"spacy", "torch", "transformers", "fastembed"} & set(told["modules"])


def test_the_watch_sees_what_it_watches_for(tmp_path: Path) -> None:
    """The negative control: Mem0 by itself, with its telemetry, does reach out and does write."""
    by_itself = LIFE.split("from datetime import", maxsplit=1)[0] + (
        "import mem0\nfrom mem0.memory import telemetry\nimport socket\n"
        "telemetry.client_telemetry.posthog.shutdown = lambda: None\n"
        "try: socket.create_connection(('127.0.0.1', 1), 1)\n"
        "except OSError: pass\n"
        "print(json.dumps({'attempts': attempts, 'outside': written}), flush=True)\nos._exit(0)"
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(tmp_path), "MEM0_TELEMETRY": "True"}
    environment.pop("MEM0_DIR", None)
    done = subprocess.run(
        [sys.executable, "-B", "-c", by_itself], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told["attempts"]) >= 2
    assert any(".mem0" in one for one in told["outside"])
    assert (home / ".mem0" / "config.json").exists()
