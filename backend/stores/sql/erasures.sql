-- The erasure of a person. $1 is always the tenant; $2, where it is one, is the person.

-- name: lock_threads
-- Whoever answers in one of them is waited for, and finds it gone.
SELECT id, agent_id FROM threads WHERE tenant_id = $1 AND user_id = $2 ORDER BY id FOR UPDATE;

-- name: lock_person
-- Until the transaction ends nobody stores a row that names this person; after it nobody can. `role_names` are those of
-- their live keys.
SELECT u.id,
       ARRAY (SELECT k.role FROM api_keys k
               WHERE k.tenant_id = $1 AND k.user_id = $2 AND k.revoked_at IS NULL
                 AND (k.expires_at IS NULL OR k.expires_at > now())) AS role_names,
       EXISTS (SELECT FROM api_keys k JOIN users o ON o.tenant_id = $1 AND o.id = k.user_id
                WHERE k.tenant_id = $1 AND k.user_id <> $2 AND k.role = 'owner' AND k.revoked_at IS NULL
                  AND (k.expires_at IS NULL OR k.expires_at > now()) AND o.status = 'active') AS others_own
  FROM users u
 WHERE u.tenant_id = $1 AND u.id = $2
   FOR UPDATE OF u;

-- name: namespaces
-- Where the index may know of them: what each agent knows of the person, and what was said in their threads, of which
-- some may be gone already.
SELECT agent_id, scope, subject_id FROM memories WHERE tenant_id = $1 AND user_id = $2 AND scope <> 'agent'
UNION
SELECT agent_id, 'thread', id FROM threads WHERE tenant_id = $1 AND user_id = $2
UNION
SELECT agent_id, 'user', user_id FROM threads WHERE tenant_id = $1 AND user_id = $2
UNION
SELECT agent_id, 'user', user_id FROM memory_revisions WHERE tenant_id = $1 AND user_id = $2;

-- name: traces
-- Ids that only rows of this person hold, some of each kind: where one is found in a file, a row was left behind.
(SELECT t.id FROM threads t
  WHERE t.tenant_id = $1 AND t.user_id = $2
    AND NOT EXISTS (SELECT FROM audit_log l WHERE l.tenant_id = $1 AND l.subject_id = t.id)
  ORDER BY t.id LIMIT 8)
UNION ALL
(SELECT m.id FROM threads t JOIN thread_messages m ON m.tenant_id = $1 AND m.thread_id = t.id
  WHERE t.tenant_id = $1 AND t.user_id = $2
    AND NOT EXISTS (SELECT FROM audit_log l WHERE l.tenant_id = $1 AND l.subject_id = m.id)
  LIMIT 8);

-- name: delete_orders
-- What waits to be done about them is not done any more; what is being done now is left: see `orders_in_hand`.
WITH about (id) AS (
    SELECT id FROM memories WHERE tenant_id = $1 AND user_id = $2
    UNION SELECT memory_id FROM memory_revisions WHERE tenant_id = $1 AND user_id = $2
    UNION SELECT unnest($3::uuid[])
    UNION SELECT m.id FROM thread_messages m WHERE m.tenant_id = $1 AND m.thread_id = ANY ($3)
), due AS (
    SELECT o.id FROM outbox o
     WHERE o.tenant_id = $1 AND (o.subject_id = $2 OR o.subject_id IN (SELECT id FROM about)
                                 OR strpos(o.payload::text, $2::text) > 0)
       AND (o.leased_until IS NULL OR o.leased_until < clock_timestamp())
       FOR UPDATE SKIP LOCKED
)
DELETE FROM outbox o USING due WHERE o.tenant_id = $1 AND o.id = due.id RETURNING o.kind, o.subject_id;

-- name: orders_in_hand
WITH about (id) AS (
    SELECT id FROM memories WHERE tenant_id = $1 AND user_id = $2
    UNION SELECT memory_id FROM memory_revisions WHERE tenant_id = $1 AND user_id = $2
    UNION SELECT unnest($3::uuid[])
    UNION SELECT m.id FROM thread_messages m WHERE m.tenant_id = $1 AND m.thread_id = ANY ($3)
)
SELECT o.id, o.kind, o.subject_id FROM outbox o
 WHERE o.tenant_id = $1 AND (o.subject_id = $2 OR o.subject_id IN (SELECT id FROM about)
                             OR strpos(o.payload::text, $2::text) > 0);

-- name: session_ids
-- By which the audio that was made from them is found.
SELECT id FROM sessions WHERE tenant_id = $1 AND user_id = $2;

-- name: orders_left
SELECT count(*) FROM outbox WHERE tenant_id = $1 AND id = ANY ($2::bigint[]);

-- name: delete_memories
-- Theirs, and what was said in their threads or came from it, whoever is said to know it.
WITH gone AS (
    DELETE FROM memories m
     WHERE m.tenant_id = $1
       AND (m.user_id = $2 OR m.thread_id = ANY ($3::uuid[])
            OR m.source_message_id IN (
                SELECT s.id FROM thread_messages s WHERE s.tenant_id = $1 AND s.thread_id = ANY ($3)))
    RETURNING m.id, m.scope, m.subject_id, m.indexed_at
), history AS (
    DELETE FROM memory_revisions r
     WHERE r.tenant_id = $1 AND (r.user_id = $2 OR r.memory_id IN (SELECT id FROM gone))
    RETURNING r.memory_id
)
SELECT (SELECT count(*) FROM gone) AS memories, (SELECT count(*) FROM history) AS revisions,
       (SELECT count(*) FROM gone WHERE indexed_at IS NOT NULL) AS indexed,
       ARRAY (SELECT id FROM gone
               WHERE NOT (scope = 'user' AND subject_id = $2 OR scope = 'thread' AND subject_id = ANY ($3))) AS elsewhere;

-- name: delete_recalls
DELETE FROM recalls WHERE tenant_id = $1 AND (thread_id = ANY ($3::uuid[]) OR user_id = $2);

-- name: delete_requests
-- Their own, and the stored answers to others that name them.
DELETE FROM idempotency_keys
 WHERE tenant_id = $1 AND (user_id = $2 OR position(convert_to($2::text, 'UTF8') IN body) > 0);

-- name: delete_messages
DELETE FROM thread_messages WHERE tenant_id = $1 AND thread_id = ANY ($2::uuid[]);

-- name: delete_sessions
DELETE FROM sessions WHERE tenant_id = $1 AND user_id = $2;

-- name: delete_steps
DELETE FROM run_steps s
 WHERE s.tenant_id = $1
   AND s.run_id IN (SELECT r.id FROM runs r WHERE r.tenant_id = $1 AND r.thread_id = ANY ($2::uuid[]));

-- name: forget_answers
-- Whether a call of somebody else's run was agreed to stays; by whom, and in which words, goes.
UPDATE run_steps SET answered_by = NULL, reason = NULL WHERE tenant_id = $1 AND answered_by = $2;

-- name: delete_runs
DELETE FROM runs WHERE tenant_id = $1 AND thread_id = ANY ($2::uuid[]);

-- name: delete_threads
DELETE FROM threads WHERE tenant_id = $1 AND user_id = $2;

-- name: empty_audit
-- That something was done, by which id and when, stays; what was written about it goes.
UPDATE audit_log SET detail = '{}'
 WHERE tenant_id = $1 AND (actor_id = $2 OR subject_id = $2
                           OR subject_id IN (SELECT k.id FROM api_keys k WHERE k.tenant_id = $1 AND k.user_id = $2))
   AND detail <> '{}';

-- name: delete_keys
DELETE FROM api_keys WHERE tenant_id = $1 AND user_id = $2;

-- name: delete_webhooks
-- Whose events they took would set off runs in the name of nobody.
DELETE FROM webhooks WHERE tenant_id = $1 AND user_id = $2;

-- name: pass_on_agents
-- Agents are the tenant's: they stay, owned by nobody in particular, in every version; their files are written anew.
WITH nobody AS (
    INSERT INTO users (tenant_id, id, name, status)
    SELECT $1, $3::uuid, 'Erased person', 'suspended'
     WHERE EXISTS (SELECT FROM agents WHERE tenant_id = $1 AND owner_id = $2)
        ON CONFLICT (tenant_id, id) DO NOTHING
), passed AS (
    UPDATE agents
       SET owner_id = $3, contract = jsonb_set(contract, '{metadata,owner_id}', to_jsonb($3::uuid::text))
     WHERE tenant_id = $1 AND owner_id = $2
    RETURNING id
), delivery AS (
    INSERT INTO outbox (tenant_id, kind, subject_id) SELECT $1, 'agent.mirror', id FROM passed
)
SELECT count(*) FROM passed;

-- name: forget_author
UPDATE agent_versions v
   SET created_by = nullif(created_by, $2),
       contract = CASE WHEN contract #>> '{metadata,owner_id}' = $2::text
                       THEN jsonb_set(contract, '{metadata,owner_id}', to_jsonb($3::uuid::text)) ELSE contract END
 WHERE v.tenant_id = $1 AND (v.created_by = $2 OR v.contract #>> '{metadata,owner_id}' = $2::text);

-- name: forget_editor
UPDATE memory_revisions SET changed_by = NULL WHERE tenant_id = $1 AND changed_by = $2;

-- name: delete_person
DELETE FROM users WHERE tenant_id = $1 AND id = $2;

-- name: open
-- The erasure and the order to bring it to its end.
WITH opened AS (
    INSERT INTO erasures (tenant_id, id, user_id, requested_by, counts)
    VALUES ($1, $2, $3, $4, $5::text::jsonb)
    RETURNING id, user_id, requested_by, status, counts::text AS counts, certificate::text AS certificate, created_at,
              finished_at
), delivery AS (
    INSERT INTO outbox (tenant_id, kind, subject_id, payload) VALUES ($1, 'erasure', $2, $6::text::jsonb)
)
SELECT * FROM opened;

-- name: get
SELECT id, user_id, requested_by, status, counts::text AS counts, certificate::text AS certificate, created_at, finished_at
  FROM erasures
 WHERE tenant_id = $1 AND id = $2 AND ($3::uuid IS NULL OR requested_by = $3);

-- name: of_person
SELECT id, user_id, requested_by, status, counts::text AS counts, certificate::text AS certificate, created_at, finished_at
  FROM erasures
 WHERE tenant_id = $1 AND user_id = $2 AND ($3::uuid IS NULL OR requested_by = $3)
 ORDER BY created_at DESC
 LIMIT 1;

-- name: note
-- A count is noted before its step is taken; a step that is taken again finds less.
UPDATE erasures
   SET counts = counts || jsonb_build_object($3::text, greatest((counts ->> $3::text)::bigint, $4::bigint))
 WHERE tenant_id = $1 AND id = $2 AND status = 'pending';

-- name: finish
UPDATE erasures
   SET status = 'done', certificate = $3::text::jsonb, finished_at = $4
 WHERE tenant_id = $1 AND id = $2 AND status = 'pending';

-- name: found
-- What each table still holds of them: the same question for all, asked after everything was removed.
SELECT (SELECT count(*) FROM users WHERE tenant_id = $1 AND id = $2) AS users,
       (SELECT count(*) FROM threads WHERE tenant_id = $1 AND (user_id = $2 OR id = ANY ($3::uuid[]))) AS threads,
       (SELECT count(*) FROM thread_messages WHERE tenant_id = $1 AND thread_id = ANY ($3)) AS thread_messages,
       (SELECT count(*) FROM runs WHERE tenant_id = $1 AND (user_id = $2 OR thread_id = ANY ($3))) AS runs,
       (SELECT count(*) FROM run_steps s
         WHERE s.tenant_id = $1
           AND (s.answered_by = $2 OR s.run_id IN (
                SELECT r.id FROM runs r WHERE r.tenant_id = $1 AND r.thread_id = ANY ($3)))) AS run_steps,
       (SELECT count(*) FROM sessions WHERE tenant_id = $1 AND (user_id = $2 OR intake_thread_id = ANY ($3))) AS sessions,
       (SELECT count(*) FROM memories WHERE tenant_id = $1 AND (user_id = $2 OR thread_id = ANY ($3))) AS memories,
       (SELECT count(*) FROM memory_revisions
         WHERE tenant_id = $1 AND (user_id = $2 OR changed_by = $2)) AS memory_revisions,
       (SELECT count(*) FROM recalls WHERE tenant_id = $1 AND (user_id = $2 OR thread_id = ANY ($3))) AS recalls,
       (SELECT count(*) FROM api_keys WHERE tenant_id = $1 AND user_id = $2) AS api_keys,
       (SELECT count(*) FROM webhooks WHERE tenant_id = $1 AND user_id = $2) AS webhooks,
       (SELECT count(*) FROM idempotency_keys
         WHERE tenant_id = $1
           AND (user_id = $2 OR position(convert_to($2::text, 'UTF8') IN body) > 0)) AS idempotency_keys,
       (SELECT count(*) FROM outbox
         WHERE tenant_id = $1 AND kind <> 'erasure'
           AND (subject_id = $2 OR subject_id = ANY ($3) OR strpos(payload::text, $2::text) > 0)) AS outbox,
       (SELECT count(*) FROM audit_log
         WHERE tenant_id = $1 AND (actor_id = $2 OR subject_id = $2) AND detail <> '{}') AS audit_log,
       (SELECT count(*) FROM agents
         WHERE tenant_id = $1 AND (owner_id = $2 OR contract #>> '{metadata,owner_id}' = $2::text)) AS agents,
       (SELECT count(*) FROM agent_versions
         WHERE tenant_id = $1
           AND (created_by = $2 OR contract #>> '{metadata,owner_id}' = $2::text)) AS agent_versions;
