"""A conversation by voice over one WebSocket: who may have it, and how it ends."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl
from uuid import UUID

from fastapi import APIRouter, WebSocket

from backend.errors import (
    Conflict,
    ConversationEnded,
    Forbidden,
    Invalid,
    NotFound,
    NumenError,
    ShuttingDown,
    TooManyConversations,
    Unauthenticated,
)
from backend.models.tenant import Caller, Role
from backend.models.voice_frames import Start, VoiceError
from backend.routers.connected import Connected
from backend.routers.dependencies import at_least, container, credentials_of
from backend.routers.http_errors import UpgradeRequired
from backend.routers.voice_frames import NOT_ALLOWED
from backend.services.access_service import Credentials
from backend.services.voice.bad_frame import BadFrame
from backend.services.voice.voice_socket import SocketGone
from backend.telemetry import bind_log_context, get_logger

router = APIRouter(prefix="/api/v1", tags=["voice"])
SUBPROTOCOL = "numen.voice.v1"
START_SECONDS = 10.0
_BEARER = "bearer."
_SECRETS = frozenset({"token", "access_token", "key", "api_key", "apikey", "authorization", "bearer", "jwt"})
_DONE, _OUR_FAULT = 1000, 1011
CLOSE_CODES: dict[type[NumenError], int] = {
    NotFound: NOT_ALLOWED,
    Conflict: NOT_ALLOWED,
    Invalid: NOT_ALLOWED,
    Forbidden: NOT_ALLOWED,
    Unauthenticated: NOT_ALLOWED,
    ConversationEnded: NOT_ALLOWED,
    ShuttingDown: 1001,
    TooManyConversations: 1013,
    NumenError: _OUR_FAULT,
}

_log = get_logger(__name__)


@router.get("/agents/{agent_id}/voice", include_in_schema=False)
async def say_that_this_is_a_socket(agent_id: str) -> None:  # noqa: ARG001 — part of the address
    """Tell whoever comes without a WebSocket. Errors: `UpgradeRequired`."""
    raise UpgradeRequired("Conversations by voice are held over a WebSocket: connect to this address with one.")


@router.websocket("/agents/{agent_id}/voice")
async def converse(
    socket: WebSocket, agent_id: UUID, thread_id: UUID | None = None, session_id: UUID | None = None
) -> None:
    """Talk with the agent until somebody closes, in a thread or in the interview of a session."""
    client = Connected(socket)
    try:
        await client.accept(SUBPROTOCOL if SUBPROTOCOL in socket.scope["subprotocols"] else None)
        _refuse_secrets(socket)
        caller = await _let_in(socket, await started(client))
        await container(socket).voice.converse(caller, agent_id, thread_id, client, session_id=session_id)
        await client.close(_DONE)
    except SocketGone:
        return  # how most conversations end
    except BadFrame as error:
        told = VoiceError(code=error.code, title="This is not what the protocol expects", detail=error.detail)
        await client.close(error.close_code, told)
    except NumenError as error:
        told = VoiceError(code=error.code, title=error.title, detail=error.detail)
        await client.close(close_code(type(error)), told)
    except Exception as error:  # noqa: BLE001 — the seam of sockets: whatever escapes is logged here, and ends this one only
        _log.error("conversation failed", exc_info=error)
        detail = "The error has been logged; quote the X-Request-ID of the handshake when you report it."
        await client.close(_OUR_FAULT, VoiceError(code=NumenError.code, title=NumenError.title, detail=detail))


def close_code(error: type[NumenError]) -> int:
    """How the socket is closed after this error: as after its nearest ancestor in `CLOSE_CODES`."""
    return next(CLOSE_CODES[ancestor] for ancestor in error.__mro__ if ancestor in CLOSE_CODES)


def _refuse_secrets(socket: WebSocket) -> None:
    """Addresses are logged on their way, by whoever is between us and the client."""
    query: bytes = socket.scope["query_string"]
    for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name.lower() in _SECRETS:
            raise Invalid(f"Credentials must not be in the address, as `{name.lower()}` is: send them with `start`.")


async def started(client: Connected, seconds: float = START_SECONDS) -> Start:
    """The first frame. Errors: `BadFrame` when it is another one, or does not come; `SocketGone`."""
    try:
        async with asyncio.timeout(seconds):
            frame = await client.receive()
    except TimeoutError:
        detail = f"`start` did not come within {seconds:g} seconds."
        raise BadFrame(NOT_ALLOWED, "not-started", detail) from None
    if not isinstance(frame, Start):
        raise BadFrame(NOT_ALLOWED, "not-started", "The first frame must be `start`.")
    return frame


async def _let_in(socket: WebSocket, start: Start) -> Caller:
    credentials = _credentials(socket, start)
    try:
        caller = await container(socket).access.authenticate(credentials)
    except Unauthenticated:
        if credentials.authorization is not None:
            raise
        raise Unauthenticated("Send an API key or a token as `token` of `start`.") from None
    bind_log_context(tenant_id=str(caller.tenant_id))
    return at_least(Role.MEMBER, caller)


def _credentials(socket: WebSocket, start: Start) -> Credentials:
    """The first of: the frame, the subprotocol (where browsers can put it), the handshake's headers."""
    found = credentials_of(socket)
    offered: list[str] = socket.scope["subprotocols"]
    bearers = [one[len(_BEARER) :] for one in offered if one.lower().startswith(_BEARER)]
    if start.token is not None:
        found.authorization = f"Bearer {start.token}"
    elif bearers:
        found.authorization = f"Bearer {', '.join(bearers)}"  # of two, none
    if start.user is not None:
        found.numen_user = start.user
    return found
