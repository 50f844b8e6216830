"""Versions of a contract: kept, compared, restored, copied and carried elsewhere."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from backend.models.agent import EXAMPLE_CONTRACT, EXAMPLE_PARTS, AgentContract, AgentStatus, ContractParts, Metadata
from backend.models.agent_requests import ChangeSummary
from backend.models.base import FrozenModel, Problem, example, refusal
from backend.models.fields import Line, SemanticVersion, Tags, Utc

EXPORT_FORMAT = "numen.agent/1"
LONGEST_HISTORY = 1000
WHEN = "2026-11-01T09:00:00Z"
OWNER = "660e8400-e29b-41d4-a716-446655440001"
EXAMPLE_CHANGE: dict[str, Any] = {"path": "/traits/empathy", "before": 70, "after": 90}
EXAMPLE_PORTABLE: dict[str, Any] = {"version": "1.0.0", "created_at": WHEN, "updated_at": WHEN, **EXAMPLE_PARTS}


class AgentVersionSummary(FrozenModel):
    """One line of an agent's history. `created_by` is null when that person was erased."""

    model_config = example(version="1.1.0", change_summary="traits.empathy: 70 → 90", created_by=OWNER, created_at=WHEN)

    version: SemanticVersion
    change_summary: str
    created_by: UUID | None = None
    created_at: Utc


class AgentVersion(AgentVersionSummary):
    """One version with the whole contract as it was."""

    model_config = example(
        version="1.0.0", change_summary="Created", created_by=OWNER, created_at=WHEN, contract=EXAMPLE_CONTRACT
    )

    contract: AgentContract


class FieldChange(FrozenModel):
    """One changed field; `path` is a JSON pointer into the contract, null means absent."""

    model_config = example(**EXAMPLE_CHANGE)

    path: str
    before: Any = None
    after: Any = None


class VersionDiff(FrozenModel):
    """Two versions side by side: field by field, and the prompts they compile to (`prompt_diff` is a unified diff)."""

    model_config = example(
        from_version="1.0.0",
        to_version="1.1.0",
        changes=[EXAMPLE_CHANGE],
        prompt_before="- Empathy 70/100: …",
        prompt_after="- Empathy 90/100: …",
        prompt_diff="- - Empathy 70/100: …\n+ - Empathy 90/100: …",
    )

    from_version: SemanticVersion
    to_version: SemanticVersion
    changes: tuple[FieldChange, ...]
    prompt_before: str
    prompt_after: str
    prompt_diff: str


class RollbackRequest(FrozenModel):
    """The version to restore; it becomes a new version, the history stays."""

    model_config = example(version="1.0.0", change_summary="The first tone was better")

    version: SemanticVersion
    change_summary: ChangeSummary | None = None


class DuplicateRequest(FrozenModel):
    """A copy of an agent under another name; left out, the name says that it is a copy."""

    model_config = example(name="Stargazer (trial)")

    name: Line | None = None


class PortableContract(ContractParts):
    """A contract without id, owner and tenant."""

    model_config = example(**EXAMPLE_PORTABLE)

    version: SemanticVersion
    created_at: Utc
    updated_at: Utc
    tags: Tags = ()
    status: AgentStatus = "active"

    @classmethod
    def of(cls, contract: AgentContract) -> Self:
        """What may leave the tenant."""
        return cls(
            **contract.parts(),
            version=contract.version,
            created_at=contract.created_at,
            updated_at=contract.updated_at,
            tags=contract.metadata.tags,
            status=contract.metadata.status,
        )

    def to_contract(self, *, agent_id: UUID, tenant_id: UUID, owner_id: UUID) -> AgentContract:
        """The contract under a new id and owner."""
        return AgentContract(
            **self.parts(),
            id=agent_id,
            version=self.version,
            created_at=self.created_at,
            updated_at=self.updated_at,
            metadata=Metadata(tenant_id=tenant_id, owner_id=owner_id, tags=self.tags, status=self.status),
        )


class PortableVersion(FrozenModel):
    """One version without the name of its author."""

    model_config = example(version="1.0.0", change_summary="Created", created_at=WHEN, contract=EXAMPLE_PORTABLE)

    version: SemanticVersion
    change_summary: str = ""
    created_at: Utc
    contract: PortableContract


class AgentExport(FrozenModel):
    """One agent as a file: contract and history, no tenant data. What `export` gives, `import` takes."""

    model_config = example(format=EXPORT_FORMAT, contract=EXAMPLE_PORTABLE, versions=[])

    format: Literal["numen.agent/1"] = EXPORT_FORMAT
    contract: PortableContract
    versions: Annotated[tuple[PortableVersion, ...], Field(max_length=LONGEST_HISTORY)] = ()

    @model_validator(mode="after")
    def _versions_belong_together(self) -> Self:
        problems: list[Problem] = []
        seen: set[str] = set()
        for index, entry in enumerate(self.versions):
            if entry.version in seen:
                problems.append((("versions", index, "version"), f"version {entry.version} is in the file twice"))
            if entry.version != entry.contract.version:
                reason = f"the contract inside is version {entry.contract.version}, the entry says {entry.version}"
                problems.append((("versions", index, "contract", "version"), reason))
            seen.add(entry.version)
        if seen and self.contract.version not in seen:
            problems.append((("versions",), f"the history lacks the contract's own version {self.contract.version}"))
        if problems:
            raise refusal(type(self), problems)
        return self
