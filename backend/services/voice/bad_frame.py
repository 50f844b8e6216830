"""What a client sent that is no frame of the protocol."""

from __future__ import annotations


class BadFrame(Exception):
    """The socket is closed with `close_code` (RFC 6455, 7.4.1); `code` and `detail` are told to the client first."""

    def __init__(self, close_code: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.close_code = close_code
        self.code = code
        self.detail = detail
