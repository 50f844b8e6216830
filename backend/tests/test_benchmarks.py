"""The benchmark of memory finds what was said, through everything that a server has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.conversations import Conversation, Question, average, load, scores
from benchmarks.memory_retriever import RELEVANCE_ALONE, MemoryRetriever, factory

DOCUMENT = {
    "sample_id": "talk-1",
    "conversation": {
        "speaker_a": "Jon",
        "speaker_b": "Gina",
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [
            {"dia_id": "D1:1", "speaker": "Jon", "text": "I lost my job as a banker."},
            {"dia_id": "D1:2", "speaker": "Gina", "text": "I opened a clothing store."},
            {"dia_id": "D1:3", "speaker": "Jon", "text": "", "blip_caption": "a dance studio"},
        ],
        "session_2_date_time": "2:00 pm on 20 June, 2023",
        "session_2": [{"dia_id": "D2:1", "speaker": "Gina", "text": "The store sells hoodies now."}],
    },
    "qa": [
        {"question": "What does the clothing store sell?", "evidence": ["D1:2; D2:1"], "category": 1},
        {"question": "Which job did Jon lose?", "evidence": ["D1:01"], "category": 4},
        {"question": "What did nobody say?", "evidence": ["D1:1"], "category": 5},
        {"question": "What is not there?", "evidence": ["D9:9"], "category": 4},
    ],
}


class Words:
    """Vectors of words: those with a word in common are alike."""

    name = "Words"

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        rows = np.full((len(texts), 64), 1e-3, dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().replace("?", "").replace(".", "").split():
                row[sum(word.encode()) % 64] += 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def conversation(tmp_path_factory: pytest.TempPathFactory) -> Conversation:
    folder: Path = tmp_path_factory.mktemp("benchmark")
    (folder / "talks.json").write_text(json.dumps([DOCUMENT]))
    (folder / "split.txt").write_text("# the one\ntalk-1\n")
    [loaded] = load(folder / "talks.json", folder / "split.txt")
    (folder / "unknown.txt").write_text("talk-2\n")
    with pytest.raises(SystemExit, match="talk-2"):
        load(folder / "talks.json", folder / "unknown.txt")
    return loaded


@pytest.fixture(scope="module")
def retriever(conversation: Conversation) -> Iterator[MemoryRetriever]:
    made = factory(Words())
    made.index(conversation)
    yield made
    made.close()


def test_the_data_are_read_with_their_malformed_references(conversation: Conversation) -> None:
    assert [one.evidence for one in conversation.questions] == [{"D1:2", "D2:1"}, {"D1:1"}]
    assert conversation.turns[2].text == "[shares a dance studio]"
    assert conversation.now == datetime(2023, 6, 21, 14, 0)  # noqa: DTZ001 — the data name no zone


def test_what_was_said_is_found(retriever: MemoryRetriever, conversation: Conversation) -> None:
    rows = [scores(one, retriever.search(one.text, 50)) for one in conversation.questions]
    assert average(rows)["recall@3"] == 1
    assert average(rows)["MRR"] == 1
    assert retriever.weighing(RELEVANCE_ALONE).search("Which job did Jon lose?", 1) == ["D1:1"]


def test_a_second_conversation_is_a_world_of_its_own(retriever: MemoryRetriever, conversation: Conversation) -> None:
    retriever.index(Conversation("talk-2", conversation.turns[:1], ()))
    assert retriever.search("What does the clothing store sell?", 50) in ([], ["D1:1"])


def test_a_ranking_is_scored_by_where_its_evidence_stands() -> None:
    found = scores(Question("?", frozenset({"a", "b"})), ["x", "a", "y", "b"])
    assert (found["recall@3"], found["recall@6"], found["MRR"]) == (0.5, 1.0, 0.5)
    assert scores(Question("?", frozenset({"a"})), [])["MRR"] == 0
