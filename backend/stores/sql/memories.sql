-- Memories, their history and receipts. $1 is always the tenant; a null "seen by" is somebody who sees everybody's.
-- Everything that the search index must learn of leaves an order in the outbox. Rows are looked up by key each: what is
-- joined to a list names the list again (`= ANY`), or is a look-up that ends at the first row, since a plan made for a
-- small table would read a tenant's whole one.

-- name: insert
-- What is new, its first revision and its order. An id that has a history is left alone: a repeat keeps nothing twice,
-- and what was forgotten stays so. A text that is current already is confirmed instead, unless the same message or the
-- same id said it before: it becomes as young as its newest saying, and lives as long as the longest.
WITH given AS MATERIALIZED (
    SELECT g.*,
           CASE g.scope WHEN 'user' THEN g.user_id WHEN 'thread' THEN g.thread_id ELSE g.agent_id END AS subject_id
      FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::uuid[], $7::uuid[], $8::text[], $9::text[], $10::text[],
                  $11::bytea[], $12::text[], $13::uuid[], $14::int[], $15::timestamptz[], $16::timestamptz[],
                  $17::int[], $18::uuid[])
        AS g (id, agent_id, scope, user_id, thread_id, kind, speaker, text,
              digest, origin, source_message_id, position, valid_from, expires_at, sayings, last_id)
     WHERE (SELECT r.revision FROM memory_revisions r WHERE r.tenant_id = $1 AND r.memory_id = g.id LIMIT 1) IS NULL
     ORDER BY g.digest
), fresh AS (
    INSERT INTO memories (tenant_id, id, agent_id, scope, user_id, thread_id, kind, speaker, text, digest, origin,
                          source_message_id, position, confirmations, confirmed_by, valid_from, expires_at)
    SELECT $1, id, agent_id, scope, user_id, thread_id, kind, speaker, text, digest, origin,
           source_message_id, position, sayings - 1, last_id, coalesce(valid_from, now()), expires_at
      FROM given
        ON CONFLICT DO NOTHING
    RETURNING id, agent_id, user_id, text
), revision AS (
    INSERT INTO memory_revisions (tenant_id, memory_id, revision, agent_id, user_id, action, text, changed_by)
    SELECT $1, id, 1, agent_id, user_id, 'created', text, $2 FROM fresh
), known AS (
    SELECT m.id, g.sayings, g.last_id, coalesce(g.valid_from, now()) AS valid_from, g.expires_at
      FROM given g
     CROSS JOIN LATERAL (
           SELECT id
             FROM memories
            WHERE tenant_id = $1 AND digest = g.digest AND agent_id = g.agent_id AND scope = g.scope
              AND subject_id = g.subject_id AND speaker = g.speaker AND superseded_at IS NULL
              AND (source_message_id = g.source_message_id OR confirmed_by = g.last_id) IS NOT TRUE
            LIMIT 1
              FOR NO KEY UPDATE) AS m
), confirmed AS (
    UPDATE memories m
       SET confirmations = m.confirmations + known.sayings, confirmed_by = known.last_id,
           valid_from = greatest(m.valid_from, known.valid_from), updated_at = now(), indexed_at = NULL,
           expires_at = CASE WHEN m.expires_at IS NOT NULL AND known.expires_at IS NOT NULL
                             THEN greatest(m.expires_at, known.expires_at) END
      FROM known
     WHERE m.tenant_id = $1 AND m.id = ANY (ARRAY (SELECT id FROM known)) AND m.id = known.id
    RETURNING m.id
), ordered AS (
    INSERT INTO outbox (tenant_id, kind, subject_id)
    SELECT $1, 'memory.index', id FROM fresh UNION ALL SELECT $1, 'memory.index', id FROM confirmed
)
SELECT id FROM fresh;

-- name: get
SELECT id, agent_id, scope, user_id, thread_id, kind, speaker, text, origin, source_message_id, confirmations, uses,
       last_used_at, superseded_by, superseded_at, expires_at, valid_from, created_at, updated_at, indexed_at, revision
  FROM memories
 WHERE tenant_id = $1 AND id = $2 AND ($3::uuid IS NULL OR user_id = $3) IS TRUE;

-- name: these
SELECT id, agent_id, scope, user_id, thread_id, kind, speaker, text, origin, source_message_id, confirmations, uses,
       last_used_at, superseded_by, superseded_at, expires_at, valid_from, created_at, updated_at, indexed_at, revision
  FROM memories
 WHERE tenant_id = $1 AND id = ANY ($2::uuid[]) AND ($3::uuid IS NULL OR user_id = $3) IS TRUE;

-- name: current
-- For each, in order: itself by id, or else what is current and says the same.
SELECT coalesce(
       (SELECT m.id FROM memories m WHERE m.tenant_id = $1 AND m.id = said.id),
       (SELECT m.id
          FROM memories m
         WHERE m.tenant_id = $1 AND m.digest = said.digest AND m.agent_id = said.agent_id AND m.scope = said.scope
           AND m.subject_id = said.subject_id AND m.speaker = said.speaker AND m.superseded_at IS NULL)) AS id
  FROM unnest($2::uuid[], $3::bytea[], $4::uuid[], $5::text[], $6::uuid[], $7::text[])
       WITH ORDINALITY AS said (id, digest, agent_id, scope, subject_id, speaker, place)
 ORDER BY place;

-- name: namespaces
-- One of the three is read: what is said of a thread, of a person, or all that an agent knows.
SELECT DISTINCT scope, CASE WHEN scope <> 'agent' THEN subject_id END AS subject_id
  FROM (SELECT scope, subject_id
          FROM memories
         WHERE tenant_id = $1 AND agent_id = $2 AND $3::uuid IS NULL AND $4::uuid IS NULL
        UNION ALL
        SELECT scope, subject_id
          FROM memories
         WHERE tenant_id = $1 AND user_id = $3 AND (agent_id = $2) IS TRUE AND $4::uuid IS NULL
        UNION ALL
        SELECT scope, subject_id
          FROM memories
         WHERE tenant_id = $1 AND thread_id = $4 AND (agent_id = $2 AND ($3::uuid IS NULL OR user_id = $3)) IS TRUE)
       AS reached
 WHERE $5::text IS NULL OR scope = $5
 LIMIT $6;

-- name: page_of_agent
-- What an agent knows, newest first. The filters are the same in all three; what differs is the index that is walked.
SELECT id, agent_id, scope, user_id, thread_id, kind, speaker, text, origin, source_message_id, confirmations, uses,
       last_used_at, superseded_by, superseded_at, expires_at, valid_from, created_at, updated_at, indexed_at, revision
  FROM memories
 WHERE tenant_id = $1 AND agent_id = $2 AND ($3::uuid IS NULL OR user_id = $3) AND ($4::uuid IS NULL OR thread_id = $4)
   AND ($5::text IS NULL OR kind = $5) AND ($6::text IS NULL OR scope = $6) AND ($7 OR superseded_at IS NULL)
   AND (created_at, id) < ($8, $9)
 ORDER BY created_at DESC, id DESC
 LIMIT $10 OFFSET $11;

-- name: page_of_user
-- What it knows of one person.
SELECT id, agent_id, scope, user_id, thread_id, kind, speaker, text, origin, source_message_id, confirmations, uses,
       last_used_at, superseded_by, superseded_at, expires_at, valid_from, created_at, updated_at, indexed_at, revision
  FROM memories
 WHERE tenant_id = $1 AND user_id = $3 AND (agent_id = $2) IS TRUE AND ($4::uuid IS NULL OR thread_id = $4)
   AND ($5::text IS NULL OR kind = $5) AND ($6::text IS NULL OR scope = $6) AND ($7 OR superseded_at IS NULL)
   AND (created_at, id) < ($8, $9)
 ORDER BY created_at DESC, id DESC
 LIMIT $10 OFFSET $11;

-- name: page_of_thread
-- What was said in one thread.
SELECT id, agent_id, scope, user_id, thread_id, kind, speaker, text, origin, source_message_id, confirmations, uses,
       last_used_at, superseded_by, superseded_at, expires_at, valid_from, created_at, updated_at, indexed_at, revision
  FROM memories
 WHERE tenant_id = $1 AND thread_id = $4 AND (agent_id = $2) IS TRUE AND ($3::uuid IS NULL OR user_id = $3)
   AND ($5::text IS NULL OR kind = $5) AND ($6::text IS NULL OR scope = $6) AND ($7 OR superseded_at IS NULL)
   AND (created_at, id) < ($8, $9)
 ORDER BY created_at DESC, id DESC
 LIMIT $10 OFFSET $11;

-- name: count_of_agent
SELECT count(*)
  FROM memories
 WHERE tenant_id = $1 AND agent_id = $2 AND ($3::uuid IS NULL OR user_id = $3) AND ($4::uuid IS NULL OR thread_id = $4)
   AND ($5::text IS NULL OR kind = $5) AND ($6::text IS NULL OR scope = $6) AND ($7 OR superseded_at IS NULL);

-- name: count_of_user
SELECT count(*)
  FROM memories
 WHERE tenant_id = $1 AND user_id = $3 AND (agent_id = $2) IS TRUE AND ($4::uuid IS NULL OR thread_id = $4)
   AND ($5::text IS NULL OR kind = $5) AND ($6::text IS NULL OR scope = $6) AND ($7 OR superseded_at IS NULL);

-- name: count_of_thread
SELECT count(*)
  FROM memories
 WHERE tenant_id = $1 AND thread_id = $4 AND (agent_id = $2) IS TRUE AND ($3::uuid IS NULL OR user_id = $3)
   AND ($5::text IS NULL OR kind = $5) AND ($6::text IS NULL OR scope = $6) AND ($7 OR superseded_at IS NULL);

-- name: held
-- How many the tenant has.
SELECT count(*) FROM memories WHERE tenant_id = $1;

-- name: held_of_agent
SELECT count(*) FROM memories WHERE tenant_id = $1 AND agent_id = $2;

-- name: held_of_user
-- Of one person, by whichever agent, or by one.
SELECT count(*) FROM memories WHERE tenant_id = $1 AND user_id = $2 AND ($3::uuid IS NULL OR agent_id = $3) IS TRUE;

-- name: for_recall
SELECT id, agent_id, scope, user_id, CASE WHEN scope <> 'agent' THEN subject_id END AS subject_id, thread_id, position,
       speaker, text, kind, confirmations, uses, superseded_at, superseded_by, expires_at, valid_from, source_message_id
  FROM memories
 WHERE tenant_id = $1 AND id = ANY ($2::uuid[]);

-- name: speakers
-- From each name to the next one, however many memories each of them has.
WITH RECURSIVE named (subject_id, speaker) AS (
    SELECT wanted.subject_id, (
           SELECT m.speaker
             FROM memories m
            WHERE m.tenant_id = $1 AND m.agent_id = $2 AND m.subject_id = wanted.subject_id AND m.speaker <> ''
            ORDER BY m.speaker
            LIMIT 1)
      FROM unnest($3::uuid[]) AS wanted (subject_id)
    UNION ALL
    SELECT named.subject_id, (
           SELECT m.speaker
             FROM memories m
            WHERE m.tenant_id = $1 AND m.agent_id = $2 AND m.subject_id = named.subject_id AND m.speaker <> ''
              AND m.speaker > named.speaker
            ORDER BY m.speaker
            LIMIT 1)
      FROM named
     WHERE named.speaker IS NOT NULL
)
SELECT DISTINCT speaker FROM named WHERE speaker IS NOT NULL ORDER BY speaker;

-- name: to_index
SELECT id, agent_id, scope, CASE WHEN scope <> 'agent' THEN subject_id END AS subject_id, text, speaker, valid_from,
       thread_id, position, superseded_at IS NOT NULL AS superseded, revision, created_at, updated_at
  FROM memories
 WHERE tenant_id = $1 AND id = ANY ($2::uuid[]);

-- name: around
-- The nearest before and after each of these, of the same thread and namespace; not these themselves.
SELECT DISTINCT near.id, near.agent_id, near.scope,
       CASE WHEN near.scope <> 'agent' THEN near.subject_id END AS subject_id, near.text, near.speaker,
       near.valid_from, near.thread_id, near.position,
       near.superseded_at IS NOT NULL AS superseded, near.revision, near.created_at, near.updated_at
  FROM memories m
 CROSS JOIN LATERAL (
       (SELECT *
          FROM memories b
         WHERE b.tenant_id = $1 AND b.thread_id = m.thread_id AND b.position < m.position
           AND (b.agent_id = m.agent_id AND b.scope = m.scope AND b.subject_id = m.subject_id) IS TRUE
         ORDER BY b.position DESC
         LIMIT 1)
        UNION ALL
       (SELECT *
          FROM memories a
         WHERE a.tenant_id = $1 AND a.thread_id = m.thread_id AND a.position > m.position
           AND (a.agent_id = m.agent_id AND a.scope = m.scope AND a.subject_id = m.subject_id) IS TRUE
         ORDER BY a.position
         LIMIT 1)
       ) AS near
 WHERE m.tenant_id = $1 AND m.id = ANY ($2::uuid[]) AND near.id <> ALL ($2::uuid[]);

-- name: replaced_by
-- What gave way to each of these.
SELECT id, agent_id, scope, CASE WHEN scope <> 'agent' THEN subject_id END AS subject_id, text, speaker, valid_from,
       thread_id, position, superseded_at IS NOT NULL AS superseded, revision, created_at, updated_at, superseded_by
  FROM memories
 WHERE tenant_id = $1 AND superseded_by = ANY ($2::uuid[]);

-- name: mark_indexed
-- What was changed since it was read stays unmarked: its order is still to come.
UPDATE memories m
   SET indexed_at = clock_timestamp()
  FROM unnest($2::uuid[], $3::int[]) AS done (id, revision)
 WHERE m.tenant_id = $1 AND m.id = ANY ($2::uuid[]) AND m.id = done.id AND (m.revision = done.revision) IS TRUE;

-- name: edit
-- What is given of text ($4, $5), kind ($6) and expiry ($8, if $7), and current again if $9; no row when that is how it
-- is already.
WITH before AS (
    SELECT id, superseded_at, superseded_by
      FROM memories
     WHERE tenant_id = $1 AND id = $2 AND ($3::uuid IS NULL OR user_id = $3) IS TRUE
       FOR NO KEY UPDATE
), changed AS (
    UPDATE memories m
       SET text = coalesce($4, m.text), digest = coalesce($5, m.digest), kind = coalesce($6, m.kind),
           expires_at = CASE WHEN $7 THEN $8 ELSE m.expires_at END,
           superseded_at = CASE WHEN NOT $9 THEN m.superseded_at END,
           superseded_by = CASE WHEN NOT $9 THEN m.superseded_by END,
           revision = m.revision + 1, updated_at = now(), indexed_at = NULL
      FROM before
     WHERE m.tenant_id = $1 AND m.id = $2 AND m.id = before.id
       AND (m.text <> $4 OR m.kind <> $6 OR $7 AND m.expires_at IS DISTINCT FROM $8
            OR $9 AND m.superseded_at IS NOT NULL) IS TRUE
    RETURNING m.*, before.superseded_at IS NOT NULL AND $9 AS restored, before.superseded_by AS successor
), revision AS (
    INSERT INTO memory_revisions (tenant_id, memory_id, revision, agent_id, user_id, action, text, changed_by)
    SELECT $1, id, revision, agent_id, user_id, CASE WHEN restored THEN 'restored' ELSE 'edited' END, text, $10
      FROM changed
), ordered AS (
    INSERT INTO outbox (tenant_id, kind, subject_id)
    SELECT $1, 'memory.index', id FROM changed
    UNION
    SELECT $1, 'memory.index', successor FROM changed WHERE successor IS NOT NULL
)
SELECT id, agent_id, scope, user_id, thread_id, kind, speaker, text, origin, source_message_id, confirmations, uses,
       last_used_at, superseded_by, superseded_at, expires_at, valid_from, created_at, updated_at, indexed_at, revision
  FROM changed;

-- name: forget
-- The rows go, the texts of their history go, and that they were forgotten is kept. They had a part in the vectors of
-- what was said after them and of what took their place: these are made anew.
WITH gone AS (
    DELETE FROM memories
     WHERE tenant_id = $1 AND id = ANY ($2::uuid[])
    RETURNING id, agent_id, scope, subject_id, user_id, thread_id, position, revision, superseded_by
), blanked AS (
    UPDATE memory_revisions r
       SET text = NULL
     WHERE r.tenant_id = $1 AND r.memory_id = ANY ($2::uuid[])
), told AS (
    INSERT INTO memory_revisions (tenant_id, memory_id, revision, agent_id, user_id, action, changed_by)
    SELECT $1, id, revision + 1, agent_id, user_id, 'forgotten', $3 FROM gone
), freed AS (
    UPDATE memories m
       SET superseded_by = NULL
     WHERE m.tenant_id = $1 AND m.superseded_by = ANY ($2::uuid[]) AND m.id <> ALL ($2::uuid[])
), ordered AS (
    INSERT INTO outbox (tenant_id, kind, subject_id)
    SELECT $1, 'memory.index', id FROM gone
    UNION
    SELECT $1, 'memory.index', superseded_by FROM gone WHERE superseded_by IS NOT NULL
    UNION
    SELECT $1, 'memory.index', after.id
      FROM gone
     CROSS JOIN LATERAL (
           SELECT a.id
             FROM memories a
            WHERE a.tenant_id = $1 AND a.thread_id = gone.thread_id AND a.position > gone.position
              AND (a.agent_id = gone.agent_id AND a.scope = gone.scope AND a.subject_id = gone.subject_id) IS TRUE
            ORDER BY a.position
            LIMIT 2) AS after
)
SELECT count(*) FROM gone;

-- name: of_thread
-- What was said in a thread, or only what belongs to a scope.
SELECT id
  FROM memories
 WHERE tenant_id = $1 AND thread_id = $2
   AND ($3::uuid IS NULL OR user_id = $3) IS TRUE AND ($4::text IS NULL OR scope = $4) IS TRUE;

-- name: history
SELECT revision, action, text, changed_by, changed_at
  FROM memory_revisions
 WHERE tenant_id = $1 AND memory_id = $2 AND ($3::uuid IS NULL OR user_id = $3) IS TRUE
 ORDER BY revision;

-- name: supersede
-- The older gives way to the newer, if both are of one namespace and the older is current.
WITH changed AS (
    UPDATE memories m
       SET superseded_by = $3, superseded_at = now(), revision = m.revision + 1, updated_at = now(), indexed_at = NULL
      FROM memories newer
     WHERE m.tenant_id = $1 AND m.id = $2 AND newer.tenant_id = $1 AND newer.id = $3
       AND (m.superseded_at IS NULL AND m.id <> newer.id AND m.agent_id = newer.agent_id AND m.scope = newer.scope
            AND m.subject_id = newer.subject_id) IS TRUE
    RETURNING m.id, m.agent_id, m.user_id, m.text, m.revision
), revision AS (
    INSERT INTO memory_revisions (tenant_id, memory_id, revision, agent_id, user_id, action, text)
    SELECT $1, id, revision, agent_id, user_id, 'superseded', text FROM changed
), ordered AS (
    INSERT INTO outbox (tenant_id, kind, subject_id) SELECT $1, 'memory.index', id FROM changed
)
SELECT id FROM changed;

-- name: revise
-- The newer takes the place of a part of the older, which stays current; of several the last.
UPDATE memories m
   SET superseded_by = $3
  FROM memories newer
 WHERE m.tenant_id = $1 AND m.id = $2 AND newer.tenant_id = $1 AND newer.id = $3
   AND (m.superseded_at IS NULL AND m.superseded_by IS DISTINCT FROM $3 AND m.id <> newer.id
        AND m.agent_id = newer.agent_id AND m.scope = newer.scope AND m.subject_id = newer.subject_id) IS TRUE
   AND (coalesce((SELECT known.valid_from FROM memories known WHERE known.tenant_id = $1 AND known.id = m.superseded_by),
                 '-infinity') <= newer.valid_from) IS TRUE
RETURNING m.id;

-- name: confirm
-- In one order, so that two who confirm the same wait for each other and never both.
WITH praised AS (
    SELECT id FROM memories WHERE tenant_id = $1 AND id = ANY ($2::uuid[]) ORDER BY id FOR NO KEY UPDATE
)
UPDATE memories m
   SET confirmations = m.confirmations + $3
  FROM praised
 WHERE m.tenant_id = $1 AND m.id = ANY ($2::uuid[]) AND m.id = praised.id;

-- name: add_receipt
-- An answer that is given again has the receipt of its last time. A memory that another turn is counting at this
-- moment is not waited for.
WITH receipt AS (
    INSERT INTO recalls (tenant_id, message_id, thread_id, agent_id, user_id, state, confidence, recalled, near_misses,
                         created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb, $9::text::jsonb, $10)
        ON CONFLICT (tenant_id, message_id) DO UPDATE
       SET state = excluded.state, confidence = excluded.confidence, recalled = excluded.recalled,
           near_misses = excluded.near_misses, created_at = excluded.created_at
), used AS (
    SELECT id FROM memories WHERE tenant_id = $1 AND id = ANY ($11::uuid[]) FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE memories m
   SET uses = m.uses + 1, last_used_at = $10
  FROM used
 WHERE m.tenant_id = $1 AND m.id = ANY ($11::uuid[]) AND m.id = used.id;

-- name: receipt
SELECT message_id, thread_id, agent_id, user_id, state, confidence, recalled::text AS recalled,
       near_misses::text AS near_misses, created_at
  FROM recalls
 WHERE tenant_id = $1 AND message_id = $2 AND ($3::uuid IS NULL OR user_id = $3) IS TRUE;
