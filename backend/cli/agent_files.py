"""Agents in files: a contract as it is sent to the API, a mirrored contract, or an export."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from backend.cli.failures import CommandFailed
from backend.models.agent import AgentContract, AgentStatus
from backend.models.agent_requests import AgentCreateRequest
from backend.models.agent_versions import EXPORT_FORMAT, AgentExport
from backend.models.explanation import explain

_ATTRIBUTES = {"id", "name", "traits", "configuration"}


@dataclass(frozen=True, slots=True)
class AgentFile:
    """What a file wants: the parts of the contract, the status if it says one, and the history if it carries one.

    `agent_id` and `tenant_id` are those of the agent that a mirrored file was written of, wherever that was.
    """

    source: str
    wanted: AgentCreateRequest
    status: AgentStatus | None = None
    export: dict[str, Any] | None = None
    agent_id: str | None = None
    tenant_id: str | None = None


def read_agent_file(source: str) -> AgentFile:
    """The agent in the file at this path; `-` is standard input. Errors: `CommandFailed` naming file and field."""
    document = _json_object(source)
    if document.keys() == _ATTRIBUTES:
        raise CommandFailed(f"{source} holds the attributes of an agent; its contract is in the file beside it.")
    if not document.keys() & {"identity", "format"} and document.keys() - AgentContract.model_fields.keys():
        raise CommandFailed(f"{source} holds no agent: a contract has a name and an identity.")
    try:
        return _agent_in(source, document)
    except ValidationError as error:
        said = "; ".join(f"{where or 'the file'} {what}" for where, what in explain(error.errors(include_url=False)))
        raise CommandFailed(f"{source}: {said}.") from error


def _agent_in(source: str, document: dict[str, Any]) -> AgentFile:
    text = json.dumps(document)
    if "format" in document:
        if document["format"] != EXPORT_FORMAT:
            raise CommandFailed(f"{source}: the format {document['format']!r} is not {EXPORT_FORMAT}.")
        contract = AgentExport.model_validate_json(text).contract
        wanted = AgentCreateRequest(**contract.parts(), tags=contract.tags)
        return AgentFile(source, wanted, contract.status, document)
    if "metadata" in document:
        mirrored = AgentContract.model_validate_json(text)
        wanted = AgentCreateRequest(**mirrored.parts(), tags=mirrored.metadata.tags)
        of, whose = str(mirrored.id), str(mirrored.metadata.tenant_id)
        return AgentFile(source, wanted, mirrored.metadata.status, agent_id=of, tenant_id=whose)
    return AgentFile(source, AgentCreateRequest.model_validate_json(text))


def _json_object(source: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text("utf-8")
        document = json.loads(text)
    except OSError as error:
        raise CommandFailed(f"{source} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{source} is not text in UTF-8.") from error
    except json.JSONDecodeError as error:
        raise CommandFailed(
            f"{source} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}."
        ) from error
    if not isinstance(document, dict):
        raise CommandFailed(f"{source} holds no agent: a contract is a JSON object.")
    return cast("dict[str, Any]", document)
