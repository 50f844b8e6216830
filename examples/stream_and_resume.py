"""Read an answer while it is written, lose the connection in the middle, and take it up again without a gap.

    python examples/stream_and_resume.py "IntakeAgent - Manifestation Coach" "Tell me about yourself."

The run belongs to the server: it goes on while nobody listens. Every event has an id, and `Last-Event-ID` continues
after it. NUMEN_URL says where the server is, NUMEN_API_KEY who you are (not needed in development mode).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import httpx

URL = os.environ.get("NUMEN_URL", "http://127.0.0.1:8000")
KEY = os.environ.get("NUMEN_API_KEY")


def events(answer: httpx.Response) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(id, type, document) of each event in a `text/event-stream`."""
    rest = ""
    for text in answer.iter_text():
        *blocks, rest = (rest + text).split("\n\n")
        for block in blocks:
            fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
            if "data" in fields:
                yield fields["id"], fields["event"], json.loads(fields["data"])


def main(name: str = "IntakeAgent - Manifestation Coach", message: str = "Tell me about yourself.") -> None:
    """One turn, read over two connections."""
    headers = {"authorization": f"Bearer {KEY}"} if KEY else {}
    with httpx.Client(base_url=f"{URL}/api/v1", headers=headers, timeout=150) as http:
        agent = http.get("/agents", params={"q": name, "limit": 1}).raise_for_status().json()[0]

        with http.stream("POST", f"/agents/{agent['id']}/chat/stream", json={"message": message}) as answer:
            last_id, kind, started = next(events(answer.raise_for_status()))
            print(f"{kind}: run {started['run_id']}")
        print(f"connection closed after event {last_id}")

        text = ""
        resume = {"last-event-id": last_id}
        with http.stream("GET", f"/runs/{started['run_id']}/events", headers=resume) as answer:
            for last_id, kind, data in events(answer.raise_for_status()):
                print(f"{kind} {last_id}: {data.get('text', '')}")
                text += data.get("text", "")

        run = http.get(f"/runs/{started['run_id']}").raise_for_status().json()
    print(f"{run['status']}; the pieces are the whole answer: {text == run['text']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
