"""Nobody finds what is somebody else's: namespaces that are none, a wildcard, canaries, and an index that lies."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from backend.models.namespace import Namespace
from backend.ports import IndexPoint
from backend.tests.fixtures_logs import Logs
from backend.tests.gateways.memory_indexes import START, House, embedded_house, house_over_the_wire, namespace

THOROUGH = bool(os.environ.get("NUMEN_TEST_THOROUGH"))


@pytest.fixture(params=["embedded", "wire"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[House]:
    over = embedded_house if request.param == "embedded" else house_over_the_wire
    async with over(tmp_path / "index") as house:
        yield house


_UUIDS = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
_OWN = f"{_UUIDS[0]}:{_UUIDS[1]}"


def hostile_namespaces() -> list[str]:
    """Three hundred texts that look like somebody's namespace and are none."""
    odd = [
        "", "*", "%", "_", "**", "*:*", f"{_UUIDS[0]}:*", f"*:{_UUIDS[1]}", f"{_OWN}:*", f"{_OWN}:user:*",
        f"{_OWN}:user:", f"{_OWN}:user", f"{_OWN}:thread", f"{_OWN}:", f":{_OWN}", f"{_OWN}:agent:{_UUIDS[0]}",
        _UUIDS[0], f"{_UUIDS[0]}:", f"{_OWN}:user:{_UUIDS[0]}:thread:{_UUIDS[1]}", f"{_OWN}\n", f"\n{_OWN}",
        f"{_OWN} ", f" {_OWN}", f"{_OWN}\x00", f"{_OWN}:USER:{_UUIDS[0]}", f"{_OWN}:user:{_UUIDS[0][:-1]}A",
        _OWN.replace("-", ""), _OWN.replace("0", "O"), _OWN.replace("0", "０"), _OWN.replace(":", "："),
        _OWN.replace("-", "‑"), "{" + _OWN + "}", f"urn:uuid:{_OWN}", f"{_OWN}|{_OWN}", f"{_OWN},{_OWN}",
        f"{_OWN};{_OWN}", f"{_OWN}/../..", f"{_OWN}?", f"{_OWN}#", "null", "None", "undefined", "true", "0", "[]", "{}",
        json.dumps({"ne": "x"}), json.dumps({"in": ["*"]}), json.dumps({"OR": [{"user_id": "*"}]}),
        json.dumps({"$or": []}), "' OR '1'='1", '" OR ""="', ".*", "^.*$", "[^x]*", "\ud800", "\u202e" + _OWN,
        _OWN + "\u200b", "\ufeff" + _OWN, "İ" * 36, "a" * 100_000,
    ]  # fmt: skip
    made = random.Random(4711)  # noqa: S311 — the same in every process
    marks = ["*", "%", "\x00", "\n", " ", "\u200b", "：", "G", "-", ":", "\u0660", "%2a"]
    full = f"{_OWN}:user:{_UUIDS[0]}"
    while len(odd) < 300:
        place, mark = made.randrange(len(full)), made.choice(marks)
        odd.append(full[:place] + mark + full[place + made.choice([0, 1]) :])
    return [one for one in odd if one != full]


def test_hostile_namespaces_are_refused_before_they_reach_anybody() -> None:
    texts = hostile_namespaces()
    assert len(texts) >= 299
    for text in texts:
        with pytest.raises(ValueError, match="not a namespace"):
            Namespace.parse(text)
    assert str(Namespace.parse(f"{_OWN}:user:{_UUIDS[0]}")) == f"{_OWN}:user:{_UUIDS[0]}"


async def test_a_wildcard_never_reaches_mem0(house: House) -> None:
    """Even where somebody goes around the type, no filter is built: Mem0's `*` would mean everybody."""

    class Everybody(Namespace):
        def __str__(self) -> str:
            return "*"

    await house.keep(namespace(), "secret")
    wild = Everybody(uuid4(), uuid4())
    calls: list[Any] = [house.find("secret", wild), house.index.count(wild), house.index.remove_namespace(wild)]
    for call in calls:
        with pytest.raises(ValueError, match="not a namespace"):
            await call
    assert await house.index.count() == 1


async def test_canaries_of_fifty_tenants(house: House) -> None:
    """Many at once, of everybody, in all scopes, with words that everybody used: nothing foreign comes."""
    tenants = 50
    points: list[IndexPoint] = []
    for tenant in range(tenants):
        for user in (None, 1, 2):
            texts = f"the canary is bird{tenant}", "my password is swordfish", "hello"
            points += await house.points(namespace(tenant, tenant % 7, user), *texts)
    await house.index.put(points)
    owned = {point.id: point.namespace for point in points}
    searches = 5000 if THOROUGH else 250
    made = random.Random(7)  # noqa: S311 — the same in every process

    async def one_search() -> int:
        tenant, user = made.randrange(tenants), made.choice([None, 1, 2])
        wanted = {namespace(tenant, tenant % 7, user), namespace(tenant, tenant % 7, None)}
        words = made.choice([f"canary bird{made.randrange(tenants)}", "password swordfish", "hello", "*", "user_id"])
        span = made.choice([None, (START - timedelta(days=1), START + timedelta(days=1))])
        found = await house.find(words, *wanted, limit=made.choice([1, 5, 100]), said_between=span)
        assert {owned[one] for one in found} <= wanted
        assert all(hit.namespace == owned[hit.id] for hit in found.values())
        return len(found)

    shown = 0
    for _ in range(searches // 25):
        shown += sum(await asyncio.gather(*(one_search() for _ in range(25))))
    assert shown > searches
    assert foreign_hits(house) == 0


async def test_what_an_index_answers_of_others_is_dropped_said_and_counted(tmp_path: Path, logs: Logs) -> None:
    async with house_over_the_wire(tmp_path / "index") as house:
        assert house.server is not None
        await house.keep(namespace(), "one", "two")
        house.server.fault("foreign")
        assert await house.find("one", namespace()) == {}
        assert foreign_hits(house) == 2
        assert [line["level"] for line in logs()] == ["error", "error"]
        house.server.fault(None)
        assert len(await house.find("one", namespace())) == 2


def foreign_hits(house: House) -> float | None:
    return house.metrics.registry.get_sample_value("numen_memory_foreign_hits_total")
