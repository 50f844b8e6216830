"""Recognises crisis language in what a person says, and answers it with a reviewed text and help lines.

English only: in other languages it recognises nothing, and help lines are given in English.
"""

from __future__ import annotations

from backend.models.run import CrisisKind
from backend.services.crisis.crisis_reader import CrisisReader, crisis_reader
from backend.services.crisis.help_lines import HelpLines


class CrisisGate:
    """Stands before every model. By rule: the same text always gets the same answer, and no model is asked.

    English only. It fires when in doubt about somebody's safety now; figures of speech, grief, what is long over,
    fiction and denials alone do not make it fire. `region` is one of `HelpLines.regions()`; another one is
    `Misconfigured`.
    """

    def __init__(self, region: str) -> None:
        self._help = HelpLines(region)
        self._reader: CrisisReader = crisis_reader()

    def detect(self, text: str) -> CrisisKind | None:
        """The most urgent crisis that a text speaks of, or None. All of the text is read."""
        return self._reader.read(text)

    def reply(self, kind: CrisisKind) -> str:
        """What is said instead of the agent's answer: plain sentences without markup, fit to be read out."""
        return self._help.reply(kind)
