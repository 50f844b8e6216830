"""Paging headers: how many there are in all, and where the next page is."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from backend.models.page import Cursor


def add_page_headers(response: Response, request: Request, total: int, following: Cursor | None = None) -> Response:
    """X-Total-Count, and Link with the address of the next page (RFC 8288) when there is one."""
    response.headers["x-total-count"] = str(total)
    if following is not None:
        kept = [(name, value) for name, value in request.query_params.multi_items() if name not in ("offset", "cursor")]
        query = urlencode([*kept, ("cursor", following.encode())])
        response.headers["link"] = f'<{request.scope["path"]}?{query}>; rel="next"'
    return response
