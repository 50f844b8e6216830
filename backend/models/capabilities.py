"""What the agent may use: languages, modalities and tools."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from backend.models.base import FrozenModel, by_kind, example, refusal
from backend.models.fields import Between, LanguageTag, NotEmpty, Slug, Text, refused, shown
from backend.models.tool_names import marked_name, may_be_of, tool_name

Approval = Literal["never", "always"]
"""Whether a person must agree before each call."""


def _web_address(value: str) -> str:
    try:
        parts = urlsplit(value)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    else:
        if valid and (parts.username is not None or parts.password is not None):
            raise refused("must not carry a user name or password: a contract is no place for secrets")
    if not valid or any(sign.isspace() for sign in value):
        raise refused(f"must be an http or https address such as https://tools.example.com/mcp, not {shown(value)}")
    return value


class BuiltinTool(FrozenModel):
    """A tool that the platform brings along."""

    model_config = example(kind="builtin", name="current_time", approval="never")

    kind: Literal["builtin"]
    name: Literal["current_time", "remember", "recall", "hand_off"]
    approval: Approval = "never"


class McpServer(FrozenModel):
    """The tools of an MCP server, reached over HTTP. `allowed_tools` left out means all of them."""

    model_config = example(
        kind="mcp",
        name="calendar",
        url="https://tools.example.com/mcp",
        allowed_tools=["list_events"],
        approval="always",
        timeout_seconds=30,
    )

    kind: Literal["mcp"]
    name: Slug
    url: Annotated[str, Text(2000, visible=True, line=True), AfterValidator(_web_address)]
    allowed_tools: (
        Annotated[tuple[Annotated[str, Text(128, visible=True, line=True)], ...], Field(max_length=100)] | None
    ) = None
    approval: Approval = "always"
    timeout_seconds: Annotated[float, Between(1, 300)] = 30.0


ToolGrant = Annotated[BuiltinTool | McpServer, Field(discriminator="kind"), by_kind(builtin=BuiltinTool, mcp=McpServer)]


def grants(grant: ToolGrant, name: str) -> bool:
    """Whether the tool which a model calls by this name may come from this grant."""
    if isinstance(grant, BuiltinTool):
        return name == grant.name
    if grant.allowed_tools is None:
        return may_be_of(name, grant.name)
    return any(name in {tool_name(grant.name, tool), marked_name(grant.name, tool)} for tool in grant.allowed_tools)


class Capabilities(FrozenModel):
    """Languages the agent speaks, modalities it serves, tools it is granted (used while `tools_enabled`)."""

    model_config = example(
        languages=["en"],
        modalities=["text"],
        tools=[{"kind": "builtin", "name": "current_time"}],
    )

    languages: Annotated[tuple[LanguageTag, ...], Field(max_length=50), NotEmpty()] = ("en",)
    modalities: Annotated[tuple[Literal["text", "voice"], ...], Field(max_length=2), NotEmpty()] = ("text",)
    tools: Annotated[tuple[ToolGrant, ...], Field(max_length=50)] = ()

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        lists: dict[str, list[Any]] = {
            "languages": list(self.languages),
            "modalities": list(self.modalities),
            "tools": [grant.name for grant in self.tools],
        }
        twins = [
            ((field,), f"must not name {shown(value)} twice")
            for field, values in lists.items()
            for value in sorted({value for value in values if values.count(value) > 1})
        ]
        if twins:
            raise refusal(type(self), twins)
        return self
