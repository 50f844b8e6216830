"""Whether a sentence only asks. What it says about how things are, before, beside or inside a question, is telling."""

from __future__ import annotations

import re

_WORD = r"[\w'’-]+"
_QUESTION_WORDS = "what|who|whom|whose|which|where|when|why|how"
_AUXILIARIES = (
    "is|are|am|was|were|do|does|did|can|could|will|would|should|shall"
    "|isn't|aren't|don't|doesn't|didn't|can't|won't|couldn't|wouldn't|shouldn't"
)
_HELPING = rf"(?:{_AUXILIARIES}|may|might|must|has|have|had|['’]s|['’]re|['’]d)"
_PERSON = (
    "(?:i|we|you|he|she|it|they|this|that|these|those|there|the|a|an|my|your|our|his|her|its|their"
    "|any(?:one|body|thing)?|some(?:one|body|thing)?)"
)
_OPENERS = r"(?:(?:and|but|so|ok|okay|well|hey|hi|please|now|also|then|actually|by\ the\ way)[,\s]+)*"
_QUESTION = re.compile(
    rf"""{_OPENERS}
    (?: (?:{_QUESTION_WORDS})\s*\b{_HELPING}\b
      | (?:what|whose|which|how)(?:\s+(?!{_PERSON}\b){_WORD}){{1,3}}?\s*\b{_HELPING}\b
      | (?:{_AUXILIARIES})\s+{_PERSON}\b
      | (?:may|have|has|had)\s+(?:i|we|you|he|she|it|they|anyone|anybody)\b
      | (?:please\s+)?(?:tell|show|give|remind|explain|let)\s+(?:to\s+)?(?:me|us)(?:\s+know)?\s+(?:again\s+)?
        (?:{_QUESTION_WORDS}|about|of|if|whether|everything|all|anything|something|my|our)\b
      | (?:what|how)\s+about\b )""",
    re.IGNORECASE | re.VERBOSE,
)
_ASKED = re.compile(r"[?？؟]\s*[\"'”’)]*$")
_CLAUSE = re.compile(
    rf"[,;:–—]|\s-\s|\b(?:and|but|so)\b(?=\s+(?:{_QUESTION_WORDS}|{_AUXILIARIES})\b)",
    re.IGNORECASE,
)
# "Did you know that I …", "… because I …", "… my daughter, who is …"
_TELLS = re.compile(
    r"""^(?:did|do)\s+you\s+(?:know|remember|hear)\s+that\s+(?:i|my|we|our)\b
      | ^(?:did|have)\s+i\s+(?:ever\s+|already\s+)?(?:tell|told|mention|mentioned|say|said)\s+(?:you\s+)?that\s
      | \b(?:because|since|(?:now|given|considering|seeing)\ that)\s+(?:i|my|we|our)\b
      | \b(?:my|our)\s+[\w'’-]+(?:\s+[\w'’-]+)?,?\s+who\s+(?!(?:do|does|did|can|should|would)\b)""",
    re.IGNORECASE | re.VERBOSE,
)
_STATES = re.compile(
    rf"""(?:(?:and|but|so|well|ok|okay|hi|hey|hello|also|actually|because|since|as|now\ that)\s+)*
    (?: (?:i|we|he|she|they)(?:\s+(?:just|also|really|recently|currently|now|only|finally|have|had|still))*
        \s+(?!{_HELPING}\s+you\b){_WORD}
      | (?:i|we|he|she|they|it)['’](?:m|ve|re|s|ll|d)\b
      | (?:my|our)\s+{_WORD}(?:\s+{_WORD}){{0,3}}?
        \s+(?:is|are|was|were|has|have|had|lives?|works?|likes?|loves?|hates?)\b )""",
    re.IGNORECASE | re.VERBOSE,
)
_WONDERS = re.compile(
    rf"""(?:i|we)(?:['’]m|['’]d|\s+am|\s+was|\s+would|\s+do|\s+just|\s+really|\s+also)*\s+
    (?: wonder(?:ing)? | curious | ask(?:ing)? | wanted?\s+to\s+(?:know|ask) | like\s+to\s+(?:know|ask)
      | need\s+to\s+know | (?:don['’]t|do\s+not)\s+(?:know|understand|remember) | forgot )
    \s+(?:if|whether|{_QUESTION_WORDS}|about|you)\b(?!\s+to\b)""",
    re.IGNORECASE | re.VERBOSE,
)


def only_asks(sentence: str) -> bool:
    """Whether nothing in the sentence says how things are: "What is my dog called?", not "I have a dog, what …"."""
    sentence = sentence.strip()
    if _TELLS.search(sentence):
        return False
    if not (_ASKED.search(sentence) or _QUESTION.match(sentence)):
        return bool(_WONDERS.match(sentence))
    clauses = [one.strip() for one in _CLAUSE.split(sentence) if one.strip()]
    if not clauses or _QUESTION.match(clauses[0]):
        return True
    return not any(_STATES.match(one) and not _WONDERS.match(one) for one in clauses[:-1])
