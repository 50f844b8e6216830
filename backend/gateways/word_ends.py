"""Where words end in a text."""

from __future__ import annotations

import re

_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_ALONE}]|[^\s{_ALONE}–—/]+[–—/]*|[–—/]+")


def word_ends(text: str) -> list[int]:
    """The place after each word and what closes it; where no spaces stand between words, each character is one."""
    return [word.end() for word in _WORD.finditer(text)]
