"""Be interviewed, agree to the plan, and read what is written from it; then the same code in another field.

    python examples/session.py

First with the two default agents, then with a tutor and a teacher whose contracts lie beside this program. What is
asked and what is written stands in their contracts. Everything here works offline. NUMEN_URL says where the server is,
NUMEN_API_KEY who you are (not needed in development mode).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

URL = os.environ.get("NUMEN_URL", "http://127.0.0.1:8000")
KEY = os.environ.get("NUMEN_API_KEY")
CONTRACTS = Path(__file__).parent / "contracts"
TO_A_COACH = (
    "I want to sleep through the night and stop worrying about work.",
    "Calm, please, and a woman's voice.",
    "It is about sleep.",
    "I love the sound of the sea.",
    "Make it gentle instead.",
    "Yes, that is right.",
)
TO_A_TUTOR = (
    "I want to order food and to chat with my neighbours.",
    "I know the basics.",
    "Let us practise speaking.",
    "Cooking and football.",
    "No, that is all.",
    "Yes.",
)


def events(answer: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    """(type, document) of each event in a `text/event-stream`."""
    rest = ""
    for text in answer.iter_text():
        *blocks, rest = (rest + text).split("\n\n")
        for block in blocks:
            fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
            if "data" in fields:
                yield fields["event"], json.loads(fields["data"])


def hold(http: httpx.Client, agents: dict[str, str], answers: tuple[str, ...]) -> None:
    """One session from its first question to its script; `agents` may be empty: then it is the default ones."""
    session = http.post("/sessions", json=agents).raise_for_status().json()
    print(f"agent: {session['response']}")
    url = f"/sessions/{session['id']}"
    for said in answers:
        session = http.post(f"{url}/messages", json={"message": said}).raise_for_status().json()
        print(f"you: {said}\nagent ({session['stage']}): {session['response']}")
    print(f"plan: {json.dumps(session['plan'])}")

    early = http.post(f"{url}/therapy")
    print(f"without consent: {early.status_code} {early.json()['code']}")
    http.post(f"{url}/consent", json={"accepted": True}).raise_for_status()
    run = http.post(f"{url}/therapy").raise_for_status().json()
    with http.stream("GET", f"/runs/{run['id']}/events") as answer:
        for kind, data in events(answer.raise_for_status()):
            if kind == "part.completed":
                print(f"written: {data['name']}, {data['words']} words, {data['pauses']} pauses")

    script = http.get(f"{url}/script").raise_for_status().json()
    part = script["parts"][0]
    print(f"{part['name']} begins: {part['text'][:60]}")
    print(f"its first pause: {part['pauses'][0]['seconds']:g} seconds after {part['pauses'][0]['offset']} characters")
    session = http.get(url).raise_for_status().json()
    lines = http.get(f"{url}/transcript").raise_for_status().json()["lines"]
    print(f"{session['status']}; the transcript has {len(lines)} lines\n")


def main() -> None:
    """Two sessions, in two fields."""
    headers = {"authorization": f"Bearer {KEY}"} if KEY else {}
    with httpx.Client(base_url=f"{URL}/api/v1", headers=headers, timeout=150) as http:
        hold(http, {}, TO_A_COACH)

        agents: dict[str, str] = {}
        for role, name in (("intake_agent_id", "tutor_placement_interview"), ("therapy_agent_id", "tutor_lesson")):
            contract = json.loads((CONTRACTS / f"{name}.json").read_text("utf-8"))
            agents[role] = http.post("/agents", json=contract).raise_for_status().json()["id"]
        hold(http, agents, TO_A_TUTOR)
        for agent_id in agents.values():
            http.delete(f"/agents/{agent_id}").raise_for_status()


if __name__ == "__main__":
    main()
