"""The picture of an agent's graph."""

from __future__ import annotations

from uuid import UUID

from backend.models.base import FrozenModel, example


class AgentGraph(FrozenModel):
    """How an agent of this version works: nodes and edges as Mermaid flowchart text."""

    model_config = example(
        agent_id="6f1c2f9e-8a53-4c53-9b1e-2f6d2c1a7b10",
        version="1.0.0",
        mermaid="graph TD;\n\trecall --> respond;\n",
    )

    agent_id: UUID
    version: str
    mermaid: str
