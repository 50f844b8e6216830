"""Prove the ten rules, one after the other, and count."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import UUID

import httpx

from backend.container import connect, open_logins
from backend.errors import Misconfigured, NumenError
from backend.scripts.standard import (
    rule_01_contract,
    rule_02_database,
    rule_03_memory,
    rule_04_threads,
    rule_05_validation,
    rule_06_one_truth,
    rule_07_tenants,
    rule_08_versions,
    rule_09_lifecycle,
    rule_10_surface,
)
from backend.scripts.standard.ground import Ground, scratch_tenant, until
from backend.scripts.standard.mirror_comparison import differing_agents
from backend.scripts.standard.proof import Proof, Unproved
from backend.scripts.standard.rule import Rule, Verdict
from backend.settings import Settings
from backend.stores.database import Database
from backend.stores.schema import look_at_schema

POINTS = 10
Made = list[tuple[UUID, list[UUID]]]
"""Each scratch tenant with the agents that it had."""

_CONNECTIONS = 4
# What an answer of another shape than expected raises in the proofs, which read it without looking twice.
_UNEXPECTED = (LookupError, TypeError, ValueError, AttributeError, OSError)

RULES = (
    Rule(1, "The contract is king", rule_01_contract.prove),
    Rule(2, "Database-backed from birth", rule_02_database.prove),
    Rule(3, "Memory is mandatory", rule_03_memory.prove),
    Rule(4, "Threads are automatic", rule_04_threads.prove),
    Rule(5, "Validation before creation", rule_05_validation.prove),
    Rule(6, "One source of truth", rule_06_one_truth.prove),
    Rule(7, "Multi-tenancy by design", rule_07_tenants.prove),
    Rule(8, "Version everything", rule_08_versions.prove),
    Rule(9, "The lifecycle is tested", rule_09_lifecycle.prove),
    Rule(10, "The standard surface", rule_10_surface.prove),
)


@dataclass(frozen=True, slots=True)
class Score:
    """Points out of those that are counted; all rules together would be a hundred."""

    points: int
    counted: int
    seconds: float
    cleaned_up: bool


async def prove_standard(
    settings: Settings, url: str, tell: Callable[[Verdict], None], rules: Sequence[Rule] = RULES
) -> Score:
    """Prove the rules on the deployment of these settings, whose server answers at `url`; `tell` hears each verdict.

    Works in two tenants made for it, which are gone afterwards, also after a failure. Errors: `NumenError` when the
    proofs cannot even begin.
    """
    began = time.monotonic()
    async with open_logins(settings) as logins:
        if (await look_at_schema(logins)).pending:
            raise Misconfigured("The database lacks migrations: run `numen migrate`, or start the server.")
        async with connect(logins, _CONNECTIONS) as database:
            verdicts, made = await _in_scratch_tenants(settings, database, url, tell, rules)
            gone = await _are_gone(settings, database, made)
    passed = sum(one.passed is True for one in verdicts)
    counted = sum(one.passed is not None for one in verdicts)
    return Score(POINTS * passed, POINTS * counted, time.monotonic() - began, gone)


async def _in_scratch_tenants(
    settings: Settings, database: Database, url: str, tell: Callable[[Verdict], None], rules: Sequence[Rule]
) -> tuple[Sequence[Verdict], Made]:
    verdicts: list[Verdict] = []
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(scratch_tenant(database, url))
        stranger = await stack.enter_async_context(scratch_tenant(database, url))
        ground = Ground(settings, database, url, home, stranger)
        await _same_deployment(ground)
        for rule in rules:
            verdicts.append(await _verdict(rule, ground))
            tell(verdicts[-1])
        async with database.worker() as worker:
            known = await worker.agents_now()
    tenants = (home.tenant_id, stranger.tenant_id)
    return verdicts, [(one, [agent for agent, (tenant, _) in known.items() if tenant == one]) for one in tenants]


async def _same_deployment(ground: Ground) -> None:
    """Errors: `Misconfigured` when server and database do not belong together."""
    try:
        answer = await ground.door.send("GET", "/me")
    except httpx.TransportError as error:
        raise Misconfigured(
            f"No server answers at {ground.url}: start it with `numen serve`, or set NUMEN_URL."
        ) from error
    if answer.status_code != 200:
        raise Misconfigured(
            f"The server at {ground.url} does not know a tenant that was just made in the database of these settings: "
            "NUMEN_URL, and DATABASE_URL or NUMEN_DATA_DIR, belong to two deployments."
        )


async def _verdict(rule: Rule, ground: Ground) -> Verdict:
    if rule.prove is None:
        return Verdict(rule.number, rule.title, None, (f"not counted: {rule.reason}",))
    proof = Proof()
    try:
        await rule.prove(ground, proof)
    except Unproved as finding:
        proof.failures.append(str(finding))
    except NumenError as error:
        proof.failures.append(error.detail)
    except (httpx.HTTPError, *_UNEXPECTED) as error:
        proof.failures.append(f"an unexpected answer: {type(error).__name__}: {error}")
    return Verdict(rule.number, rule.title, not proof.failures, proof.evidence, proof.failures)


async def _are_gone(settings: Settings, database: Database, made: Made) -> bool:
    """Wait until the relay took the scratch agents' folders away."""

    async def none_left() -> bool:
        left = [await differing_agents(database, settings.prompts_dir, *one) for one in made]
        return not any(left)

    return await until(none_left)
