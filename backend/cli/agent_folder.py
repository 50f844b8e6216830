"""Agents in folders: every contract below them, in the layout that people choose or in the mirror's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from backend.cli.agent_files import AgentFile, read_agent_file
from backend.cli.failures import CommandFailed

MIRRORED_CONTRACT = "agent_specific_prompt.json"
MIRRORED_ATTRIBUTES = "agent_attributes.json"


class UnusableFiles(CommandFailed):
    """Some of the files cannot be applied; `faults` holds a sentence for each."""

    code, title = "unusable-files", "Files cannot be applied"

    def __init__(self, faults: Sequence[str]) -> None:
        count = "A file" if len(faults) == 1 else f"{len(faults)} files"
        super().__init__(f"{count} cannot be applied; nothing was done.")
        self.faults = faults


def read_agents(sources: Sequence[str]) -> list[AgentFile]:
    """The agents in these files and folders. Errors: `UnusableFiles` with everything that is wrong with them."""
    found: dict[str, AgentFile] = {}
    faults: list[str] = []
    paths = [path for source in sources for path in _paths(source, faults)]
    for path in paths:
        try:
            found.setdefault(path if path == "-" else os.path.realpath(path), read_agent_file(path))
        except CommandFailed as error:
            faults.append(error.detail)
    faults += _twins(list(found.values()))
    if faults:
        raise UnusableFiles(faults)
    return list(found.values())


def _paths(source: str, faults: list[str]) -> list[str]:
    if source == "-" or not Path(source).is_dir():
        return [source]
    try:
        paths = list(_below(source))
    except OSError as error:
        faults.append(f"{error.filename} cannot be read: {error.strerror}.")
        return []
    if not paths:
        faults.append(f"{source} holds no JSON files.")
    return paths


def _below(folder: str) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for name in sorted(names):
            mirrored = name == MIRRORED_ATTRIBUTES and MIRRORED_CONTRACT in names
            if name.endswith(".json") and not name.startswith(".") and not mirrored:
                yield str(Path(place, name))


def _twins(files: Sequence[AgentFile]) -> Iterator[str]:
    """Files of one name; only mirrored ones may share it, because their ids tell them apart."""
    first: dict[str, AgentFile] = {}
    for file in files:
        other = first.setdefault(file.wanted.name, file)
        if other is not file and (None in (file.agent_id, other.agent_id) or file.agent_id == other.agent_id):
            yield f"{file.source} and {other.source} both name {file.wanted.name}."
