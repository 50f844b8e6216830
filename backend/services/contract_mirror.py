"""The mirror of contracts in files, always converging to the database."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

from pydantic import ValidationError

from backend.models.agent import AgentContract
from backend.ports import ContractFiles
from backend.stores.database import Database
from backend.stores.worker import CurrentContract, Delivery
from backend.telemetry import get_logger

KIND = "agent.mirror"
CONTRACT_FILE = "agent_specific_prompt.json"
ATTRIBUTES_FILE = "agent_attributes.json"
_ATTRIBUTES = {"id", "name", "traits", "configuration"}
_CHUNK = 100
_ROUNDS = 5
_MOVED = "changed while it was mirrored"
_log = get_logger(__name__)


def files_of(contract: AgentContract) -> dict[str, bytes]:
    """The two files of an agent: the whole contract, and its id, name, traits and configuration."""
    return {
        CONTRACT_FILE: contract.model_dump_json(indent=2, exclude_none=True).encode() + b"\n",
        ATTRIBUTES_FILE: contract.model_dump_json(indent=2, include=_ATTRIBUTES).encode() + b"\n",
    }


class ContractMirror:
    """Writes what the rows say now, never what an event said then: late or repeated orders are harmless."""

    def __init__(self, database: Database, files: ContractFiles) -> None:
        self._database = database
        self._files = files

    async def deliver(self, deliveries: Sequence[Delivery]) -> Mapping[int, str]:
        """Mirror the agents of these orders; the orders that failed, each with the reason."""
        agents = list({(one.tenant_id, one.subject_id) for one in deliveries})
        failures: dict[UUID, str] = {}
        for _ in range(_ROUNDS):
            # An agent that is changed all the time is no failure: its order would wait longer after each.
            _, found = await self._bring_up_to_date(agents)
            failures = {agent_id: reason for agent_id, reason in failures.items() if reason != _MOVED} | found
            agents = [one for one in agents if found.get(one[1]) == _MOVED]
            if not agents:
                break
        return {one.id: failures[one.subject_id] for one in deliveries if one.subject_id in failures}

    async def reconcile(self) -> int:
        """Compare every folder with its row and mend what differs; return how many were mended."""
        await asyncio.to_thread(self._files.sweep)
        # Folders before rows: an agent that is made in between has its row by the time its folder is looked for.
        folders = await asyncio.to_thread(self._files.agents)
        async with self._database.worker() as worker:
            known = await worker.agents_now()
        mended, failures = 0, dict[UUID, str]()
        for chunk in _chunks([(tenant_id, agent_id) for agent_id, (tenant_id, _) in known.items()]):
            changed, failed = await self._bring_up_to_date(chunk)
            mended += changed
            if again := [(tenant_id, agent_id) for tenant_id, agent_id in chunk if agent_id in failed]:
                changed, failed = await self._bring_up_to_date(again)
                mended += changed
                failures |= failed
        for agent_id in folders:
            if agent_id not in known:
                mended += await self._try(agent_id, None, failures)
        if failures:
            _log.warning("folders could not be mended", count=len(failures), reason=next(iter(failures.values())))
        return mended

    async def _bring_up_to_date(self, agents: Sequence[tuple[UUID, UUID]]) -> tuple[int, dict[UUID, str]]:
        """How many folders changed, and the agents that failed, each with the reason."""
        failures: dict[UUID, str] = {}
        before = await self._contracts(agents)
        changed = [await self._try(agent_id, before.get(agent_id), failures) for _, agent_id in agents]
        after = await self._contracts(agents)
        for _, agent_id in agents:
            # Another process may have written a newer version before our older one: then ours goes again.
            if _version(before, agent_id) != _version(after, agent_id):
                failures.setdefault(agent_id, _MOVED)
        return sum(changed), failures

    async def _try(self, agent_id: UUID, current: CurrentContract | None, failures: dict[UUID, str]) -> bool:
        try:
            return await self._write(agent_id, current)
        except OSError as error:
            failures[agent_id] = f"{type(error).__name__}: {error.strerror or error}"
        except ValidationError as error:
            failures[agent_id] = f"the stored contract does not hold: {error.error_count()} fault(s)"
        return False

    async def _contracts(self, agents: Sequence[tuple[UUID, UUID]]) -> dict[UUID, CurrentContract]:
        async with self._database.worker() as worker:
            return await worker.contracts(agents)

    async def _write(self, agent_id: UUID, current: CurrentContract | None) -> bool:
        """Mirror one agent; True when its files changed."""
        if current is None:
            await asyncio.to_thread(self._files.remove, agent_id)
            return True
        files = files_of(AgentContract.model_validate_json(current.contract_json))
        return await asyncio.to_thread(self._files.write, agent_id, files)


def _version(contracts: Mapping[UUID, CurrentContract], agent_id: UUID) -> str | None:
    found = contracts.get(agent_id)
    return found.version if found else None


def _chunks(pairs: Sequence[tuple[UUID, UUID]]) -> list[Sequence[tuple[UUID, UUID]]]:
    """The pairs in chunks that one query takes."""
    return [pairs[start : start + _CHUNK] for start in range(0, len(pairs), _CHUNK)]
