"""AgentService: the life of an agent from its first contract to the archive."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from pydantic import ValidationError

from backend.errors import AgentNotFound, FieldError, InvalidContract, PreconditionFailed, VersionNotFound
from backend.graphs.prompt import compile_prompt
from backend.models.agent import AgentContract
from backend.models.agent_graph import AgentGraph
from backend.models.agent_record import AgentFilter, AgentRecord
from backend.models.agent_requests import AgentCreateRequest, AgentUpdateRequest
from backend.models.agent_versions import (
    LONGEST_HISTORY,
    AgentExport,
    AgentVersion,
    AgentVersionSummary,
    DuplicateRequest,
    PortableContract,
    PortableVersion,
    RollbackRequest,
    VersionDiff,
)
from backend.models.contract_changes import LARGEST_NUMBER, changes_behaviour, diff, merge, next_version, summarize
from backend.models.explanation import explain
from backend.models.page import Cursor, Page
from backend.models.tenant import Caller
from backend.ports import Clock
from backend.services.brief_cache import BriefCache
from backend.services.contract_check import ContractCheck
from backend.services.identifiers import new_id
from backend.services.outbox_relay import OutboxRelay
from backend.stores.agents import AgentStore, Author
from backend.stores.database import Database

_CREATED = "Created"
_COUNTED_FOR = timedelta(seconds=1)
_MOST_TOTALS = 10_000


class AgentDocument(NamedTuple):
    """An agent as it is answered: the JSON of `AgentResponse`, and the version that its ETag names."""

    id: UUID
    version: str
    body: bytes


class AgentService:
    """Create, read, change and archive agents. An agent of another tenant is as absent as one that never was."""

    def __init__(self, database: Database, check: ContractCheck, relay: OutboxRelay, clock: Clock) -> None:
        self._database = database
        self._check = check
        self._relay = relay
        self._clock = clock
        self._writes = 0
        self._totals: BriefCache[tuple[UUID, int, AgentFilter], int] = BriefCache(clock, _COUNTED_FOR, _MOST_TOTALS)

    async def create(
        self, caller: Caller, request: AgentCreateRequest, operation_id: UUID | None = None
    ) -> AgentDocument:
        """Row, first version, audit entry and the orders to mirror it, in one transaction.

        Errors: `InvalidContract` for what this deployment cannot honour.
        """
        contract = request.to_contract(
            agent_id=new_id(operation_id, "agent"),
            tenant_id=caller.tenant_id,
            owner_id=caller.user_id,
            now=self._clock.now(),
        )
        return await self._insert(caller, contract, _CREATED)

    async def get(self, caller: Caller, agent_id: UUID) -> AgentDocument:
        """The agent, archived or not. Errors: `AgentNotFound`."""
        return self._document(await self.record(caller, agent_id))

    async def record(self, caller: Caller, agent_id: UUID) -> AgentRecord:
        """The agent's row. Errors: `AgentNotFound`."""
        return _found(await self._database.statements(caller.tenant_id).agents.get(agent_id))

    async def graph(self, caller: Caller, agent_id: UUID) -> AgentGraph:
        """The picture of the agent's graph. Errors: `AgentNotFound`."""
        from backend.graphs.picture import mermaid  # noqa: PLC0415 — loads the graph library

        contract = (await self.record(caller, agent_id)).contract()
        return AgentGraph(agent_id=agent_id, version=contract.version, mermaid=mermaid(contract))

    async def list_page(
        self, caller: Caller, which: AgentFilter, cursor: Cursor | None, limit: int, offset: int
    ) -> Page[AgentDocument]:
        """Newest first; without a status the archived ones stay out.

        The total is counted at most once a second, unless something changes through this process.
        """
        agents = self._database.statements(caller.tenant_id).agents
        items, following = await agents.page(which, cursor, limit, offset)
        whole = offset == 0 and cursor is None and following is None
        total = len(items) if whole else await self._total(caller, which)
        return Page([self._document(one) for one in items], total, following)

    async def update(
        self, caller: Caller, agent_id: UUID, request: AgentUpdateRequest, if_match: frozenset[str] | None = None
    ) -> AgentDocument:
        """Merge the changes into the contract; a change makes a new version, no change makes none.

        Errors: `AgentNotFound`; `PreconditionFailed` when `if_match` (versions) is given and the agent has another;
        `InvalidContract` when the merged contract does not hold, and then nothing is changed.
        """
        summary = request.change_summary if "change_summary" in request.model_fields_set else None
        async with self._database.tenant(caller.tenant_id) as tx:
            record = _found(await tx.agents.lock(agent_id))
            _require(record, if_match)
            before = record.contract()
            after = _merged(before, request.changes())
            record = await self._write(tx.agents, record, after, summary, Author(caller.user_id, caller.api_key_id))
        return self._wrote(record)

    async def archive(self, caller: Caller, agent_id: UUID, if_match: frozenset[str] | None = None) -> None:
        """Take the agent out of service; it stays readable. Doing it twice changes nothing.

        Errors: `AgentNotFound`, `PreconditionFailed`.
        """
        async with self._database.tenant(caller.tenant_id) as tx:
            record = _found(await tx.agents.lock(agent_id))
            _require(record, if_match)
            after = _merged(record.contract(), {"status": "archived"})
            author = Author(caller.user_id, caller.api_key_id)
            record = await self._write(tx.agents, record, after, "Archived", author, action="agent.archived")
        self._wrote(record)

    async def versions(
        self, caller: Caller, agent_id: UUID, limit: int, offset: int
    ) -> tuple[list[AgentVersionSummary], int]:
        """Newest first, and how many there are. Errors: `AgentNotFound`."""
        async with self._database.tenant(caller.tenant_id) as tx:
            _found(await tx.agents.get(agent_id))
            return await tx.agents.versions(agent_id, limit, offset)

    async def version(self, caller: Caller, agent_id: UUID, version: str) -> AgentVersion:
        """One version with its contract. Errors: `AgentNotFound`, `VersionNotFound`."""
        async with self._database.tenant(caller.tenant_id) as tx:
            _found(await tx.agents.get(agent_id))
            return await _version(tx.agents, agent_id, version)

    async def compare(self, caller: Caller, agent_id: UUID, a: str, b: str) -> VersionDiff:
        """Two versions field by field, and the prompts they compile to. Errors: `AgentNotFound`, `VersionNotFound`."""
        async with self._database.tenant(caller.tenant_id) as tx:
            _found(await tx.agents.get(agent_id))
            before = (await _version(tx.agents, agent_id, a)).contract
            after = (await _version(tx.agents, agent_id, b)).contract
        prompts = compile_prompt(before), compile_prompt(after)
        lines = difflib.unified_diff(prompts[0].splitlines(), prompts[1].splitlines(), a, b, lineterm="", n=1)
        return VersionDiff(
            from_version=a,
            to_version=b,
            changes=tuple(diff(before, after)),
            prompt_before=prompts[0],
            prompt_after=prompts[1],
            prompt_diff="\n".join(lines),
        )

    async def rollback(
        self,
        caller: Caller,
        agent_id: UUID,
        request: RollbackRequest,
        operation_id: UUID | None = None,
        if_match: frozenset[str] | None = None,
    ) -> AgentDocument:
        """Make a new version that equals an old one; whether the agent is in service stays as it is.

        Errors: `AgentNotFound`, `VersionNotFound`, `PreconditionFailed`, `InvalidContract` when the old contract names
        what this deployment no longer has.
        """
        author = Author(caller.user_id, caller.api_key_id, operation_id)
        async with self._database.tenant(caller.tenant_id) as tx:
            record = _found(await tx.agents.lock(agent_id))
            if operation_id is None or not await tx.agents.operation_done(agent_id, operation_id):
                _require(record, if_match)
                old = (await _version(tx.agents, agent_id, request.version)).contract
                after = _restored(record.contract(), old)
                summary = request.change_summary or f"Rolled back to {request.version}"
                record = await self._write(tx.agents, record, after, summary, author, action="agent.rolled_back")
        return self._wrote(record)

    async def export(self, caller: Caller, agent_id: UUID) -> AgentExport:
        """The agent as one portable file: contract and history (the newest `LONGEST_HISTORY` versions), no tenant data.

        Errors: `AgentNotFound`.
        """
        async with self._database.tenant(caller.tenant_id) as tx:
            record = _found(await tx.agents.get(agent_id))
            history = await tx.agents.history(agent_id, LONGEST_HISTORY)
        return AgentExport(
            contract=PortableContract.of(record.contract()), versions=tuple(_portable(one) for one in history)
        )

    async def import_file(self, caller: Caller, file: AgentExport, operation_id: UUID | None = None) -> AgentDocument:
        """A new agent from a file, with its history, under a new id. Errors: `InvalidContract`."""
        agent_id = new_id(operation_id, "agent")
        owned = {"agent_id": agent_id, "tenant_id": caller.tenant_id, "owner_id": caller.user_id}
        contract = file.contract.to_contract(**owned)
        _refuse_unordered(file)
        self._check.refuse(contract)
        earlier = sorted((one for one in file.versions if one.version != contract.version), key=_number)
        own = next((one for one in file.versions if one.version == contract.version), None)
        async with self._database.tenant(caller.tenant_id) as tx:
            author = Author(caller.user_id, caller.api_key_id)
            summary = own.change_summary if own is not None and own.change_summary else "Imported"
            if await tx.agents.insert(contract, summary, author, ordinal=len(earlier) + 1):
                for ordinal, one in enumerate(earlier, 1):
                    version = _imported(one, owned)
                    await tx.agents.insert_version(agent_id, ordinal, version, caller.user_id)
            record = _found(await tx.agents.get(agent_id))
        return self._wrote(record)

    async def duplicate(
        self, caller: Caller, agent_id: UUID, request: DuplicateRequest, operation_id: UUID | None = None
    ) -> AgentDocument:
        """A new agent with the same contract, beginning at version 1.0.0. Errors: `AgentNotFound`."""
        source = (await self.record(caller, agent_id)).contract()
        name = request.name or f"{source.name[:248]} (copy)"
        parts: dict[str, Any] = source.parts() | {"name": name, "tags": source.metadata.tags}
        wanted = AgentCreateRequest(**parts)
        copy = wanted.to_contract(
            agent_id=new_id(operation_id, "agent"),
            tenant_id=caller.tenant_id,
            owner_id=caller.user_id,
            now=self._clock.now(),
        )
        return await self._insert(caller, copy, f"Copied from {source.name} {source.version}"[:1000])

    async def named(self, caller: Caller, name: str) -> AgentDocument | None:
        """The oldest agent of this name that is in service, if there is one."""
        async with self._database.tenant(caller.tenant_id) as tx:
            agent_id = await tx.agents.named(name)
            return None if agent_id is None else self._document(_found(await tx.agents.get(agent_id)))

    async def _insert(self, caller: Caller, contract: AgentContract, summary: str) -> AgentDocument:
        self._check.refuse(contract)
        agents = self._database.statements(caller.tenant_id).agents
        if await agents.insert(contract, summary, Author(caller.user_id, caller.api_key_id)):
            return self._wrote(AgentRecord.of(contract))
        return self._wrote(_found(await agents.get(contract.id)))

    async def _write(
        self,
        agents: AgentStore,
        record: AgentRecord,
        after: AgentContract,
        summary: str | None,
        author: Author,
        action: str = "agent.updated",
    ) -> AgentRecord:
        changes = diff(record.contract(), after)
        if not changes:
            return record
        if changes_behaviour(changes):  # an agent whose provider is gone can still be renamed and archived
            self._check.refuse(after)
        version = next_version(record.version, changes)
        written = after.model_copy(update={"version": version, "updated_at": self._clock.now()})
        await agents.update(written, summary or summarize(changes), author, action)
        return record.with_contract(written)

    async def _total(self, caller: Caller, which: AgentFilter) -> int:
        async def count() -> int:
            return await self._database.statements(caller.tenant_id).agents.count(which)

        return await self._totals.obtain((caller.tenant_id, self._writes, which), count)

    def _wrote(self, record: AgentRecord) -> AgentDocument:
        self._writes += 1
        self._relay.wake()
        return self._document(record)

    def _document(self, record: AgentRecord) -> AgentDocument:
        counted = orjson.dumps(
            {
                "status": record.status,
                "interaction_count": record.interaction_count,
                "last_interaction_at": record.last_interaction_at,
                "warnings": self._check.warnings(record),
            },
            option=orjson.OPT_UTC_Z,
        )
        # The stored contract with what the row counts: parsing it to write it again would cost more than all the rest.
        return AgentDocument(record.id, record.version, b"%b,%b" % (record.contract_json[:-1].encode(), counted[1:]))


def _found(record: AgentRecord | None) -> AgentRecord:
    if record is None:
        raise AgentNotFound("There is no agent with this id.")
    return record


async def _version(agents: AgentStore, agent_id: UUID, version: str) -> AgentVersion:
    found = await agents.version(agent_id, version)
    if found is None:
        raise VersionNotFound("The agent has no such version.")
    return found


def _require(record: AgentRecord, if_match: frozenset[str] | None) -> None:
    if if_match is not None and record.version not in if_match:
        raise PreconditionFailed(
            f"The agent is at version {record.version} by now; read it again before you change it.",
            current_version=record.version,
        )


def _merged(contract: AgentContract, changes: Mapping[str, Any]) -> AgentContract:
    try:
        return merge(contract, changes)
    except ValidationError as error:
        raise _invalid(error) from error


def _restored(current: AgentContract, old: AgentContract) -> AgentContract:
    metadata = current.metadata.model_copy(update={"tags": old.metadata.tags})
    return current.model_copy(update={**old.parts(), "metadata": metadata})


def _invalid(error: ValidationError) -> InvalidContract:
    found = [FieldError(where, what) for where, what in explain(error.errors(include_url=False))]
    return InvalidContract(f"{len(found)} value(s) of the contract do not hold; nothing was changed.", found)


def _portable(version: AgentVersion) -> PortableVersion:
    return PortableVersion(
        version=version.version,
        change_summary=version.change_summary,
        created_at=version.created_at,
        contract=PortableContract.of(version.contract),
    )


def _imported(version: PortableVersion, owned: Mapping[str, UUID]) -> AgentVersion:
    return AgentVersion(
        version=version.version,
        change_summary=version.change_summary or "Imported",
        created_by=owned["owner_id"],
        created_at=version.created_at,
        contract=version.contract.to_contract(**owned),
    )


def _number(one: PortableContract | PortableVersion) -> tuple[int, ...]:
    return tuple(int(part) for part in one.version.split("."))


def _refuse_unordered(file: AgentExport) -> None:
    own, highest = _number(file.contract), max(map(_number, file.versions), default=None)
    if own[0] >= LARGEST_NUMBER:
        raise InvalidContract(
            "After the version of the file's contract there is no other.",
            [FieldError("/contract/version", f"its first number must be below {LARGEST_NUMBER}")],
        )
    if highest is not None and own != highest:
        raise InvalidContract(
            "The file's contract is not its newest version, so the next change would take a number that is taken.",
            [
                FieldError(
                    "/contract/version", f"must be the newest of the file's versions, {'.'.join(map(str, highest))}"
                )
            ],
        )
