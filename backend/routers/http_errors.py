"""Errors that only HTTP knows: what was wrong with the message itself, before any use case saw it.

NumenError
├── MalformedUrl             percent-encoding that is none, bytes that are no UTF-8, characters no address of ours has
├── MalformedBody            a body that is no JSON in UTF-8
├── BodyTooLarge             more than the limit
├── UnsupportedMedia         a content type or encoding that the route does not take
├── NotAcceptable            the client takes no media type that we have
├── RangeNotSatisfiable      the part that was asked for lies behind the end
├── RequestTimeout           sent too slowly
├── MalformedRequest         not HTTP
├── HeaderTooLarge           more header than we read
├── MethodNotAllowed         the address exists, the method does not
├── UpgradeRequired          the address is a WebSocket's, and this was no handshake of one
├── NotAcceptedByFramework   anything else the framework refuses; carries its own status
├── NotFound
│   ├── RouteNotFound        no such address
│   └── ProblemTypeNotFound  no such kind of problem
└── Unavailable
    └── NotReady             a part that every request needs is away
"""

from __future__ import annotations

from dataclasses import dataclass

from backend.errors import FieldError, NotFound, NumenError, Unavailable


@dataclass(frozen=True, slots=True)
class ParameterError(FieldError):
    """One refused parameter: `location` is path, query, header or cookie; `pointer` stays empty."""

    location: str = ""
    name: str = ""


class MalformedUrl(NumenError):
    """The address cannot be read."""

    code, title = "malformed-url", "The address cannot be read"


class MalformedBody(NumenError):
    """The body is no JSON."""

    code, title = "malformed-json", "The body is not valid JSON"


class BodyTooLarge(NumenError):
    """The body is over the limit."""

    code, title = "body-too-large", "The body is too large"


class UnsupportedMedia(NumenError):
    """The body is of another kind than the route takes."""

    code, title = "unsupported-media-type", "This kind of body is not taken here"


class NotAcceptable(NumenError):
    """The client takes no media type that we have."""

    code, title = "not-acceptable", "There is no such representation"


class RangeNotSatisfiable(NumenError):
    """The part that was asked for lies behind the end; `length` is where that is."""

    code, title = "range-not-satisfiable", "There is no such part"


class RequestTimeout(NumenError):
    """The request did not arrive in time."""

    code, title = "request-timeout", "The request was sent too slowly"


class MalformedRequest(NumenError):
    """What arrived is not HTTP."""

    code, title = "malformed-request", "This is not valid HTTP"


class HeaderTooLarge(NumenError):
    """The header is over the limit."""

    code, title = "header-too-large", "The header is too large"


class RouteNotFound(NotFound):
    """Nothing answers at this address."""

    code, title = "route-not-found", "There is nothing at this address"


class MethodNotAllowed(NumenError):
    """The address exists, the method does not."""

    code, title = "method-not-allowed", "This address does not take this method"


class UpgradeRequired(NumenError):
    """The address is a WebSocket's, and this was no handshake of one."""

    code, title = "upgrade-required", "This address is a WebSocket's"


class NotAcceptedByFramework(NumenError):
    """A refusal of the web framework that has no name of its own here; `status` is its status."""

    code, title = "refused", "The request was refused"

    def __init__(self, detail: str, status: int) -> None:
        super().__init__(detail)
        self.status = status


class ProblemTypeNotFound(NotFound):
    """There is no kind of problem with this code."""

    code, title = "problem-type-not-found", "No such kind of problem"


class NotReady(Unavailable):
    """Something that every request needs is away; `dependencies` says what."""

    code, title = "not-ready", "The server is not ready"
