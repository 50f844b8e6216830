"""Rule 1: the contract is king."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from backend.models.traits import Traits
from backend.scripts.default_agents import load_default_agents
from backend.scripts.standard.door import Body, Door
from backend.scripts.standard.ground import Ground, contract
from backend.scripts.standard.proof import Proof

_PLAIN, _STRONG = 50, 95
_TEXTS = ("short_description", "full_description", "character_role", "mission", "interaction_style")


async def prove(ground: Ground, proof: Proof) -> None:
    """One trait changes one line of the prompt; identity goes in literally; no name means anything to the code."""
    await _one_trait_one_line(ground.door, proof)
    await _the_diff_says_the_same(ground.door, proof)
    await _no_name_is_special(ground.door, proof)
    _no_persona_in_code(proof)


def _traits(**others: int) -> dict[str, int]:
    return {**dict.fromkeys(Traits.model_fields, _PLAIN), **others}


async def _one_trait_one_line(door: Door, proof: Proof) -> None:
    plain = (await _prompt(door, contract(traits=_traits()))).splitlines()
    lines: set[int] = set()
    for trait in Traits.model_fields:
        strong = (await _prompt(door, contract(traits=_traits(**{trait: _STRONG})))).splitlines()
        changed = [at for at, (one, other) in enumerate(zip(plain, strong, strict=False)) if one != other]
        alone = len(plain) == len(strong) and len(changed) == 1
        proof.require(alone, f"{trait} changes {len(changed)} lines of the prompt, and should change one")
        numbers = f"{_PLAIN}/100" in plain[changed[0]] and f"{_STRONG}/100" in strong[changed[0]]
        proof.expect(numbers, f"the line of {trait} does not carry its value")
        lines.update(changed)
    proof.expect(len(lines) == len(Traits.model_fields), "two traits share a line of the prompt")
    proof.show(f"{len(lines)} pairs of agents that differ in one trait differ in one line each, that trait's")


async def _the_diff_says_the_same(door: Door, proof: Proof) -> None:
    agent = await door.create(contract(traits=_traits()))
    await door.ok("PATCH", f"/agents/{agent['id']}", {"traits": {"empathy": _STRONG}})
    found = await door.ok("GET", f"/agents/{agent['id']}/versions/1.0.0/diff/1.1.0")
    paths = [one["path"] for one in found["changes"]]
    proof.expect(paths == ["/traits/empathy"], f"the diff of versions names {paths}")
    told = [line for line in found["prompt_diff"].splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    proof.expect(len(told) == 2, f"the diff of prompts has {len(told)} changed lines, and should have two")
    proof.show("the diff endpoint names /traits/empathy and exactly that line")


async def _no_name_is_special(door: Door, proof: Proof) -> None:
    """Agents under the names and texts of the default agents, and one of nonsense: the same but for those texts."""
    nonsense = {text: f"Qx{text}Zz" for text in ("name", *_TEXTS)}
    template = await _prompt(door, _with_texts(nonsense))
    for text, value in nonsense.items():
        proof.expect(value in template, f"the identity's {text} is not in the prompt")
    for shipped in load_default_agents().values():
        own = {"name": shipped.name, **{text: getattr(shipped.identity, text) for text in _TEXTS}}
        expected = template
        for text, value in own.items():
            expected = expected.replace(nonsense[text], value)
        found = await _prompt(door, _with_texts(own))
        proof.expect(found == expected, f"the name or identity of {shipped.name} changes more than its own words")
    proof.show("every text of the identity stands in the prompt, and only there do agents of other names differ")


def _with_texts(texts: Body) -> Body:
    return contract(texts["name"], identity={text: texts[text] for text in _TEXTS})


async def _prompt(door: Door, body: Body) -> str:
    return await door.prompt((await door.create(body))["id"])


def _no_persona_in_code(proof: Proof) -> None:
    words = [word for one in load_default_agents().values() for word in (one.name, one.identity.character_role)]
    sources = list(_sources(files("backend")))
    guilty = [f"{name} names {word}" for name, text in sources for word in words if word in text]
    proof.expect(not guilty, f"a persona in code: {'; '.join(guilty)}")
    proof.show(f"none of {len(sources)} source files names a default agent or its role")


def _sources(folder: Traversable) -> Iterator[tuple[str, str]]:
    for one in folder.iterdir():
        if one.is_dir() and one.name not in ("tests", "__pycache__"):
            yield from _sources(one)
        elif one.name.endswith(".py"):
            yield one.name, one.read_text("utf-8")
