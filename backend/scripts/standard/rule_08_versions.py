"""Rule 8: version everything."""

from __future__ import annotations

from backend.scripts.standard.door import Body
from backend.scripts.standard.ground import Ground, contract
from backend.scripts.standard.proof import Proof


async def prove(ground: Ground, proof: Proof) -> None:
    """Each change has a version, an author, a summary, a diff and a way back."""
    made = await ground.door.create(contract("Versioned", traits={"empathy": 50}))
    path = f"/agents/{made['id']}"
    await _each_change_is_a_version(ground, proof, path)
    await _history_says_who_and_what(ground, proof, path)
    await _there_is_a_way_back(ground, proof, path, made)


async def _each_change_is_a_version(ground: Ground, proof: Proof, path: str) -> None:
    steps: list[tuple[Body, str]] = [
        ({"traits": {"empathy": 90}}, "1.1.0"),
        ({"traits": {"empathy": 90}}, "1.1.0"),
        ({"name": "Versioned again"}, "1.1.1"),
        ({"configuration": {"temperature": 0.2}, "change_summary": "Calmer"}, "1.2.0"),
    ]
    for change, expected in steps:
        now = await ground.door.ok("PATCH", path, change)
        proof.expect(now["version"] == expected, f"{change} makes version {now['version']}, and should make {expected}")
    proof.show("behaviour makes a minor version, a name a patch, and no change none")


async def _history_says_who_and_what(ground: Ground, proof: Proof, path: str) -> None:
    history = await ground.door.ok("GET", f"{path}/versions")
    found = [one["version"] for one in history]
    proof.require(found == ["1.2.0", "1.1.1", "1.1.0", "1.0.0"], f"the history is {found}")
    authors = {one["created_by"] for one in history}
    proof.expect(authors == {str(ground.home.user_id)}, "a version has no author, or another's")
    summaries = [one["change_summary"] for one in history]
    proof.expect(summaries[0] == "Calmer", "a given summary is not kept")
    proof.expect("empathy" in summaries[2] and "90" in summaries[2], f"{summaries[2]!r} does not say what changed")
    proof.show(f"four versions, each with its author and a summary, such as “{summaries[2]}”")
    found = await ground.door.ok("GET", f"{path}/versions/1.0.0/diff/1.2.0")
    paths = sorted(one["path"] for one in found["changes"])
    proof.expect(paths == ["/configuration/temperature", "/name", "/traits/empathy"], f"the diff names {paths}")
    proof.expect(found["prompt_before"] != found["prompt_after"], "the diff shows one prompt for two versions")
    proof.show("the diff of first and last names the three fields that changed, and both prompts")


async def _there_is_a_way_back(ground: Ground, proof: Proof, path: str, made: Body) -> None:
    back = await ground.door.ok("POST", f"{path}/rollback", {"version": "1.0.0"})
    same = all(back[part] == made[part] for part in ("name", "identity", "traits", "configuration"))
    proof.expect(
        same and back["version"] == "1.3.0", "the rollback does not restore the first contract as a new version"
    )
    found = await ground.door.ok("GET", f"{path}/versions/1.0.0/diff/1.3.0")
    proof.expect(found["changes"] == [] and found["prompt_diff"] == "", "after the rollback something differs")
    old = await ground.door.ok("GET", f"{path}/versions/1.1.0")
    proof.expect(old["contract"]["traits"]["empathy"] == 90, "an old version is not readable as it was")
    proof.show("a rollback is a new version that equals the old one; all versions stay readable")
