"""Make an agent, change one trait, look at what that did to its prompt, and go back.

    python examples/version_and_rollback.py

NUMEN_URL says where the server is, NUMEN_API_KEY who you are (not needed in development mode).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import httpx

URL = os.environ.get("NUMEN_URL", "http://127.0.0.1:8000")
KEY = os.environ.get("NUMEN_API_KEY")
CONTRACT = Path(__file__).parent / "contracts" / "minimal.json"


def main() -> None:
    """The life of an agent's contract, from 1.0.0 to 1.2.0, which equals 1.0.0."""
    headers = {"authorization": f"Bearer {KEY}"} if KEY else {}
    with httpx.Client(base_url=f"{URL}/api/v1/agents", headers=headers) as http:
        agent = http.post("", json=json.loads(CONTRACT.read_text("utf-8"))).raise_for_status().json()
        print(f"{agent['name']} {agent['version']}: empathy {agent['traits']['empathy']}")
        path = f"/{agent['id']}"

        # If-Match: only if nobody changed it since we read it.
        change = {"traits": {"empathy": 90}}
        changed = http.patch(path, json=change, headers={"if-match": f'"{agent["version"]}"'}).raise_for_status().json()
        print(f"{changed['name']} {changed['version']}: empathy {changed['traits']['empathy']}")

        diff = http.get(f"{path}/versions/1.0.0/diff/1.1.0").raise_for_status().json()
        print(diff["prompt_diff"])

        back = http.post(f"{path}/rollback", json={"version": "1.0.0"}).raise_for_status().json()
        print(f"{back['name']} {back['version']}: empathy {back['traits']['empathy']}")

        for version in http.get(f"{path}/versions").raise_for_status().json():
            print(f"  {version['version']}  {version['created_at'][:19]}  {version['change_summary']}")

        http.delete(path).raise_for_status()
        archived = http.get(path).raise_for_status().json()
        print(f"{archived['name']} is {archived['status']}")


if __name__ == "__main__":
    main()
