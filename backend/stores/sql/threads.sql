-- Threads and their messages. $1 is always the tenant; a null "seen by" user is somebody who sees everybody's.

-- name: insert
INSERT INTO threads (tenant_id, id, agent_id, user_id, title)
VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (tenant_id, id) DO NOTHING
RETURNING id, agent_id, user_id, title, status, message_count, last_message_at, context_summary, created_at, updated_at;

-- name: get
SELECT id, agent_id, user_id, title, status, message_count, last_message_at, context_summary, created_at, updated_at
  FROM threads
 WHERE tenant_id = $1 AND id = $2 AND ($3::uuid IS NULL OR user_id = $3);

-- name: list_page
SELECT id, agent_id, user_id, title, status, message_count, last_message_at, context_summary, created_at, updated_at,
       (SELECT count(*) FROM threads
         WHERE tenant_id = $1 AND agent_id = $2 AND ($3::uuid IS NULL OR user_id = $3)
           AND (status = $4 OR ($4::text IS NULL AND status <> 'archived'))) AS total
  FROM threads
 WHERE tenant_id = $1 AND agent_id = $2 AND ($3::uuid IS NULL OR user_id = $3)
   AND (status = $4 OR ($4::text IS NULL AND status <> 'archived'))
   AND (created_at, id) < ($5, $6)
 ORDER BY created_at DESC, id DESC
 LIMIT $7 OFFSET $8;

-- name: count
SELECT count(*)
  FROM threads
 WHERE tenant_id = $1 AND agent_id = $2 AND ($3::uuid IS NULL OR user_id = $3)
   AND (status = $4 OR ($4::text IS NULL AND status <> 'archived'));

-- name: update
UPDATE threads
   SET title = coalesce($4, title), status = coalesce($5, status), updated_at = now()
 WHERE tenant_id = $1 AND id = $2 AND ($3::uuid IS NULL OR user_id = $3)
RETURNING id, agent_id, user_id, title, status, message_count, last_message_at, context_summary, created_at, updated_at;

-- name: delete
DELETE FROM threads
 WHERE tenant_id = $1 AND id = $2 AND ($3::uuid IS NULL OR user_id = $3)
   AND (active_run_id IS NULL OR active_until < clock_timestamp())
RETURNING id;

-- name: messages
-- The newest $4 before a position, in the order they were said.
SELECT * FROM (
    SELECT id, thread_id, position, role, content, status, run_id, metadata::text AS metadata,
           feedback_score, feedback_reason, created_at
      FROM thread_messages
     WHERE tenant_id = $1 AND thread_id = $2 AND ($3::int IS NULL OR position < $3)
     ORDER BY position DESC
     LIMIT $4
) newest ORDER BY position;

-- name: message
SELECT id, thread_id, position, role, content, status, run_id, metadata::text AS metadata,
       feedback_score, feedback_reason, created_at
  FROM thread_messages
 WHERE tenant_id = $1 AND thread_id = $2 AND id = $3;

-- name: add_message
-- The message and the thread's counters, together.
WITH thread AS (
    UPDATE threads
       SET message_count = message_count + 1, last_message_at = clock_timestamp(), updated_at = clock_timestamp()
     WHERE tenant_id = $1 AND id = $2
    RETURNING message_count
)
INSERT INTO thread_messages (tenant_id, id, thread_id, position, role, content, metadata)
SELECT $1, $3, $2, message_count, $4, $5, $6::text::jsonb FROM thread
RETURNING id, thread_id, position, role, content, status, run_id, metadata::text AS metadata,
          feedback_score, feedback_reason, created_at;

-- name: feedback
-- With the score before; the row is locked first, so that of two who score at once each counts from the other's.
WITH before AS (
    SELECT id, feedback_score
      FROM thread_messages
     WHERE tenant_id = $1 AND thread_id = $2 AND id = $3 AND role = 'assistant'
       FOR UPDATE
)
UPDATE thread_messages m
   SET feedback_score = $4, feedback_reason = $5
  FROM before
 WHERE m.tenant_id = $1 AND m.id = before.id
RETURNING m.id, m.thread_id, m.position, m.role, m.content, m.status, m.run_id, m.metadata::text AS metadata,
          m.feedback_score, m.feedback_reason, m.created_at, before.feedback_score AS score_before;

-- name: find_message
SELECT m.id, m.thread_id, m.position, m.role, m.content, m.status, m.run_id, m.metadata::text AS metadata,
       m.feedback_score, m.feedback_reason, m.created_at
  FROM thread_messages m
  JOIN threads t ON t.tenant_id = $1 AND t.id = m.thread_id
 WHERE m.tenant_id = $1 AND m.id = $2 AND ($3::uuid IS NULL OR t.user_id = $3);
