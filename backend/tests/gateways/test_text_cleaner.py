"""Text without NUL and lone surrogates, however it was cut into pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backend.gateways.text_cleaner import TextCleaner, clean

ODD = st.text(alphabet=st.sampled_from("aß\x00\ud83d\ude00\udbff\udc00\U0001f600"), max_size=12)


@given(st.lists(ODD, max_size=6))
def test_the_cut_does_not_matter(pieces: list[str]) -> None:
    cleaner = TextCleaner()
    text = "".join([*map(cleaner.push, pieces), cleaner.rest()])
    assert text == clean("".join(pieces))
    assert "\x00" not in text
    text.encode()


@given(ODD)
def test_it_is_what_utf16_says(text: str) -> None:
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert clean(text) == joined.replace("\x00", "\ufffd")


@given(st.text().filter(lambda text: "\x00" not in text))
def test_fit_text_stays_as_it_is(text: str) -> None:
    assert clean(text) == text
