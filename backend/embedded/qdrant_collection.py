"""One collection of the embedded search engine: a folder with a shard in it and a manifest that says which."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import qdrant_edge as edge

MANIFEST = "collection.json"
_PAGE = 1000
_DISTANCES = {
    "Cosine": edge.Distance.Cosine,
    "Dot": edge.Distance.Dot,
    "Euclid": edge.Distance.Euclid,
    "Manhattan": edge.Distance.Manhattan,
}
_DATATYPES = {"float32": edge.VectorStorageDatatype.Float32, "float16": edge.VectorStorageDatatype.Float16}

T = TypeVar("T")


class EngineFailed(Exception):
    """The engine refused or failed; the text is its own."""


class CollectionLost(Exception):
    """The files of a collection are gone, or are not what the engine can read."""


class EngineCall:
    """Around every call of the engine, which raises bare `Exception`s: they become `EngineFailed`, others pass."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is Exception:
            raise EngineFailed(str(error)) from error


@dataclass(frozen=True, slots=True)
class FieldIndex:
    """An index over one field of the payload."""

    type: Literal["keyword", "datetime"]
    is_tenant: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """What a collection holds: unnamed dense vectors, sparse vectors by name (with IDF), indexed fields."""

    size: int
    distance: str
    datatype: str
    sparse: tuple[str, ...] = ()
    fields: Mapping[str, FieldIndex] = field(default_factory=dict[str, FieldIndex])

    def config(self) -> edge.EdgeConfig:
        """The same for the engine. Errors: `KeyError` for a distance or datatype that is not known."""
        dense = edge.EdgeVectorParams(
            size=self.size, distance=_DISTANCES[self.distance], datatype=_DATATYPES[self.datatype]
        )
        sparse = {name: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf) for name in self.sparse}
        return edge.EdgeConfig(vectors={"": dense}, sparse_vectors=sparse or None)

    @classmethod
    def parse(cls, stored: Mapping[str, Any]) -> Shape:
        """A shape out of a manifest. Errors: `KeyError`, `TypeError`."""
        fields = {name: FieldIndex(**one) for name, one in stored["fields"].items()}
        return cls(stored["size"], stored["distance"], stored["datatype"], tuple(stored["sparse"]), fields)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A shard, and the file by which it is seen whether its folder is still the one that was opened."""

    shard: edge.EdgeShard
    folder: Path
    inode: int

    @classmethod
    def of(cls, shard: edge.EdgeShard, folder: Path) -> _Opened:
        return cls(shard, folder, (folder / "edge_config.json").stat().st_ino)

    def is_there(self) -> bool:
        try:
            return (self.folder / "edge_config.json").stat().st_ino == self.inode
        except FileNotFoundError:
            return False


class EdgeCollection:
    """A collection that is open. Reads run side by side; writes one after the other, each on disk when it returns."""

    def __init__(self, folder: Path, shape: Shape, opened: _Opened) -> None:
        self.folder = folder
        self.shape = shape
        self._opened = opened
        self._writing = threading.Lock()

    @classmethod
    def create(cls, folder: Path, shape: Shape) -> EdgeCollection:
        """A new, empty one. The manifest comes last: a folder without one was never finished."""
        shutil.rmtree(folder, ignore_errors=True)
        made = _make_shard(folder / "shard-1", shape)
        _write_manifest(folder, shape, made.folder)
        return cls(folder, shape, made)

    @classmethod
    def open(cls, folder: Path) -> EdgeCollection:
        """One that was made before. Shards that a killed process left beside it are removed.

        Errors: `CollectionLost`.
        """
        try:
            stored = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            shape, shard = Shape.parse(stored["shape"]), folder / Path(stored["shard"]).name
            with EngineCall():
                opened = _Opened.of(edge.EdgeShard.load(str(shard)), shard)
        except (OSError, ValueError, KeyError, TypeError, EngineFailed) as error:
            raise CollectionLost(f"{folder.name}: {error}") from error
        for other in folder.glob("shard-*"):
            if other != shard:
                shutil.rmtree(other, ignore_errors=True)
        return cls(folder, shape, opened)

    def read(self, ask: Callable[[edge.EdgeShard], T]) -> T:
        """What the engine answers. Errors: `CollectionLost`, `EngineFailed`."""
        with EngineCall():
            return ask(self._present().shard)

    def write(self, operation: edge.UpdateOperation) -> None:
        """Apply it, and wait until it is on disk: that also lets the engine shorten its log of writes.

        Errors: `CollectionLost`, `EngineFailed`.
        """
        with self._writing, EngineCall():
            shard = self._present().shard
            shard.update(operation)
            shard.flush()

    def add_field(self, name: str, index: FieldIndex) -> None:
        """Index a field of the payload, if it is not indexed already."""
        if self.shape.fields.get(name) == index:
            return
        self.write(_field_operation(name, index))
        with self._writing:
            self.shape = replace(self.shape, fields={**self.shape.fields, name: index})
            _write_manifest(self.folder, self.shape, self._opened.folder)

    def compact(self) -> None:
        """Write what is there into a new shard and remove the old one, with everything deleted that it still holds.

        Reads go on meanwhile, writes wait: about a second for 20,000 points. Errors: `CollectionLost`, `EngineFailed`.
        """
        with self._writing, EngineCall():
            old = self._present()
            number = int(old.folder.name.rpartition("-")[2]) + 1
            new = _make_shard(self.folder / f"shard-{number}", self.shape)
            _copy(old.shard, new.shard)
            new.shard.flush()
            _write_manifest(self.folder, self.shape, new.folder)
            self._opened = new
        # Not closed: whoever still reads it holds it, and the engine lets go of it after the last of them.
        shutil.rmtree(old.folder)

    def remove(self) -> None:
        """Take the collection away, with its folder."""
        with self._writing, EngineCall():
            (self.folder / MANIFEST).unlink(missing_ok=True)
            self._opened.shard.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """Let go of it, everything being on disk."""
        with self._writing, EngineCall():
            self._opened.shard.close()

    def is_there(self) -> bool:
        """Whether its files are still those that were opened."""
        return self._opened.is_there()

    def _present(self) -> _Opened:
        opened = self._opened
        while not opened.is_there():
            if opened is self._opened:  # else it was compacted in this moment
                raise CollectionLost(f"{self.folder.name}: its files were removed while it was open")
            opened = self._opened
        return opened


def is_collection(folder: Path) -> bool:
    """Whether a folder is a collection, or what a killed process left of one. Other folders are not ours to remove."""
    if not folder.is_dir():
        return False
    return (folder / MANIFEST).exists() or all(one.name.startswith(("shard-", MANIFEST)) for one in folder.iterdir())


def _make_shard(folder: Path, shape: Shape) -> _Opened:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with EngineCall():
        shard = edge.EdgeShard.create(str(folder), shape.config())
        for name, index in shape.fields.items():
            shard.update(_field_operation(name, index))
        shard.flush()
    return _Opened.of(shard, folder)


def _field_operation(name: str, index: FieldIndex) -> edge.UpdateOperation:
    if index.type == "keyword":
        return edge.UpdateOperation.create_field_index(name, edge.KeywordIndexParams(is_tenant=index.is_tenant))
    return edge.UpdateOperation.create_field_index(name, edge.PayloadSchemaType.Datetime)


def _copy(old: edge.EdgeShard, new: edge.EdgeShard) -> None:
    following: edge.PointId | None = None
    while True:
        records, following = old.scroll(
            edge.ScrollRequest(limit=_PAGE, offset=following, with_payload=True, with_vector=True)
        )
        points = [edge.Point(one.id, one.vector or {}, one.payload or {}) for one in records]
        new.update(edge.UpdateOperation.upsert_points(points))
        if following is None:
            return


def _write_manifest(folder: Path, shape: Shape, shard: Path) -> None:
    stored = {"shape": asdict(shape), "shard": shard.name}
    temporary = folder / f"{MANIFEST}.new"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(stored, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / MANIFEST)
    place = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)
