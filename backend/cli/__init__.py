"""The `numen` command: a client of the public API, except where it starts or examines the deployment itself."""

from __future__ import annotations

import sys
from typing import Any, cast

# httpx loads a command line of its own, with rich and pygments, if it finds them: a third of the time in which
# `numen agents list` has to be done. To Python's import, None says that a module is not there.
cast("dict[str, Any]", sys.modules).setdefault("httpx._main", None)
