"""Qdrant's engine in this process: what it understands, and what it makes of files that are not as it left them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from backend.embedded.qdrant import EdgeQdrantClient
from backend.embedded.qdrant_translation import NotUnderstood
from backend.errors import Misconfigured
from backend.tests.embedded.qdrant_process import NAME, ROOT, SIZE, create, lines, point, start
from backend.tests.fixtures_logs import Logs

UNIT = [1.0, *[0.0] * (SIZE - 1)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def client(folder: Path) -> Generator[EdgeQdrantClient]:
    client = EdgeQdrantClient(folder)
    create(client)
    yield client
    client.close()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Generator[EdgeQdrantClient]:
    """One for all requests that it refuses."""
    client = EdgeQdrantClient(tmp_path_factory.mktemp("standing"))
    create(client)
    client.upsert(NAME, [point(1)])
    yield client
    assert found(client) == {1}
    client.close()


def has(key: str, *values: str) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchAny(any=list(values)))


def found(client: QdrantClient, **asked: Any) -> set[int]:
    """The numbers of the points that a search for everything finds."""
    points = client.query_points(NAME, query=UNIT, limit=100, **asked).points
    return {UUID(str(one.id)).int for one in points}


def missing(name: str = NAME) -> Any:
    return pytest.raises(UnexpectedResponse, match=f"(?s)404.*{name}")


# --- what it understands


def test_it_is_a_client_of_qdrant(client: EdgeQdrantClient) -> None:
    assert isinstance(client, QdrantClient)
    info = client.get_collection(NAME)
    assert info.points_count == 0
    assert isinstance(info.config.params.vectors, models.VectorParams)
    assert info.config.params.vectors.size == SIZE
    assert set(info.config.params.sparse_vectors or {}) == {"bm25"}
    assert [one.name for one in client.get_collections().collections] == [NAME]


def test_filters_mean_what_they_mean_on_a_server(client: EdgeQdrantClient) -> None:
    client.upsert(NAME, [point(n, "ab"[n % 2], month=n) for n in range(1, 9)])
    spring = models.DatetimeRange.model_validate({"gte": "2026-03-01T00:00:00Z", "lt": "2026-06-01T00:00:00Z"})
    in_spring = models.FieldCondition(key="at", range=spring)
    of_a = models.FieldCondition(key="owner", match=models.MatchValue(value="a"))
    some = models.HasIdCondition(has_id=[str(UUID(int=2)), str(UUID(int=3))])
    assert found(client) == set(range(1, 9))
    assert found(client, query_filter=models.Filter(must=[of_a])) == {2, 4, 6, 8}
    assert found(client, query_filter=models.Filter(must=has("owner", "a", "b"))) == set(range(1, 9))
    assert found(client, query_filter=models.Filter(must=[has("owner", "*")])) == set()
    assert found(client, query_filter=models.Filter(must=[in_spring])) == {3, 4, 5}
    assert found(client, query_filter=models.Filter(must=[in_spring, of_a])) == {4}
    assert found(client, query_filter=models.Filter(must=[some])) == {2, 3}
    assert found(client, query_filter=models.Filter(should=[some, in_spring])) == {2, 3, 4, 5}
    nested = models.Filter(must=[models.Filter(should=[some])], must_not=[of_a])
    assert found(client, query_filter=nested) == {3}
    assert client.count(NAME, models.Filter(must=[of_a])).count == 4


@pytest.mark.parametrize(
    "condition",
    [
        models.FieldCondition(key="owner", match=models.MatchExcept.model_validate({"except": ["a"]})),
        models.FieldCondition(key="owner", match=models.MatchText(text="a")),
        models.FieldCondition(key="at", range=models.Range(gt=1)),
        models.FieldCondition(key="owner", values_count=models.ValuesCount(gt=1)),
        models.FieldCondition(key="owner", is_empty=True),
        models.FieldCondition(key="owner", match=models.MatchValue(value="a"), is_null=False),
        models.FieldCondition(key="owner"),
        models.IsEmptyCondition(is_empty=models.PayloadField(key="owner")),
        models.HasVectorCondition(has_vector="bm25"),
    ],
    ids=lambda one: str(one)[:60],
)
def test_a_condition_that_is_not_understood_is_refused(standing: EdgeQdrantClient, condition: Any) -> None:
    with pytest.raises(NotUnderstood):
        found(standing, query_filter=models.Filter(must=[condition]))
    with pytest.raises(NotUnderstood):
        standing.delete(NAME, models.FilterSelector(filter=models.Filter(must=[condition])))


Ask = Callable[[QdrantClient], object]
DOT = models.Distance.DOT
_AT_LEAST = models.MinShould(conditions=[models.HasIdCondition(has_id=[1])], min_count=1)
NOT_UNDERSTOOD: list[Ask] = [
    lambda client: client.query_points(NAME, query=UNIT, score_threshold=0.5),
    lambda client: client.query_points(NAME, query=UNIT, lookup_from=models.LookupLocation(collection="x")),
    lambda client: client.query_points(NAME, query=UNIT, search_params=models.SearchParams(exact=True)),
    lambda client: client.query_points(
        NAME, prefetch=models.Prefetch(query=UNIT), query=models.FusionQuery(fusion=models.Fusion.RRF)
    ),
    lambda client: client.query_points(NAME, query=models.OrderByQuery(order_by="at")),
    lambda client: client.query_points(NAME, query=str(UUID(int=1))),
    lambda client: client.query_points(NAME, query=UNIT, query_filter=models.Filter(min_should=_AT_LEAST)),
    lambda client: client.scroll(NAME, order_by="at"),
    lambda client: client.upsert(NAME, [], update_filter=models.Filter()),
    lambda client: client.upsert(NAME, models.Batch(ids=[1], vectors=[UNIT])),
    lambda client: client.create_collection("other", {"named": models.VectorParams(size=2, distance=DOT)}),
    lambda client: client.create_collection(
        "other", models.VectorParams(size=2, distance=DOT, datatype=models.Datatype.UINT8)
    ),
    lambda client: client.create_payload_index(NAME, "owner", models.PayloadSchemaType.GEO),
]


@pytest.mark.parametrize("ask", NOT_UNDERSTOOD)
def test_a_request_that_is_not_understood_is_refused(standing: EdgeQdrantClient, ask: Ask) -> None:
    with pytest.raises(NotUnderstood):
        ask(standing)


def test_vectors_come_when_they_are_wanted(client: EdgeQdrantClient) -> None:
    client.upsert(NAME, [point(1)])
    [bare] = client.query_points(NAME, query=UNIT).points
    [dense] = client.query_points(NAME, query=UNIT, with_vectors=[""], with_payload=["owner"]).points
    [whole] = client.retrieve(NAME, [str(UUID(int=1))], with_vectors=True)
    assert bare.vector is None
    assert isinstance(dense.vector, list)
    assert sum(float(one) ** 2 for one in dense.vector if isinstance(one, float)) == pytest.approx(1.0, abs=0.001)
    assert dense.payload == {"owner": "o"}
    assert isinstance(whole.vector, dict)
    assert whole.vector["bm25"] == models.SparseVector(indices=[1], values=[1.0])


def test_a_point_is_replaced_whole(client: EdgeQdrantClient) -> None:
    client.upsert(NAME, [point(1)])
    client.upsert(NAME, [models.PointStruct(id=str(UUID(int=1)), vector={"": UNIT}, payload={"owner": "n"})])
    [record] = client.retrieve(NAME, [str(UUID(int=1))], with_vectors=True)
    assert record.payload == {"owner": "n"}
    by_word = client.query_points(NAME, query=models.SparseVector(indices=[1], values=[1.0]), using="bm25")
    assert by_word.points == []


def test_pages_show_every_point_once(client: EdgeQdrantClient) -> None:
    client.upsert(NAME, [point(n) for n in range(1, 26)])
    seen: list[int] = []
    following: Any = None
    while True:
        records, following = client.scroll(NAME, limit=10, offset=following, with_payload=False)
        seen += [UUID(str(one.id)).int for one in records]
        if following is None:
            break
    assert sorted(seen) == list(range(1, 26))


def test_points_are_deleted_by_ids_and_by_filter(client: EdgeQdrantClient) -> None:
    client.upsert(NAME, [point(n, "ab"[n % 2]) for n in range(1, 9)])
    client.delete(NAME, models.PointIdsList(points=[str(UUID(int=1)), str(UUID(int=99))]))
    assert found(client) == set(range(2, 9))
    client.delete(NAME, models.FilterSelector(filter=models.Filter(must=[has("owner", "a")])))
    assert found(client) == {3, 5, 7}


def test_a_collection_that_is_not_there_is_a_404_and_one_that_is_a_conflict(client: EdgeQdrantClient) -> None:
    with missing("nothing"):
        client.count("nothing")
    with pytest.raises(UnexpectedResponse, match="409"):
        create(client)
    with pytest.raises(UnexpectedResponse, match="400"):
        create(client, "../outside")
    with pytest.raises(UnexpectedResponse, match=r"(?s)500.*dimension"):
        client.query_points(NAME, query=[1.0, 2.0])
    assert client.delete_collection(NAME)
    assert not client.delete_collection(NAME)
    assert not client.collection_exists(NAME)


# --- one owner, and what is on the disk


def test_one_process_at_a_time(client: EdgeQdrantClient, folder: Path) -> None:
    with pytest.raises(Misconfigured, match="already serves from"):
        EdgeQdrantClient(folder)
    with start("open", folder) as other:
        assert "already serves from" in lines(other).readline()
    client.close()
    client.close()
    with start("open", folder) as other:
        assert lines(other).readline() == "open\n"


def test_nobody_else_on_the_machine_may_look(client: EdgeQdrantClient, folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700


def killed_after(what: str, folder: Path, count: int) -> int:
    """The last number that the process acknowledged before it was killed."""
    with start(what, folder) as process:
        said = [lines(process).readline() for _ in range(count + 1)]
        process.kill()
        rest = lines(process).read().splitlines()
    return int(rest[-1] if rest else said[-1])


@pytest.mark.parametrize("what", ["put", "compact"])
def test_what_was_acknowledged_survives_a_kill(folder: Path, what: str) -> None:
    before = EdgeQdrantClient(folder)
    create(before)
    before.close()
    last = killed_after(what, folder, 23)
    client = EdgeQdrantClient(folder)
    kept = found(client)
    assert set(range(1, last + 1)) <= kept
    by_word = client.query_points(NAME, query=models.SparseVector(indices=[last], values=[1.0]), using="bm25").points
    assert [UUID(str(one.id)).int for one in by_word] == [last]
    assert client.count(NAME, models.Filter(must=[has("owner", "o")])).count == len(kept)
    assert len(list((folder / NAME).glob("shard-*"))) == 1
    client.close()


def unfinished(collection: Path) -> None:
    (collection / "collection.json").unlink()


def empty(collection: Path) -> None:
    shutil.rmtree(collection)
    collection.mkdir()


def rubbish(collection: Path) -> None:
    for part in collection.rglob("segment.json"):
        part.write_text("rubbish")


def half_a_manifest(collection: Path) -> None:
    (collection / "collection.json").write_text('{"shape": {"size": 8')


def no_shard(collection: Path) -> None:
    shutil.rmtree(collection / "shard-1")


@pytest.mark.parametrize("break_it", [unfinished, empty, rubbish, half_a_manifest, no_shard])
def test_a_collection_that_cannot_be_read_is_removed_and_said(
    client: EdgeQdrantClient, folder: Path, logs: Logs, break_it: Callable[[Path], None]
) -> None:
    create(client, "whole")
    client.upsert("whole", [point(1)])
    client.upsert(NAME, [point(1)])
    client.close()
    break_it(folder / NAME)
    again = EdgeQdrantClient(folder)
    assert [one.name for one in again.get_collections().collections] == ["whole"]
    assert again.count("whole").count == 1
    assert [line["collection"] for line in logs() if line["level"] == "error"] == [NAME]
    assert not (folder / NAME).exists()
    create(again)
    assert again.count(NAME).count == 0
    again.close()


def test_folders_that_are_no_collections_stay(folder: Path) -> None:
    (folder / "letters").mkdir(parents=True)
    (folder / "letters" / "mother.txt").write_text("dear")
    EdgeQdrantClient(folder).close()
    assert (folder / "letters" / "mother.txt").read_text() == "dear"


@pytest.mark.parametrize("gone", ["collection", "files"])
def test_files_that_go_away_under_it_are_noticed(client: EdgeQdrantClient, folder: Path, logs: Logs, gone: str) -> None:
    client.upsert(NAME, [point(1)])
    shutil.rmtree(folder / NAME if gone == "collection" else folder / NAME / "shard-1")
    with missing():
        client.upsert(NAME, [point(2)])
    with missing():
        found(client)
    assert not client.collection_exists(NAME)
    assert [line["event"] for line in logs()] == ["a collection is missing"]
    create(client)
    client.upsert(NAME, [point(3)])
    assert found(client) == {3}


def test_existence_notices_it_too(client: EdgeQdrantClient, folder: Path) -> None:
    shutil.rmtree(folder / NAME)
    assert client.get_collections().collections == []
    assert not client.collection_exists(NAME)


# --- nothing left of what was deleted


def traces(folder: Path, what: bytes) -> int:
    return sum(file.read_bytes().count(what) for file in folder.rglob("*") if file.is_file())


def test_compacting_leaves_nothing_of_what_was_deleted(client: EdgeQdrantClient, folder: Path) -> None:
    client.upsert(NAME, [point(n, "somebody" if n % 2 else "another", month=n % 12 + 1) for n in range(1, 201)])
    client.delete(NAME, models.FilterSelector(filter=models.Filter(must=[has("owner", "somebody")])))
    before = [(one.id, one.score, one.vector) for one in client.query_points(NAME, query=UNIT, limit=200).points]
    assert traces(folder, b"somebody") > 0
    client.compact()
    assert traces(folder, b"somebody") == 0
    assert traces(folder, b"another") > 0
    after = [(one.id, one.score, one.vector) for one in client.query_points(NAME, query=UNIT, limit=200).points]
    assert sorted(after, key=str) == sorted(before, key=str)
    assert client.count(NAME, models.Filter(must=[has("owner", "another")])).count == 100
    client.close()
    again = EdgeQdrantClient(folder)
    assert again.count(NAME).count == 100
    again.close()


def test_reads_and_writes_go_on_while_it_compacts(client: EdgeQdrantClient) -> None:
    client.upsert(NAME, [point(n) for n in range(1, 101)])
    stop = threading.Event()
    seen: list[int] = []
    written = 100

    def read() -> None:
        while not stop.is_set():
            seen.append(len(found(client)))

    def write() -> None:
        nonlocal written
        while not stop.wait(0.005):
            written += 1
            client.upsert(NAME, [point(written)])

    threads = [threading.Thread(target=one) for one in (read, write)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        client.compact()
    stop.set()
    for thread in threads:
        thread.join()
    assert set(seen) == {100}
    assert client.count(NAME).count == written > 100


def test_it_says_nothing(tmp_path: Path) -> None:
    """The engine prints nothing of its own, not when a shard is let go of under a reader either."""
    code = (
        "import sys; from pathlib import Path; from backend.tests.embedded.qdrant_process import *\n"
        "client = EdgeQdrantClient(Path(sys.argv[1])); create(client); client.upsert(NAME, [point(1)])\n"
        "client.compact(); client.count(NAME); client.delete_collection(NAME); client.close()"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path / "index")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
