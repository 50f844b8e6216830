"""Who gets a place, who nearly did and why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from backend.models.memory_settings import MemorySettings
from backend.models.namespace import Namespace
from backend.ports import IndexHit, PromptMessage, Vector
from backend.services.memory.confidence import MINILM
from backend.services.memory.query_reading import read_query
from backend.services.memory.selection import MOST_NEAR_MISSES, Recall, RecallQuery, Scene, Selection
from backend.stores.memory_rows import RecallRow

NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)
TENANT, AGENT, PERSON, THREAD = (UUID(int=number) for number in range(1, 5))
OWN = Namespace(TENANT, AGENT)
OF_PERSON = Namespace(TENANT, AGENT, "user", PERSON)
OF_THREAD = Namespace(TENANT, AGENT, "thread", THREAD)
QUERY = RecallQuery("Where does the cat sleep?", [OWN, OF_PERSON, OF_THREAD], 2)


class Shelf:
    """Memories and how near each is to the question; each has a direction of its own unless one is given."""

    def __init__(self) -> None:
        self.hits: list[IndexHit] = []
        self.rows: dict[UUID, RecallRow] = {}
        self.vectors: dict[UUID, Vector] = {}
        self.asked: list[UUID] = []

    def add(
        self, text: str, likeness: float, words: float = 0.0, namespace: Namespace = OF_PERSON, **more: Any
    ) -> UUID:
        memory_id = uuid4()
        self.rows[memory_id] = RecallRow(
            id=memory_id, agent_id=namespace.agent_id, scope=namespace.scope, user_id=PERSON,
            subject_id=namespace.subject_id, thread_id=None, position=None, speaker=more.get("speaker", ""), text=text,
            kind="message", confirmations=more.get("confirmations", 0.0), uses=0,
            superseded_at=more.get("superseded_at"), superseded_by=None, expires_at=more.get("expires_at"),
            valid_from=NOW - timedelta(days=more.get("days", 10)), source_message_id=None,
        )  # fmt: skip
        self.vectors[memory_id] = np.array(more.get("vector", np.eye(200)[len(self.hits)]), dtype=np.float32)
        self.hits.append(IndexHit(memory_id, namespace, likeness, words, np.empty(0, np.float32)))
        return memory_id

    def select(self, query: RecallQuery = QUERY, speakers: Sequence[str] = ()) -> Recall:
        reading = read_query(query.text, speakers, NOW)
        selection = Selection(self.hits, self.rows, reading, query, Scene(NOW, 1000, MINILM))
        self.asked = selection.in_question()
        return selection.made({one: self.vectors[one] for one in self.asked})


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def ids(found: Recall) -> list[UUID]:
    return [one.id for one in found.memories]


def reasons(found: Recall) -> dict[UUID, str]:
    return {one.id: one.reason for one in found.near_misses}


def test_the_best_come_first_with_their_parts(shelf: Shelf) -> None:
    good, best = shelf.add("The cat naps indoors", 0.5), shelf.add("The cat sleeps in the attic", 0.8, 9.0)
    shelf.add("I like tea", 0.2)
    found = shelf.select()
    assert ids(found) == [best, good]
    first = found.memories[0]
    assert (first.text, first.scope, first.said_at) == ("The cat sleeps in the attic", "user", NOW - timedelta(days=10))
    assert first.parts.semantic == 1
    assert first.parts.recency == pytest.approx(0.5 ** (10 / 30), abs=1e-3)
    assert first.parts.score > found.memories[1].parts.score
    assert 0.5 < found.confidence < 1


def test_a_hit_without_its_row_is_nothing(shelf: Shelf) -> None:
    gone, there = shelf.add("The cat sleeps here", 0.9), shelf.add("The cat sleeps there", 0.8)
    del shelf.rows[gone]
    found = shelf.select()
    assert ids(found) == [there]
    assert gone not in reasons(found)


@pytest.mark.parametrize(
    "foreign",
    [
        Namespace(TENANT, AGENT, "user", UUID(int=99)),
        Namespace(TENANT, AGENT, "thread", UUID(int=99)),
        Namespace(TENANT, UUID(int=99)),
        Namespace(TENANT, UUID(int=99), "user", PERSON),
    ],
)
def test_a_row_of_another_namespace_is_nothing(shelf: Shelf, foreign: Namespace) -> None:
    shelf.add("The cat sleeps here", 0.9, namespace=foreign)
    shelf.hits = [replace(hit, namespace=OF_PERSON) for hit in shelf.hits]  # whatever the index says
    assert shelf.select() == Recall([], [], 0)


def test_what_left_its_place_says_why(shelf: Shelf) -> None:
    superseded = shelf.add("The cat sleeps in Porto", 0.9, superseded_at=NOW)
    expired = shelf.add("The cat sleeps at the vet", 0.85, expires_at=NOW - timedelta(seconds=1))
    in_view = shelf.add("My cat, Mia, is black", 0.8)
    shown = [shelf.add("The cat sleeps in the attic", 0.7), shelf.add("The cat snores", 0.6)]
    out = shelf.add("The dog sleeps", 0.5)
    noise = shelf.add("I like tea", 0.01)
    query = replace(QUERY, in_view=[PromptMessage("user", "Hello! my cat Mia is black. And shy.")])
    found = shelf.select(query)
    assert ids(found) == shown
    assert reasons(found) == {
        superseded: "superseded", expired: "expired", in_view: "in_view", out: "out_of_places", noise: "below_floor",
    }  # fmt: skip
    assert [one.id for one in found.near_misses] == [superseded, expired, in_view, out, noise]


def test_too_old_is_what_only_its_age_kept_out(shelf: Shelf) -> None:
    old = shelf.add("The cat sleeps on the roof", 0.62, days=900)
    fresh = [shelf.add(f"The cat sleeps in room {number}", 0.6 - number / 100, days=0) for number in range(2)]
    query = replace(QUERY, text="Where does the cat sleep now?")
    found = shelf.select(query)
    assert ids(found) == fresh
    assert reasons(found) == {old: "too_old"}


def test_near_misses_are_few(shelf: Shelf) -> None:
    for number in range(30):
        shelf.add(f"The cat sleeps {number}", 0.8 - number / 100)
    assert len(shelf.select().near_misses) == MOST_NEAR_MISSES


def test_what_an_agent_repeated_is_not_in_view_and_what_it_said_is(shelf: Shelf) -> None:
    shelf.add("My cat is black", 0.8)
    said = "I remember this: My cat is black."
    assert len(shelf.select(replace(QUERY, in_view=[PromptMessage("assistant", said)])).memories) == 1
    assert reasons(shelf.select(replace(QUERY, in_view=[PromptMessage("assistant", "my cat is black!")]))) != {}
    assert reasons(shelf.select(replace(QUERY, text="My cat is black?"))) == {}  # who searches looks for it


def test_the_floor_of_the_contract_is_kept(shelf: Shelf) -> None:
    best, other = shelf.add("The cat sleeps in the attic", 0.8), shelf.add("The dog sleeps", 0.3)
    shares = {one.id: one.parts.relevance for one in shelf.select().memories}
    between = (shares[best] + shares[other]) / 2
    found = shelf.select(replace(QUERY, settings=MemorySettings(relevance_floor=between)))
    assert ids(found) == [best]
    assert reasons(found) == {other: "below_floor"}
    nothing = shelf.select(replace(QUERY, settings=MemorySettings(relevance_floor=1.0)))
    assert (ids(nothing), nothing.confidence) == ([], 0)


def test_the_person_is_guaranteed_places(shelf: Shelf) -> None:
    for number in range(4):
        shelf.add(f"The cat sleeps in room {number}", 0.8, namespace=OF_THREAD)
    own = shelf.add("I have a cat", 0.4)
    assert own in ids(shelf.select())
    assert own not in ids(shelf.select(replace(QUERY, settings=MemorySettings(max_user_memories=0))))


def test_asked_what_it_knows_of_a_person_it_tells(shelf: Shelf) -> None:
    shelf.add("About ten minutes", 0.2)
    own = [shelf.add("I live in Lisbon", 0.05), shelf.add("My dog is called Rex", 0.02)]
    shelf.add("The library opens at nine", 0.03, namespace=OWN)
    found = shelf.select(replace(QUERY, text="What do you know about me?"))
    assert ids(found) == own
    assert found.confidence == 0.75
    assert set(reasons(found).values()) == {"out_of_places", "below_floor"}
    assert not set(ids(shelf.select(replace(QUERY, text="Why is the sky blue?")))) & set(own)


def test_who_is_named_said_it(shelf: Shelf) -> None:
    shelf.add("The cat sleeps in the attic", 0.5, speaker="Tom")
    marias = shelf.add("The cat sleeps in the cellar", 0.45, speaker="Maria")
    assert ids(shelf.select(replace(QUERY, text="Where does Maria's cat sleep?"), ["Maria", "Tom"]))[0] == marias


def test_a_named_time_counts(shelf: Shelf) -> None:
    shelf.add("The cat slept in the attic", 0.5, days=3)
    in_may = shelf.add("The cat slept in the cellar", 0.4, days=190)
    found = shelf.select(replace(QUERY, text="Where did the cat sleep in May 2026?"))
    assert ids(found)[0] == in_may


def test_there_may_be_fewer_than_asked_for(shelf: Shelf) -> None:
    assert shelf.select() == Recall([], [], 0)
    only = shelf.add("The cat sleeps in the attic", 0.8)
    assert ids(shelf.select(replace(QUERY, k=50))) == [only]


def test_of_two_about_one_thing_the_newer_wins_where_the_present_is_asked_for(shelf: Shelf) -> None:
    old = shelf.add("The cat sleeps in the attic", 0.8, days=40, vector=[1.0, 0.0])
    new = shelf.add("The cat took the cellar to sleep", 0.7, days=1, vector=[0.8, 0.6])
    assert ids(shelf.select()) == [new, old]
    assert set(shelf.asked) == {old, new}
    assert ids(shelf.select(replace(QUERY, text="Where did the cat sleep?"))) == [old, new]
    assert shelf.asked == []


def test_a_vector_that_is_gone_by_now_decides_nothing(shelf: Shelf) -> None:
    old, new = shelf.add("The cat sleeps in the attic", 0.8, days=40), shelf.add("The cat sleeps below", 0.7, days=1)
    reading = read_query(QUERY.text, [], NOW)
    selection = Selection(shelf.hits, shelf.rows, reading, QUERY, Scene(NOW, 1000, MINILM))
    assert [one.id for one in selection.made({new: shelf.vectors[new]}).memories] == [old, new]
