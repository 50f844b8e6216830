"""Write the compiled prompt of each default agent to the tests' golden files: the diff of a commit shows the change.

python -m backend.scripts.write_golden_prompts
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from backend.graphs.prompt import compile_prompt
from backend.scripts.default_agents import load_default_agents

GOLDEN = Path(__file__).parents[1] / "tests" / "graphs" / "golden"
NOBODY = UUID(int=0)


def golden_prompts() -> dict[str, str]:
    """File name to prompt, for each default agent."""
    now = datetime.now(UTC)
    return {
        f"{name}.md": compile_prompt(request.to_contract(agent_id=NOBODY, tenant_id=NOBODY, owner_id=NOBODY, now=now))
        for name, request in load_default_agents().items()
    }


def main() -> None:
    """Write all golden files."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name, prompt in golden_prompts().items():
        (GOLDEN / name).write_text(prompt, "utf-8")
        sys.stdout.write(f"{GOLDEN / name}\n")


if __name__ == "__main__":
    main()
