"""A real HTTP server that speaks the part of Qdrant's REST API that our client calls, over the embedded engine.

It lives in threads of its own. What it should do wrong is said with `fault`.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel
from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse

from backend.embedded.qdrant import EdgeQdrantClient

FaultKind = Literal["dead", "slow", "500", "429", "rubbish", "empty", "foreign"]
FOREIGN = "00000000-0000-4000-8000-000000000001:00000000-0000-4000-8000-000000000002"


class QdrantServer:
    """Use as `with QdrantServer(folder, api_key="…") as server`. `requests` are (method, path) as they came."""

    def __init__(self, folder: Path, api_key: str | None = None) -> None:
        self.engine = EdgeQdrantClient(folder)
        self.api_key = api_key
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[str] = []
        self.fault_kind: FaultKind | None = None
        self.let_go = threading.Event()
        self._port = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}"

    def fault(self, kind: FaultKind | None) -> None:
        """Do this wrong from now on; None is being well again."""
        self.let_go.set()
        self.let_go = threading.Event()
        if kind == "dead":
            self._hang_up()
        elif self._server is None:
            self._listen()
        self.fault_kind = kind

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go.set()
        self._hang_up()
        self.engine.close()

    def _listen(self) -> None:
        server = self

        class Handler(_Handler):
            owner = server

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), name="qdrant-server", daemon=True).start()

    def _hang_up(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Handler(BaseHTTPRequestHandler):
    owner: QdrantServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 — the names that http.server looks for

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path.partition("?")[0]
        self.owner.requests.append((self.command, path))
        self.owner.bodies.append(body.decode())
        if self._faulty():
            return
        if self.owner.api_key is not None and self.headers.get("api-key") != self.owner.api_key:
            self._send(401, "Must provide an API key or an Authorization bearer token")
            return
        for method, pattern, answer in _ROUTES:
            found = re.fullmatch(pattern, path)
            if method == self.command and found:
                self._answer(answer, found, json.loads(body or b"null"))
                return
        self._send(404, json.dumps({"status": {"error": f"no such route: {self.command} {path}"}}))

    def _answer(self, answer: Callable[..., Any], found: re.Match[str], body: Any) -> None:
        try:
            result = answer(self.owner.engine, *found.groups(), *([] if body is None else [body]))
        except UnexpectedResponse as refusal:
            error = refusal.content.decode()
            self._send(refusal.status_code or 500, json.dumps({"status": {"error": error}, "time": 0.0}))
            return
        text = json.dumps({"result": _plain(result), "status": "ok", "time": 0.001})
        if self.owner.fault_kind == "foreign":
            text = re.sub(r'"user_id": "[^"]*"', f'"user_id": "{FOREIGN}"', text)
        self._send(200, text)

    def _faulty(self) -> bool:
        match self.owner.fault_kind:
            case "slow":
                self.owner.let_go.wait(30)
                self.close_connection = True
            case "500":
                self._send(500, '{"status": {"error": "Service internal error"}, "time": 0.0}')
            case "429":
                self._send(429, '{"status": {"error": "Too many"}}', {"Retry-After": "3"})
            case "rubbish":
                self._send(200, "<html>It works!</html>")
            case "empty":
                self._send(200, '{"result": null, "status": "ok", "time": 0.0}')
            case _:
                return False
        return True

    def _send(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _plain(result: Any) -> Any:
    if isinstance(result, BaseModel):
        return result.model_dump(mode="json", by_alias=True, warnings=False)
    if isinstance(result, list):
        return [_plain(one) for one in result]  # pyright: ignore[reportUnknownVariableType]
    return result


# --- the calls -------------------------------------------------------------------------------------------


def _collections(engine: EdgeQdrantClient) -> Any:
    return engine.get_collections()


def _exists(engine: EdgeQdrantClient, name: str) -> Any:
    return {"exists": engine.collection_exists(name)}


def _create(engine: EdgeQdrantClient, name: str, body: Any) -> Any:
    wanted = models.CreateCollection.model_validate(body)
    assert isinstance(wanted.vectors, models.VectorParams)
    return engine.create_collection(
        name,
        vectors_config=wanted.vectors,
        sparse_vectors_config=wanted.sparse_vectors,
        hnsw_config=wanted.hnsw_config,
    )


def _drop(engine: EdgeQdrantClient, name: str) -> Any:
    return engine.delete_collection(name)


def _index_field(engine: EdgeQdrantClient, name: str, body: Any) -> Any:
    wanted = models.CreateFieldIndex.model_validate(body)
    return engine.create_payload_index(name, wanted.field_name, wanted.field_schema)


def _upsert(engine: EdgeQdrantClient, name: str, body: Any) -> Any:
    return engine.upsert(name, models.PointsList.model_validate(body).points)


def _delete(engine: EdgeQdrantClient, name: str, body: Any) -> Any:
    chosen = models.PointIdsList if "points" in body else models.FilterSelector
    return engine.delete(name, chosen.model_validate(body))


def _query(engine: EdgeQdrantClient, name: str, body: Any) -> Any:
    return engine.query_batch_points(name, models.QueryRequestBatch.model_validate(body).searches)


def _scroll(engine: EdgeQdrantClient, name: str, body: Any) -> Any:
    wanted = models.ScrollRequest.model_validate(body)
    points, following = engine.scroll(
        name,
        scroll_filter=wanted.filter,
        limit=wanted.limit or 10,
        offset=wanted.offset,
        with_payload=wanted.with_payload or False,
        with_vectors=wanted.with_vector or False,
    )
    return {"points": _plain(points), "next_page_offset": None if following is None else str(following)}


def _retrieve(engine: EdgeQdrantClient, name: str, body: Any) -> Any:
    wanted = models.PointRequest.model_validate(body)
    return engine.retrieve(
        name, wanted.ids, with_payload=wanted.with_payload or False, with_vectors=wanted.with_vector or False
    )


def _count(engine: EdgeQdrantClient, name: str, body: Any) -> Any:
    wanted = models.CountRequest.model_validate(body)
    return engine.count(name, count_filter=wanted.filter, exact=bool(wanted.exact))


_ONE = r"/collections/([^/]+)"
_ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("GET", "/collections", _collections),
    ("GET", f"{_ONE}/exists", _exists),
    ("PUT", _ONE, _create),
    ("DELETE", _ONE, _drop),
    ("PUT", f"{_ONE}/index", _index_field),
    ("PUT", f"{_ONE}/points", _upsert),
    ("POST", f"{_ONE}/points/delete", _delete),
    ("POST", f"{_ONE}/points/query/batch", _query),
    ("POST", f"{_ONE}/points/scroll", _scroll),
    ("POST", f"{_ONE}/points/count", _count),
    ("POST", f"{_ONE}/points", _retrieve),
]
