"""Under which account PostgreSQL runs: ours, or an unprivileged one when we are root, which PostgreSQL refuses."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypedDict

from backend.errors import Misconfigured

UNPRIVILEGED = ("postgres", "nobody")


class _RunAs(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """Ids of the account that the server runs under; `other` says that it is not the account we run under."""

    uid: int
    gid: int
    other: bool

    @classmethod
    def for_data(cls, data: Path) -> Self:
        """The account for the data folder `data`: its owner's once it exists. `Misconfigured` when there is none."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), other=False)
        if data.exists() and (owner := data.stat()).st_uid != 0:
            return cls(owner.st_uid, owner.st_gid, other=True)
        for name in UNPRIVILEGED:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(entry.pw_uid, entry.pw_gid, other=True)
        raise Misconfigured(
            "PostgreSQL does not run as root, and this machine has no account `postgres` or `nobody` to run it under: "
            "start Numen as a normal user, or set DATABASE_URL"
        )

    @property
    def run_as(self) -> _RunAs:
        """What `subprocess.Popen` needs to start a process under this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.other else {}

    def give(self, path: Path) -> None:
        """Make the account the owner of `path`."""
        if self.other:
            os.chown(path, self.uid, self.gid)

    def can_enter(self, path: Path) -> bool:
        """May the account walk down to `path`, an existing folder? Asked of every parent, as the kernel does."""
        return not self.other or all(self._may_pass(step) for step in (path, *path.parents))

    def _may_pass(self, step: Path) -> bool:
        status = step.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o100)
        if status.st_gid == self.gid:
            return bool(status.st_mode & 0o010)
        return bool(status.st_mode & 0o001)
