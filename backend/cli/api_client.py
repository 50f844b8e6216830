"""The public API as the commands see it: JSON in and out, and every refusal as one clear sentence."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, cast
from uuid import uuid4

import httpx

from backend import __version__
from backend.cli.client_settings import ClientSettings
from backend.cli.failures import CommandFailed, Refused, Unreachable

API = "/api/v1"
PAGE = 100
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 150.0  # a little more than the longest turn a server allows by default
_SILENT_SECONDS = 45.0  # a stream says every 15 seconds that it is still there


class ApiClient:
    """One connection to one server. `user` is the person of a product's own that is spoken for (Numen-User).

    Errors of every method: `Refused` with what the server said, `Unreachable` when nothing answers.
    """

    def __init__(self, settings: ClientSettings, user: str | None = None) -> None:
        self.settings = settings
        headers = [(b"accept", b"application/json"), (b"user-agent", f"numen/{__version__}".encode())]
        if settings.api_key is not None:
            headers.append((b"authorization", f"Bearer {settings.api_key}".encode()))
        if user is not None:
            headers.append((b"numen-user", user.encode()))
        self._http = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
            trust_env=not settings.on_this_machine,  # a proxy does not know this machine
            verify=settings.url.startswith("https"),  # reading all certificates takes longer than most commands
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def get(self, path: str, **params: str | int | None) -> Any:
        """The JSON document at this path below `/api/v1`."""
        return self._document(self._answer("GET", path, params=params))

    def pages(self, path: str, **params: str | int | None) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page."""
        cursor: str | None = None
        while True:
            answer = self._answer("GET", path, params={**params, "limit": PAGE, "cursor": cursor})
            yield from cast("list[dict[str, Any]]", self._document(answer))
            following = answer.links.get("next")
            if following is None:
                return
            cursor = httpx.URL(following["url"]).params["cursor"]

    def post(self, path: str, body: Any = None) -> Any:
        """What a POST answers, or None. Repeating it by accident would do nothing twice."""
        answer = self._answer("POST", path, body=body, headers={"idempotency-key": uuid4().hex})
        return self._document(answer) if answer.content else None

    def patch(self, path: str, body: Any, if_match: str) -> Any:
        """What a PATCH of exactly this version answers."""
        return self._document(self._answer("PATCH", path, body=body, headers={"if-match": f'"{if_match}"'}))

    def delete(self, path: str, if_match: str | None = None) -> Any:
        """What a DELETE, of exactly this version if one is named, answers, or None."""
        answer = self._answer("DELETE", path, headers={"if-match": f'"{if_match}"'} if if_match else None)
        return self._document(answer) if answer.content else None

    @contextmanager
    def stream(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Generator[httpx.Response]:
        """An answer to be read line by line. A broken connection is httpx's `TransportError` here."""
        request = self._request(method, path, body=body, headers={"accept": "text/event-stream", **(headers or {})})
        request.extensions["timeout"]["read"] = _SILENT_SECONDS
        response = self._http.send(request, stream=True)
        try:
            if not response.is_success:
                response.read()
                raise self._refusal(response)
            yield response
        finally:
            response.close()

    def unreachable(self, error: httpx.TransportError) -> Unreachable:
        """The sentence for a person when the server cannot be reached."""
        if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
            return Unreachable(f"The server at {self.settings.url} does not answer in time.")
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            start = "Start it with `numen serve` (or `make run`), or set" if self.settings.on_this_machine else "Check"
            return Unreachable(f"No server answers at {self.settings.url}. {start} NUMEN_URL.")
        return Unreachable(f"The connection to {self.settings.url} broke ({error}).")

    def _answer(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str | int | None] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        try:
            response = self._http.send(self._request(method, path, body=body, params=params, headers=headers))
        except httpx.TransportError as error:
            raise self.unreachable(error) from error
        if not response.is_success:
            raise self._refusal(response)
        return response

    def _request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str | int | None] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Request:
        sent = {name: value for name, value in (params or {}).items() if value is not None}
        try:
            return self._http.build_request(
                method, f"{self.settings.url}{API}{path}", json=body, params=sent or None, headers=headers
            )
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise CommandFailed(f"The address {self.settings.url} cannot be used: {error}. Check NUMEN_URL.") from error

    def _refusal(self, response: httpx.Response) -> CommandFailed:
        problem = _problem(response)
        if problem is None:
            return self._foreign(response)
        detail = str(problem.get("detail") or problem.get("title"))
        errors = cast("list[dict[str, Any]]", problem.get("errors") or [])
        said = [one for one in (_refused_field(one) for one in errors) if one not in detail]
        if said and len(errors) > 1:
            detail = f"{detail} {'; '.join(said)}."
        elif said:
            detail = f"{detail.rstrip('.')}: {said[0]}."
        if response.status_code == 401 and self.settings.api_key is None:
            detail += " Set NUMEN_API_KEY."
        return Refused(detail, response.status_code, problem)

    def _document(self, response: httpx.Response) -> Any:
        try:
            return response.json()
        except ValueError as error:
            raise self._foreign(response) from error

    def _foreign(self, response: httpx.Response) -> CommandFailed:
        kind = response.headers.get("content-type", "no content type")
        return CommandFailed(
            f"{self.settings.url} does not answer like Numen (status {response.status_code}, {kind}). Check NUMEN_URL."
        )


def _problem(response: httpx.Response) -> dict[str, Any] | None:
    if not response.headers.get("content-type", "").startswith("application/problem+json"):
        return None
    try:
        return cast("dict[str, Any]", response.json())
    except json.JSONDecodeError:
        return None


def _refused_field(error: Mapping[str, Any]) -> str:
    place = error.get("pointer") or error.get("name") or "the body"
    return f"{place} {error.get('detail', '')}".strip()
