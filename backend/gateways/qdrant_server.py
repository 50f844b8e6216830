"""A Qdrant server of one's own as the search index: its client, and what its errors mean."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import urlsplit

from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from backend.errors import IndexMissing, IndexUnavailable, Misconfigured

_KEY_REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


def qdrant_server(url: str, api_key: str | None, seconds: int = 5) -> Callable[[], QdrantClient]:
    """How to make the client of the server at `url`, over REST; `seconds` bound each of its calls.

    Making it connects to nothing. Errors: `Misconfigured`.
    """
    if urlsplit(url).scheme not in {"http", "https"}:
        raise Misconfigured("QDRANT_URL is no address such as http://127.0.0.1:6333")
    # As a header, because the client warns of a key that travels unencrypted: between containers it does.
    headers = {"api-key": api_key} if api_key else {}
    return lambda: QdrantClient(url=url, headers=headers, timeout=seconds, check_compatibility=False)


@contextmanager
def as_index_errors() -> Generator[None]:
    """What a client of Qdrant raises, embedded or over the wire, as `IndexUnavailable` or `IndexMissing`."""
    try:
        yield
    except UnexpectedResponse as answer:
        raise _translated(answer) from answer
    # Rubbish is not always a validation error, and an empty result is an assertion of the client's.
    except (ApiException, QdrantException, OSError, json.JSONDecodeError, UnicodeDecodeError, AssertionError) as error:
        raise IndexUnavailable("The search index of memories does not answer") from error


def _translated(answer: UnexpectedResponse) -> IndexUnavailable:
    if answer.status_code == HTTPStatus.NOT_FOUND:
        return IndexMissing("The search index of memories has no collection: it was wiped")
    if answer.status_code in _KEY_REFUSED:
        return IndexUnavailable("The search index of memories refuses our key: check QDRANT_API_KEY")
    return IndexUnavailable(f"The search index of memories answers with status {answer.status_code}")
