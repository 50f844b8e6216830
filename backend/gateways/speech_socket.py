"""WebSockets to voice providers: bounded, without redirects, and gone at once when they are left.

Imported late, with the SDK that talks over it. What the SDK would open by itself follows redirects, waits up to half a
minute for a provider that does not say goodbye, and reads the certificates anew for each conversation.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Mapping

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.protocol import State

from backend.gateways.answer import BadAnswer
from backend.gateways.provider_words import causes
from backend.gateways.speech_client import trusted
from backend.gateways.speech_fault import SocketClosed, SocketRefused

LARGEST_MESSAGE_BYTES = 1024 * 1024
CLOSING_SECONDS = 1.0
"""How long the provider may take to say goodbye."""
PING_SECONDS = 10.0
"""So often it is asked whether it is there, and so long it may take to answer."""

_OUR_COMPLAINTS = {1002: "no valid WebSocket messages", 1007: "text that is no UTF-8", 1009: "too large a message"}


class SpeechSocket:
    """What Deepgram's SDK calls a transport: it is given to it as a class, made by it, and opened by the first `send`.

    Errors: `SocketRefused`, `OSError`, `BadAnswer` of the first `send`; then `SocketClosed`, `BadAnswer`.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = url
        self._headers = headers
        self._connection: ClientConnection | None = None

    async def send(self, data: str | bytes) -> None:
        """Send text or bytes; waits while too much is on its way."""
        if self._connection is None:
            self._connection = await _opened(self._url, self._headers)
        try:
            await self._connection.send(data)
        except ConnectionClosed as exc:
            ended = _ended(exc)
        else:
            return
        raise ended

    async def recv(self) -> bytes:
        """The next message, as bytes: those the SDK hands on as they are, where it guesses at the shape of text."""
        if self._connection is None:
            raise SocketClosed(None, "it was not opened")
        try:
            message = await self._connection.recv()
        except ConnectionClosed as exc:
            ended = _ended(exc)
        else:
            if isinstance(message, str):
                return message.encode()
            ended = BadAnswer("it sends bytes where there should be text")
        raise ended

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The messages until the socket is closed."""
        while True:
            yield await self.recv()

    async def close(self) -> None:
        """Say goodbye, and be gone in a moment whatever the provider does; also when cancelled."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await connection.close()
        except TimeoutError:
            pass  # it does not read what we send; it has had its time
        finally:
            if connection.state is not State.CLOSED:
                connection.transport.abort()


class _Straight(connect):
    """Audio goes to the address that the operator named, and to no other."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def _opened(url: str, headers: Mapping[str, str]) -> ClientConnection:
    """Errors: as of the first `SpeechSocket.send`; cancelled, it leaves nothing open."""
    try:
        return await _Straight(
            url,
            additional_headers=headers,
            compression=None,  # audio does not get smaller
            open_timeout=None,
            close_timeout=CLOSING_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_SECONDS,
            max_size=LARGEST_MESSAGE_BYTES,
            ssl=trusted() if url.startswith("wss:") else None,
        )
    except InvalidStatus as exc:
        refused: Exception = _refused(exc)
    except InvalidURI:
        refused = BadAnswer("its address is no address of a WebSocket; check its base URL")
    except WebSocketException as exc:
        lost = any(isinstance(cause, EOFError | ConnectionError) for cause in causes(exc))
        refused = ConnectionResetError() if lost else BadAnswer("what it answers opens no WebSocket")
    except OSError as exc:
        known = isinstance(exc, ssl.SSLError | socket.gaierror | ConnectionResetError | BrokenPipeError)
        refused = exc if known else ConnectionRefusedError()  # of several addresses it says no more than that
    raise refused


def _refused(exc: InvalidStatus) -> SocketRefused:
    """What the provider says is in a header, and mostly in the body too."""
    answer = exc.response
    headers = {name.lower(): value for name, value in answer.headers.raw_items()}
    try:
        body: object = json.loads(answer.body or b"")
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        reason = headers.get("dg-error", "")
        body = {"err_code": reason, "err_msg": reason}
    return SocketRefused(answer.status_code, headers, body)  # pyright: ignore[reportUnknownArgumentType]


def _ended(exc: ConnectionClosed) -> Exception:
    """Who ended it, and why."""
    theirs, ours = exc.rcvd, exc.sent
    if ours is not None and not exc.rcvd_then_sent and ours.code != 1000:
        complaint = _OUR_COMPLAINTS.get(ours.code)
        return BadAnswer(f"it sends {complaint}") if complaint else SocketClosed(None, "it does not answer any more")
    return SocketClosed(theirs.code, theirs.reason) if theirs is not None else SocketClosed(None, "")
