"""The SDK's client as every gateway here uses it: no retries of its own, no redirects, bounded answers."""

from __future__ import annotations

import ssl
from functools import cache

import httpx2
import openai

from backend.errors import Misconfigured
from backend.gateways.guarded_bytes import guard

CONNECTIONS = 256
KEEP_ALIVE_SECONDS = 15.0
OFFICIAL_HOST = "api.openai.com"


def openai_client(
    provider: str, *, base_url: str, key: str, key_setting: str, connect_seconds: float
) -> openai.AsyncOpenAI:
    """A client for one base URL and key; `provider` and `key_setting` are for messages. Errors: `Misconfigured`."""
    if not key.isascii() or not key.isprintable() or " " in key:
        raise Misconfigured(f"{key_setting} holds characters that no key has")
    try:
        url = httpx2.URL(base_url)
    except httpx2.InvalidURL as exc:
        raise Misconfigured(f"the base URL of {provider} is no URL: {exc}") from exc
    if url.scheme not in {"http", "https"} or not url.host:
        raise Misconfigured(f"the base URL of {provider} must begin with http:// or https://")
    transport = openai.DefaultAioHttpClient(
        # The transport's `read` would count between two pieces; the gateways count whole answers instead.
        timeout=httpx2.Timeout(None, connect=connect_seconds, pool=connect_seconds),
        limits=httpx2.Limits(max_connections=CONNECTIONS, keepalive_expiry=KEEP_ALIVE_SECONDS),
        follow_redirects=False,
        verify=_trusted(),
        event_hooks={"response": [guard]},
    )
    client = openai.AsyncOpenAI(
        base_url=url,
        api_key=key or "none",
        max_retries=0,
        http_client=transport,
        default_headers={"Accept-Encoding": "identity"},
    )
    if url.host != OFFICIAL_HOST:
        # The SDK takes these from the environment; they are nobody else's business.
        client.organization = client.project = None
    return client


@cache
def _trusted() -> ssl.SSLContext:
    """The certificates we trust, read once: that takes longer than all the rest of making a client."""
    return httpx2.create_ssl_context()
