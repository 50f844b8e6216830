-- Runs: a turn or a piece of work each. $1 is always the tenant. What is looked up by key says `IS TRUE` of its other conditions, so that
-- no other index is taken for it.

-- name: begin
-- Claim the thread, store the user's message and open the run; nothing at all when the thread is not free, not
-- active, not this person's or not of this agent, or when the agent does not chat. The contract comes along unless
-- $12 is its version already.
WITH agent AS (
    SELECT version, CASE WHEN version IS DISTINCT FROM $12 THEN contract::text END AS contract_json
      FROM agents
     WHERE tenant_id = $1 AND id = $2 AND (status = 'active') IS TRUE AND (type = ANY ($11::text[])) IS TRUE
), thread AS (
    UPDATE threads t
       SET active_run_id = $5, active_until = clock_timestamp() + $10, message_count = t.message_count + 1,
           last_message_at = clock_timestamp(), updated_at = clock_timestamp()
      FROM agent
     WHERE t.tenant_id = $1 AND t.id = $3 AND (t.agent_id = $2 AND t.user_id = $4 AND t.status = 'active') IS TRUE
       AND (t.active_run_id IS NULL OR t.active_until < clock_timestamp())
    RETURNING t.message_count, t.context_summary, t.summarized_through
), message AS (
    INSERT INTO thread_messages (tenant_id, id, thread_id, position, role, content, run_id, metadata)
    SELECT $1, $6, $3, message_count, 'user', $8, $5, $9::text::jsonb FROM thread
), run AS (
    INSERT INTO runs (tenant_id, id, agent_id, thread_id, user_id, agent_version, user_message_id,
                      assistant_message_id, leased_until, kind, durable, depth, detail)
    SELECT $1, $5, $2, $3, $4, agent.version, $6, $7, clock_timestamp() + $10, $13, $13 <> 'chat', $14, $15::text::jsonb
      FROM thread, agent
)
SELECT agent.version, agent.contract_json, 1 AS claim, thread.message_count AS position, thread.message_count + 1 AS count_after,
       thread.context_summary, thread.summarized_through,
       (SELECT coalesce(json_agg(json_build_array(m.position, m.role, m.content, m.status) ORDER BY m.position), '[]')
          FROM thread_messages m
         WHERE m.tenant_id = $1 AND m.thread_id = $3 AND m.position > thread.summarized_through)::text AS history
  FROM thread, agent;

-- name: reopen
-- The same turn once more, after it failed: its message stays, its failed answer will be replaced.
WITH agent AS (
    SELECT version, CASE WHEN version IS DISTINCT FROM $7 THEN contract::text END AS contract_json
      FROM agents
     WHERE tenant_id = $1 AND id = $2 AND (status = 'active') IS TRUE AND (type = ANY ($6::text[])) IS TRUE
), thread AS (
    UPDATE threads t
       SET active_run_id = $4, active_until = clock_timestamp() + $5
      FROM agent
     WHERE t.tenant_id = $1 AND t.id = $3 AND (t.active_run_id IS NULL OR t.active_until < clock_timestamp())
    RETURNING t.context_summary, t.summarized_through, t.message_count
), run AS (
    UPDATE runs r
       SET status = 'running', text = '', marks = '[]', error = NULL, finished_at = NULL, cancel_requested = false,
           agent_version = agent.version, leased_until = clock_timestamp() + $5, claim = r.claim + 1
      FROM thread, agent
     WHERE r.tenant_id = $1 AND r.id = $4 AND r.status = 'failed'
    RETURNING r.user_message_id, r.assistant_message_id, r.claim
)
SELECT agent.version, agent.contract_json, run.claim, said.position, thread.context_summary, thread.summarized_through,
       thread.message_count + CASE WHEN EXISTS (
           SELECT FROM thread_messages m WHERE m.tenant_id = $1 AND m.id = run.assistant_message_id)
           THEN 0 ELSE 1 END AS count_after,
       (SELECT coalesce(json_agg(json_build_array(m.position, m.role, m.content, m.status) ORDER BY m.position), '[]')
          FROM thread_messages m
         WHERE m.tenant_id = $1 AND m.thread_id = $3 AND m.position > thread.summarized_through
           AND m.position < said.position)::text AS history
  FROM thread, agent, run
  JOIN thread_messages said ON said.tenant_id = $1 AND said.id = run.user_message_id;

-- name: resume
-- Take over a run of which there is a record: its server is gone ($4: whatever its lease says), or a person has answered.
-- It goes on with the contract that it began with.
WITH found AS (
    SELECT r.thread_id FROM runs r WHERE r.tenant_id = $1 AND r.id = $2
), thread AS (
    UPDATE threads t
       SET active_run_id = $2, active_until = clock_timestamp() + $3
      FROM found
     WHERE t.tenant_id = $1 AND t.id = found.thread_id
       AND (t.active_run_id IS NULL OR t.active_run_id = $2 OR t.active_until < clock_timestamp())
    RETURNING t.id, t.context_summary, t.summarized_through, t.message_count
), run AS (
    UPDATE runs r
       SET leased_until = clock_timestamp() + $3, claim = r.claim + 1
      FROM thread
     WHERE r.tenant_id = $1 AND r.id = $2 AND r.status = 'running' AND r.durable
       AND (r.leased_until IS NULL OR r.leased_until < clock_timestamp() OR $4)
    RETURNING r.id, r.agent_id, r.thread_id, r.user_id, r.agent_version, r.kind, r.status, r.user_message_id,
              r.assistant_message_id, r.text, r.marks::text AS marks, r.error::text AS error, r.created_at,
              r.finished_at, r.claim, r.depth, r.detail::text AS detail
)
SELECT run.*, v.contract::text AS contract_json, thread.context_summary, thread.summarized_through, said.position,
       said.content AS message, thread.message_count + CASE WHEN EXISTS (
           SELECT FROM thread_messages m WHERE m.tenant_id = $1 AND m.id = run.assistant_message_id)
           THEN 0 ELSE 1 END AS count_after,
       (SELECT coalesce(json_agg(json_build_array(m.position, m.role, m.content, m.status) ORDER BY m.position), '[]')
          FROM thread_messages m
         WHERE m.tenant_id = $1 AND m.thread_id = thread.id AND m.position > thread.summarized_through
           AND m.position < said.position)::text AS history
  FROM thread, run
  JOIN agent_versions v ON v.tenant_id = $1 AND v.agent_id = run.agent_id AND v.version = run.agent_version
  JOIN thread_messages said ON said.tenant_id = $1 AND said.id = run.user_message_id;

-- name: hold_thread
-- A run that waits for a person keeps its thread. The thread is locked before the run, as everywhere.
UPDATE threads SET active_until = 'infinity'
 WHERE tenant_id = $1 AND id = $2 AND active_run_id = $3
RETURNING id;

-- name: pause
-- The run waits for a person, and needs no lease. Where everybody has answered meanwhile it is without a server instead.
-- The caller holds the run's lock, so that nobody answers between the look and the change.
UPDATE runs r
   SET status = CASE WHEN EXISTS (SELECT FROM run_steps s
                                   WHERE s.tenant_id = $1 AND s.run_id = $2 AND s.status = 'waiting' AND s.approved IS NULL)
                     THEN 'waiting' ELSE 'running' END,
       durable = true, text = $3, marks = $4::text::jsonb, leased_until = NULL
 WHERE r.tenant_id = $1 AND r.id = $2 AND r.status = 'running' AND r.claim = $5
RETURNING r.status;

-- name: wake
-- Nobody has to be waited for any more: whoever looks for runs without a server finds it.
UPDATE runs r
   SET status = 'running', leased_until = NULL
 WHERE r.tenant_id = $1 AND r.id = $2 AND r.status = 'waiting'
   AND NOT EXISTS (SELECT FROM run_steps s
                    WHERE s.tenant_id = $1 AND s.run_id = $2 AND s.status = 'waiting' AND s.approved IS NULL)
RETURNING r.id;

-- name: let_go
-- This server stops; another one, or this one when it is back, goes on.
UPDATE runs r
   SET text = $3, marks = $4::text::jsonb, leased_until = NULL
 WHERE r.tenant_id = $1 AND r.id = $2 AND r.status = 'running' AND r.claim = $5
RETURNING r.id;

-- name: lock
-- The run, to itself until the transaction ends: nobody pauses or ends it meanwhile.
SELECT r.status FROM runs r
 WHERE r.tenant_id = $1 AND r.id = $2 AND ($3::uuid IS NULL OR r.user_id = $3)
   FOR NO KEY UPDATE;

-- name: list_page
SELECT id, agent_id, thread_id, user_id, agent_version, kind, status, user_message_id, assistant_message_id, text,
       marks::text AS marks, error::text AS error, created_at, finished_at
  FROM runs
 WHERE tenant_id = $1 AND agent_id = $2 AND ($3::uuid IS NULL OR user_id = $3)
   AND ($4::text IS NULL OR status = $4)
   AND (created_at, id) < ($5, $6)
 ORDER BY created_at DESC, id DESC
 LIMIT $7 OFFSET $8;

-- name: count
SELECT count(*)
  FROM runs
 WHERE tenant_id = $1 AND agent_id = $2 AND ($3::uuid IS NULL OR user_id = $3)
   AND ($4::text IS NULL OR status = $4);

-- name: history
-- What was said between two positions.
SELECT coalesce(json_agg(json_build_array(m.position, m.role, m.content, m.status) ORDER BY m.position), '[]')::text
  FROM thread_messages m
 WHERE m.tenant_id = $1 AND m.thread_id = $2 AND m.position > $3 AND m.position < $4;

-- name: refusal
-- Why a turn could not begin.
SELECT a.status AS agent_status, a.type AS agent_type, t.status AS thread_status, t.agent_id, t.user_id,
       r.id AS waiting_run_id
  FROM agents a
  LEFT JOIN threads t ON t.tenant_id = $1 AND t.id = $3
  LEFT JOIN runs r ON r.tenant_id = $1 AND r.id = t.active_run_id AND r.status = 'waiting'
 WHERE a.tenant_id = $1 AND a.id = $2;

-- name: finish
-- Answer, counters, run and thread in one step, by whoever still holds the thread; no row when the claim was lost.
-- With $13 the run is an orphan that we took over: its thread may be serving another turn by now.
WITH thread AS (
    UPDATE threads t
       SET active_run_id = CASE WHEN active_run_id = $3 THEN NULL ELSE active_run_id END,
           active_until = CASE WHEN active_run_id = $3 THEN NULL ELSE active_until END,
           message_count = message_count + CASE WHEN EXISTS (
               SELECT FROM thread_messages m WHERE m.tenant_id = $1 AND m.id = $4) THEN 0 ELSE 1 END,
           context_summary = coalesce($9, context_summary), summarized_through = greatest(summarized_through, $10),
           last_message_at = clock_timestamp(), updated_at = clock_timestamp()
     WHERE t.tenant_id = $1 AND t.id = $2 AND (t.active_run_id = $3 OR $13)
       AND (SELECT r.status FROM runs r WHERE r.tenant_id = $1 AND r.id = $3 AND r.claim = $14) = 'running'
    RETURNING t.message_count, t.agent_id
), message AS (
    INSERT INTO thread_messages (tenant_id, id, thread_id, position, role, content, status, run_id, metadata)
    SELECT $1, $4, $2, message_count, 'assistant', $5, $6, $3,
           $7::text::jsonb
      FROM thread
        ON CONFLICT (tenant_id, id) DO UPDATE
       SET content = excluded.content, status = excluded.status, created_at = excluded.created_at,
           metadata = excluded.metadata
), run AS (
    UPDATE runs r
       SET status = $8, text = $5, marks = $11::text::jsonb, error = $12::text::jsonb, leased_until = NULL,
           finished_at = clock_timestamp()
      FROM thread
     WHERE r.tenant_id = $1 AND r.id = $3
), agent AS (
    UPDATE agents a
       SET interaction_count = interaction_count + 1, last_interaction_at = clock_timestamp()
      FROM thread
     WHERE a.tenant_id = $1 AND a.id = thread.agent_id AND $8 = 'completed'
)
SELECT message_count FROM thread;

-- name: keep
-- What has been said so far, and a longer lease; tells whether the run is to stop. No row when the lease was lost.
WITH thread AS (
    UPDATE threads SET active_until = clock_timestamp() + $6
     WHERE tenant_id = $1 AND id = $2 AND active_run_id = $3
    RETURNING id
)
UPDATE runs r
   SET text = $4, marks = $5::text::jsonb, leased_until = clock_timestamp() + $6
  FROM thread
 WHERE r.tenant_id = $1 AND r.id = $3 AND r.status = 'running' AND r.claim = $7
RETURNING r.cancel_requested;

-- name: order_extraction
-- The subject is the person's message; the run of it says who spoke with whom.
INSERT INTO outbox (tenant_id, kind, subject_id, payload)
SELECT r.tenant_id, 'memory.extract', r.user_message_id, jsonb_build_object(
           'assistant_message_id', r.assistant_message_id, 'agent_id', r.agent_id, 'user_id', r.user_id,
           'thread_id', r.thread_id)
  FROM runs r
 WHERE r.tenant_id = $1 AND r.id = $2;

-- name: get
SELECT id, agent_id, thread_id, user_id, agent_version, kind, status, user_message_id, assistant_message_id, text,
       marks::text AS marks, error::text AS error, created_at, finished_at
  FROM runs
 WHERE tenant_id = $1 AND id = $2 AND ($3::uuid IS NULL OR user_id = $3);

-- name: lock_id
-- Until the transaction ends nobody else looks for, or makes, the run of this id.
SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text || $2::uuid::text, 0));

-- name: request_cancel
UPDATE runs
   SET cancel_requested = true
 WHERE tenant_id = $1 AND id = $2 AND ($3::uuid IS NULL OR user_id = $3) AND status = 'running'
RETURNING id;

-- name: claim_orphan
-- Take over a run whose server is gone, so that only one of us marks it. The thread is locked first, as everywhere.
WITH thread AS (
    SELECT t.id
      FROM threads t
     WHERE t.tenant_id = $1 AND t.id = (SELECT r.thread_id FROM runs r WHERE r.tenant_id = $1 AND r.id = $2)
       FOR NO KEY UPDATE
)
UPDATE runs r
   SET leased_until = clock_timestamp() + $3, status = 'running', claim = r.claim + 1
  FROM thread
 WHERE r.tenant_id = $1 AND r.id = $2 AND r.thread_id = thread.id
   AND (r.status = 'running' AND (r.leased_until IS NULL OR r.leased_until < clock_timestamp() OR $4)
        OR r.status = 'waiting' AND $5)
RETURNING r.id, r.agent_id, r.thread_id, r.user_id, r.agent_version, r.kind, r.status, r.user_message_id,
          r.assistant_message_id, r.text, r.marks::text AS marks, r.error::text AS error, r.created_at, r.finished_at,
          r.claim;
