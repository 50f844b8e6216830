"""What is asked of an MCP server, and what its answers are worth: foreign text is measured, cut and cleaned here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import orjson
from mcp import ClientSession, MCPError, types
from mcp.shared.inbound import find_invalid_x_mcp_header
from mcp.shared.message import ClientMessageMetadata
from pydantic import TypeAdapter

from backend.gateways.mcp_session import Outside, converse
from backend.gateways.text_cleaner import clean
from backend.ports.tools import ServerTool, ToolOutcome

if TYPE_CHECKING:
    from backend.models.capabilities import McpServer

IDEMPOTENCY_KEY = "numen/idempotency-key"
"""Where a call's key stands in the request's `_meta`."""
MOST_TOOLS = 200
LONGEST_NAME = 128
LONGEST_DESCRIPTION = 4_000
LARGEST_SCHEMA_BYTES = 32_000
LONGEST_ANSWER = 100_000

_MOST_PAGES = 20
_LONGEST_DETAIL = 500
_LAST_OF_THE_PROTOCOLS_OWN_ERRORS = -32_000
_CallAnswer: TypeAdapter[types.CallToolResult | types.InputRequiredResult] = TypeAdapter(
    types.CallToolResult | types.InputRequiredResult
)


async def _forget(_: str) -> None:
    """Stands where a token to resume by would be kept."""


# A request that may be resumed is not called off by one more message, which a hanging server could hold up for seconds.
_RESUMABLE = ClientMessageMetadata(on_resumption_token_update=_forget)


class McpExchange:
    """Listing and calling, each in a conversation of its own."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    async def tools(self, server: McpServer) -> tuple[ServerTool, ...]:
        """Of what the server offers what its grant allows and a model can be told of. Errors: those of `converse`."""
        return await converse(server, self._outside, partial(_list, server))

    async def call(self, server: McpServer, tool: str, arguments: Mapping[str, Any], key: UUID) -> ToolOutcome:
        """Call once, and put the answer into text. Errors: those of `converse`."""
        if not _is_allowed(server, tool):
            return ToolOutcome(f"The grant {server.name} does not allow {tool[:LONGEST_NAME]}.", failed=True)
        meta: types.RequestParamsMeta = {IDEMPOTENCY_KEY: str(key)}
        params = types.CallToolRequestParams(name=tool, arguments=dict(arguments), _meta=meta)
        return await converse(server, self._outside, partial(_call, types.CallToolRequest(params=params)))


async def _list(server: McpServer, session: ClientSession) -> tuple[ServerTool, ...]:
    found: dict[str, ServerTool] = {}
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        request = types.ListToolsRequest(params=types.PaginatedRequestParams(cursor=cursor) if cursor else None)
        page = await session.send_request(request, types.ListToolsResult, metadata=_RESUMABLE)
        for tool in page.tools:
            if _is_allowed(server, tool.name) and (read := _read(tool)) is not None:
                found.setdefault(tool.name, read)
        cursor = page.next_cursor
        if not cursor or len(found) >= MOST_TOOLS:
            break
    return tuple(found.values())[:MOST_TOOLS]


async def _call(request: types.CallToolRequest, session: ClientSession) -> ToolOutcome:
    try:
        return await _send_or_resend(request, session)
    except MCPError as error:
        if error.code == types.INVALID_PARAMS or error.code > _LAST_OF_THE_PROTOCOLS_OWN_ERRORS:
            return ToolOutcome(_cut(f"The tool refused: {clean(error.message)}"), failed=True)
        raise


async def _send_or_resend(request: types.CallToolRequest, session: ClientSession) -> ToolOutcome:
    # The SDK's own `call_tool` would check the answer by the server's schema, whose patterns can run for hours.
    try:
        return _outcome(await session.send_request(request, _CallAnswer, metadata=_RESUMABLE))
    except MCPError as refused:
        if refused.code != types.HEADER_MISMATCH:
            raise
    # Some servers want arguments in headers as well; which, the SDK learns from the list.
    await session.list_tools()
    return _outcome(await session.send_request(request, _CallAnswer, metadata=_RESUMABLE))


def _is_allowed(server: McpServer, tool: str) -> bool:
    return server.allowed_tools is None or tool in server.allowed_tools


def _read(tool: types.Tool) -> ServerTool | None:
    """The tool as we tell a model of it; None when its name or parameters are not fit for one."""
    if not 0 < len(tool.name) <= LONGEST_NAME or not tool.name.isprintable():
        return None
    if find_invalid_x_mcp_header(tool.input_schema) is not None:
        return None  # the protocol forbids to call it
    try:
        schema = orjson.dumps(_cleaned(tool.input_schema))
    except orjson.JSONEncodeError:  # numbers that no JSON of ours can hold
        return None
    if len(schema) > LARGEST_SCHEMA_BYTES:
        return None
    hints = tool.annotations
    return ServerTool(
        name=tool.name,
        description=clean(tool.description or "")[:LONGEST_DESCRIPTION],
        parameters=orjson.loads(schema),
        repeatable=hints is not None and bool(hints.read_only_hint or hints.idempotent_hint),
    )


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): _cleaned(one) for key, one in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_cleaned(one) for one in cast("list[Any]", value)]
    return value


def _outcome(result: types.CallToolResult | types.InputRequiredResult) -> ToolOutcome:
    if isinstance(result, types.InputRequiredResult):
        return ToolOutcome("The tool asks back before it answers, which is not possible here.", failed=True)
    text = "\n".join(_texts(result))
    if not text and result.structured_content is not None:
        text = _as_json(result.structured_content)
    return ToolOutcome(_cut(clean(text)) or "The tool gave nothing back.", failed=result.is_error)


def _texts(result: types.CallToolResult) -> Iterator[str]:
    for block in result.content:
        match block:
            case types.TextContent():
                yield block.text
            case types.ImageContent() | types.AudioContent():
                yield f"[{block.type}, {block.mime_type[:100]}: it cannot be shown here]"
            case types.ResourceLink():
                yield f"[link to {block.name}: {block.uri}]"[:_LONGEST_DETAIL]
            case types.EmbeddedResource(resource=types.TextResourceContents() as resource):
                yield resource.text
            case types.EmbeddedResource(resource=resource):
                yield f"[file {resource.uri}: it cannot be shown here]"[:_LONGEST_DETAIL]


def _as_json(value: Any) -> str:
    try:
        return orjson.dumps(_cleaned(value)).decode()
    except orjson.JSONEncodeError:
        return ""


def _cut(text: str) -> str:
    if len(text) <= LONGEST_ANSWER:
        return text
    return f"{text[:LONGEST_ANSWER]}\n[cut: the answer has {len(text):,} characters]"
