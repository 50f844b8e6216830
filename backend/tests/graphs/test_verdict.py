"""Verdicts are read out of what models write."""

from __future__ import annotations

import pytest

from backend.graphs.verdict import NoVerdict, read_verdict
from backend.models.interview_progress import Verdict

DONE = Verdict(done=True, answer="All three are found.")


@pytest.mark.parametrize(
    "text",
    [
        '{"done": true, "answer": "All three are found."}',
        '```json\n{"done": true, "answer": "All three are found."}\n```',
        'I looked at everything {and it is fine}.\n\n{"done": true, "answer": "All three are found."} That is all.',
        '{"done": false, "missing": "x"}\nNo, wait:\n{"done": true, "answer": "All three are found."}',
        '{"note": {"done": false}}\n{"done": true, "answer": "All three are found.", "sure": 0.9, "missing": null}',
        '{{{{ {"done": true, "answer": "All three are found."}',
    ],
)
def test_a_verdict_is_found_among_other_words(text: str) -> None:
    assert read_verdict(text) == DONE


def test_a_verdict_that_goes_on_says_what_is_missing() -> None:
    assert read_verdict('{"done": false, "missing": "the third"}') == Verdict(done=False, missing="the third")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no JSON object"),
        ("Yes, it is done.", "no JSON object"),
        ('{"finished": true}', 'with "done" in it'),
        ('[{"done": "perhaps"}]', "/done"),
        ('{"done": true, "answer": ["a"]}', "/answer"),
        ('{"done": true, "answer": "cut', "no JSON object"),
        ('{"a":' * 5000, "no JSON object"),
        ('{"done":' + "[" * 200_000, "no JSON object"),
    ],
)
def test_what_is_no_verdict_says_why(text: str, fault: str) -> None:
    with pytest.raises(NoVerdict, match=fault):
        read_verdict(text)
