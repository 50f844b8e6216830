"""The contracts of the agents which every deployment begins with, as data in the form of a create request."""

from __future__ import annotations

from importlib.resources import files

from backend.models.agent_requests import AgentCreateRequest

DEFAULT_AGENTS = ("intake", "therapy")


def load_default_agents() -> dict[str, AgentCreateRequest]:
    """Short name to the contract; errors: pydantic's `ValidationError` for a file that is no contract."""
    folder = files(__name__)
    return {
        name: AgentCreateRequest.model_validate_json(folder.joinpath(f"{name}.json").read_bytes())
        for name in DEFAULT_AGENTS
    }
