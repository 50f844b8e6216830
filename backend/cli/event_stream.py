"""A run as the client reads it: events one by one, taken up again where a broken connection left them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx

from backend.cli.api_client import ApiClient
from backend.cli.failures import CommandFailed, Refused, Unreachable

TERMINAL = ("message.completed", "run.failed")
WAITING = "run.waiting"
_MOST_FAILURES = 10
_LONGEST_PAUSE = 2.0
_FIRST_PAUSE = 0.1


@dataclass(frozen=True, slots=True)
class Event:
    """One Server-Sent Event with its JSON document."""

    id: str
    type: str
    data: dict[str, Any]


def parse_events(chunks: Iterable[bytes]) -> Iterator[Event]:
    """The events in a `text/event-stream`; comments, and an event that was cut off, are passed over."""
    fields: dict[str, str] = {}
    for line in _lines(chunks):
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name == "data" and name in fields else value
        else:
            if "data" in fields:
                yield Event(fields.get("id", ""), fields.get("event", "message"), json.loads(fields["data"]))
            fields = {}


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    # Not httpx's iter_lines: it also breaks at characters such as U+2028, which an answer may hold.
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode()


class RunStream:
    """A run: iterate over its events, to the last one, whatever happens to the connection.

    A run that waits for a person ends the iteration with `run.waiting`; iterating again goes on from there. Errors
    while iterating: `Refused`, and `Unreachable` when the server does not come back.
    """

    def __init__(self, api: ApiClient, run_id: UUID | None) -> None:
        self.run_id = run_id
        self.reconnected = 0
        self._api = api
        self._last_id: str | None = None

    def __iter__(self) -> Iterator[Event]:
        failures = 0
        last = ""
        while True:
            broken: Exception | None = None
            try:
                for event in self._connection():
                    failures = 0
                    last = event.type
                    yield event
                    if last in TERMINAL:
                        return
                if last == WAITING:  # only as the end of the stream: earlier ones were answered
                    return
            except (httpx.TransportError, Refused) as error:
                if not self._may_come_back(error):
                    raise self._for_people(error) from error
                broken = error
            failures += 1
            self.reconnected += 1
            if failures > _MOST_FAILURES:
                raise self._for_people(broken) from broken
            time.sleep(min(_FIRST_PAUSE * 2**failures, _LONGEST_PAUSE))

    def _may_come_back(self, error: httpx.TransportError | Refused) -> bool:
        """Whether it makes sense to connect again."""
        again = self.run_id is not None or self.reconnected > 0
        if isinstance(error, Refused):
            # The first request, sent again, may find its twin still being worked on; a starting server says 503.
            return again and error.status in (409, 503)
        return again or not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)

    def _for_people(self, error: Exception | None) -> CommandFailed:
        if isinstance(error, httpx.TransportError):
            return self._api.unreachable(error)
        return error if isinstance(error, CommandFailed) else Unreachable("The server ends the stream again and again.")

    def cancel(self) -> None:
        """Stop the run; its last events can still be read."""
        if self.run_id is None:  # interrupted before the answer began: the same request tells which run it is
            next(self._connection(), None)
        try:
            self._api.post(f"/runs/{self.run_id}/cancel")
        except Refused as refused:
            if refused.status != 409:  # it has ended meanwhile
                raise

    def _connection(self) -> Iterator[Event]:
        with self._open() as response:
            if self.run_id is None:
                self.run_id = _run_in(response.headers.get("content-location", ""))
            for event in parse_events(response.iter_bytes()):
                self._last_id = event.id
                if self.run_id is None and "run_id" in event.data:
                    self.run_id = UUID(event.data["run_id"])
                yield event

    def _open(self) -> AbstractContextManager[httpx.Response]:
        headers = {"last-event-id": self._last_id} if self._last_id else {}
        return self._api.stream("GET", f"/runs/{self.run_id}/events", headers=headers)


class ChatTurn(RunStream):
    """A turn of a conversation, which begins with the iteration."""

    def __init__(self, api: ApiClient, agent_id: str, message: str, thread_id: str | None) -> None:
        super().__init__(api, None)
        self._path = f"/agents/{agent_id}/chat/stream"
        self._body = {"message": message} | ({"thread_id": thread_id} if thread_id else {})
        self._operation = uuid4().hex

    def _open(self) -> AbstractContextManager[httpx.Response]:
        if self.run_id is not None:
            return super()._open()
        return self._api.stream("POST", self._path, self._body, {"idempotency-key": self._operation})


def _run_in(location: str) -> UUID | None:
    """The run that `/api/v1/runs/{run_id}/events` names."""
    parts = location.rstrip("/").split("/")
    try:
        return UUID(parts[parts.index("runs") + 1])
    except (ValueError, IndexError):
        return None
