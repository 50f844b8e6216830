"""The way of a recall: read the question, ask the index, read the rows through the wall, rank."""

from __future__ import annotations

from backend.ports import IndexQuery
from backend.services.memory.confidence import calibration_of
from backend.services.memory.engine import MemoryEngine
from backend.services.memory.query_reading import QueryReading, read_query
from backend.services.memory.ranking import CANDIDATES
from backend.services.memory.selection import Recall, RecallQuery, Scene, Selection

_LONGEST_QUERY = 2000
"""Characters. Of a longer message the beginning and the end are searched for: there people say what they want."""


async def recall(engine: MemoryEngine, query: RecallQuery) -> Recall:
    """The memories for these words. What the index names and the tenant may not see does not come along.

    Nothing is held open while another part is waited for. Errors: `DatabaseUnavailable`, `EmbedderUnavailable`,
    `IndexUnavailable`.
    """
    if not query.namespaces or not query.text.strip():
        return Recall()
    tenant_id, agent_id = query.namespaces[0].tenant_id, query.namespaces[0].agent_id
    now = engine.clock.now()
    speakers = await engine.database.statements(tenant_id).memories.speakers(
        agent_id, [namespace.subject_id for namespace in query.namespaces]
    )
    reading = read_query(_shortened(query.text), speakers, now)
    found = await engine.index.search(await _index_query(engine, query, reading))
    if not found:
        return Recall()
    rows = await engine.database.statements(tenant_id).memories.for_recall([hit.id for hit in found])
    scene = Scene(now, await engine.points(), calibration_of(engine.embedder.name))
    selection = Selection(found, {row.id: row for row in rows}, reading, query, scene)
    asked = selection.in_question()
    return selection.made(await engine.index.vectors(asked) if asked else {})


async def _index_query(engine: MemoryEngine, query: RecallQuery, reading: QueryReading) -> IndexQuery:
    [vector] = await engine.embedder.embed([reading.topic])
    return IndexQuery(
        namespaces=query.namespaces,
        vector=vector,
        words=reading.topic,
        limit=CANDIDATES,
        said_between=reading.spans[0] if reading.spans else None,
        with_vectors=False,
    )


def _shortened(text: str) -> str:
    half = _LONGEST_QUERY // 2
    return text if len(text) <= _LONGEST_QUERY else f"{text[:half]} {text[-half:]}"
