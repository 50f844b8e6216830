"""Say something in one thread, ask about it in another, and read the receipt that explains the answer.

    python examples/memory.py

Everything here works offline. NUMEN_URL says where the server is, NUMEN_API_KEY who you are (not needed in development
mode).
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import httpx

URL = os.environ.get("NUMEN_URL", "http://127.0.0.1:8000")
KEY = os.environ.get("NUMEN_API_KEY")
CONTRACT = Path(__file__).parent / "contracts" / "minimal.json"


def say(http: httpx.Client, agent_id: str, message: str) -> dict[str, Any]:
    """One turn in a thread of its own."""
    reply = http.post(f"/agents/{agent_id}/chat", json={"message": message}).raise_for_status().json()
    print(f"you, in thread {reply['thread_id'][:8]}: {message}")
    print(f"agent: {reply['response']}")
    return reply


def wait_until_indexed(http: httpx.Client, agent_id: str) -> None:
    """A memory is kept together with the answer, and can be found a moment later."""
    while not all(one["indexed_at"] for one in http.get(f"/agents/{agent_id}/memories").raise_for_status().json()):
        time.sleep(0.05)


def show(receipt: dict[str, Any]) -> None:
    """What memory gave an answer, and why."""
    print(f"memory: {receipt['memory']}, confidence {receipt['confidence']:.2f}")
    for one in receipt["recalled"]:
        why = ", ".join(f"{name} {one['parts'][name]:.2f}" for name in ("semantic", "recency", "reinforcement"))
        print(f"  {one['rank']}. {one['text'] or '(forgotten)'} ({why})")
    for one in receipt["near_misses"]:
        print(f"  nearly: {one['text'] or '(forgotten)'} ({one['reason']})")


def main() -> None:
    """From what is said to why it is remembered, and to forgetting it."""
    headers = {"authorization": f"Bearer {KEY}"} if KEY else {}
    with httpx.Client(base_url=f"{URL}/api/v1", headers=headers, timeout=150) as http:
        agent = http.post("/agents", json=json.loads(CONTRACT.read_text("utf-8"))).raise_for_status().json()
        agent_id = agent["id"]

        say(http, agent_id, "My boat is called Heron, and it lies in the harbour of Faro.")
        wait_until_indexed(http, agent_id)
        answer = say(http, agent_id, "Where does my boat lie?")

        receipt_url = f"/messages/{answer['message_id']}/recall"
        show(http.get(receipt_url).raise_for_status().json())

        # Praise confirms exactly the memories that the answer was given.
        feedback_url = f"/threads/{answer['thread_id']}/messages/{answer['message_id']}/feedback"
        http.put(feedback_url, json={"score": 1}).raise_for_status()
        praised = http.get(receipt_url, params={"as_of": "now"}).raise_for_status().json()
        first = praised["recalled"][0]
        before, now = first["parts"]["reinforcement"], first["parts_now"]["reinforcement"]
        print(f"after praise: reinforcement {before:.2f} -> {now:.2f}, rank {first['rank']} -> {first['rank_now']}")

        found = http.get(f"/agents/{agent_id}/memories/search", params={"q": "boat"}).raise_for_status().json()
        for one in found:
            print(f"found: {one['memory']['text']} (relevance {one['parts']['relevance']:.2f})")

        for one in found:
            http.delete(f"/memories/{one['memory']['id']}").raise_for_status()
        show(http.get(receipt_url).raise_for_status().json())
        http.delete(f"/agents/{agent_id}").raise_for_status()


if __name__ == "__main__":
    main()
