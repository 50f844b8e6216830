"""Say one thing to an agent and print its answer. Needs nothing but Python.

    python examples/chat_once.py "IntakeAgent - Manifestation Coach" "Hello, who are you?"

NUMEN_URL says where the server is, NUMEN_API_KEY who you are (not needed in development mode).
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

URL = os.environ.get("NUMEN_URL", "http://127.0.0.1:8000")
KEY = os.environ.get("NUMEN_API_KEY")


def call(method: str, path: str, body: object = None) -> Any:
    """The JSON answer of one request to the API; an error status is raised as `urllib.error.HTTPError`."""
    request = Request(f"{URL}/api/v1{path}", method=method, headers={"content-type": "application/json"})  # noqa: S310 — the address is yours
    if KEY:
        request.add_header("authorization", f"Bearer {KEY}")
    if body is not None:
        request.data = json.dumps(body).encode()
    with urlopen(request) as answer:  # noqa: S310 — the address is yours
        return json.load(answer)


def main(name: str = "IntakeAgent - Manifestation Coach", message: str = "Hello, who are you?") -> None:
    """One turn in a new thread."""
    agent = call("GET", f"/agents?q={quote(name)}&limit=1")[0]
    reply = call("POST", f"/agents/{agent['id']}/chat", {"message": message})
    print(f"you: {message}")
    print(f"{agent['name']}: {reply['response']}")
    print(f"(by {reply['metadata']['model']} in {reply['metadata']['latency_ms']} ms, thread {reply['thread_id']})")


if __name__ == "__main__":
    main(*sys.argv[1:])
