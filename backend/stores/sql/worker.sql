-- What the worker role does across tenants: logging in, delivering, cleaning up. Its rights are in the migrations.

-- name: key_by_prefix
SELECT k.tenant_id, k.id, k.user_id, k.secret_hash, k.role, k.scopes, k.expires_at, k.revoked_at, k.last_used_at,
       u.status AS user_status, t.status AS tenant_status
  FROM api_keys k
  JOIN users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
  JOIN tenants t ON t.id = k.tenant_id
 WHERE k.prefix = $1;

-- name: touch_key
UPDATE api_keys SET last_used_at = now() WHERE tenant_id = $1 AND id = $2;

-- name: claim_deliveries
-- Rows of these kinds that are due and that nobody else is delivering, by the database's clock. Each kind is read in
-- its own order, past nothing that is not due.
UPDATE outbox
   SET leased_until = clock_timestamp() + $1, attempts = attempts + 1
 WHERE id IN (
       SELECT due.id
         FROM unnest($3::text[]) AS ours (kind)
        CROSS JOIN LATERAL (
              SELECT o.id, o.available_at
                FROM outbox o
               WHERE o.kind = ours.kind AND o.available_at <= statement_timestamp()
                 AND (o.leased_until IS NULL OR o.leased_until < clock_timestamp())
               ORDER BY o.available_at, o.id
               LIMIT $2
                 FOR UPDATE SKIP LOCKED) AS due
        ORDER BY due.available_at, due.id
        LIMIT $2)
RETURNING id, tenant_id, kind, subject_id, payload::text AS payload, attempts;

-- name: delivered
DELETE FROM outbox WHERE id = ANY ($1::bigint[]);

-- name: postpone
UPDATE outbox
   SET leased_until = NULL, available_at = clock_timestamp() + $2, last_error = $3
 WHERE id = ANY ($1::bigint[]);

-- name: waiting
SELECT count(*) AS pending, extract(epoch FROM clock_timestamp() - min(created_at))::float8 AS oldest_seconds,
       count(*) FILTER (WHERE attempts > 1) AS failing
  FROM outbox
 WHERE kind = ANY ($1::text[]);

-- name: release_deliveries
UPDATE outbox SET leased_until = NULL WHERE leased_until IS NOT NULL;

-- name: contracts
-- One look-up by key each, however large the table is.
SELECT a.tenant_id, a.id, a.version, a.contract_json
  FROM unnest($1::uuid[], $2::uuid[]) AS wanted (tenant_id, id)
 CROSS JOIN LATERAL (
       SELECT tenant_id, id, version, contract::text AS contract_json
         FROM agents
        WHERE tenant_id = wanted.tenant_id AND id = wanted.id
        LIMIT 1) AS a;

-- name: agent_versions_now
SELECT tenant_id, id, version FROM agents;

-- name: orphaned_runs
SELECT tenant_id, id, durable FROM runs WHERE status = 'running' AND (leased_until IS NULL OR leased_until < clock_timestamp() OR $1);

-- name: release_requests
UPDATE idempotency_keys SET leased_until = clock_timestamp() WHERE state = 'running';

-- name: forget_requests
DELETE FROM idempotency_keys WHERE created_at < clock_timestamp() - $1::interval;

-- name: schedule_reindex
-- Every memory of every tenant, but those that are about to be indexed as it is. (EXCEPT sorts or hashes, however many
-- there are; a join would be planned for few.) In the order in which it was said: neighbours are indexed together.
WITH wanted AS MATERIALIZED (
    SELECT tenant_id, id FROM memories
    EXCEPT
    SELECT tenant_id, subject_id FROM outbox WHERE kind = 'memory.index' AND attempts = 0
), ordered AS (
    INSERT INTO outbox (tenant_id, kind, subject_id)
    SELECT m.tenant_id, 'memory.index', m.id
      FROM wanted
      JOIN memories m ON m.tenant_id = wanted.tenant_id AND m.id = wanted.id
     ORDER BY m.tenant_id, m.thread_id, m.position, m.id
    RETURNING id
)
SELECT count(*) FROM ordered;

-- name: hasten
-- What waits for its next try is tried now.
UPDATE outbox
   SET available_at = clock_timestamp()
 WHERE kind = ANY ($1::text[]) AND available_at > clock_timestamp() AND leased_until IS NULL;

-- name: known_memories
SELECT id FROM memories WHERE id = ANY ($1::uuid[]);

-- name: due_schedules
-- What there is to do now: agents whose tick is due, whose schedule is new or another, and those that had one. One look-up
-- by key for each that is scheduled, however the tables have grown since the plan was made; two when nothing is.
(SELECT a.tenant_id, a.id AS agent_id, a.schedule, s.schedule AS known, s.next_at, s.last_at, clock_timestamp() AS now
   FROM agents a
   LEFT JOIN LATERAL (
        SELECT schedule, next_at, last_at FROM agent_schedules WHERE tenant_id = a.tenant_id AND agent_id = a.id
         LIMIT 1) AS s ON true
  WHERE a.schedule IS NOT NULL
    AND (s.next_at IS NULL OR s.schedule <> a.schedule OR s.next_at <= statement_timestamp())
  LIMIT $1)
UNION ALL
(SELECT s.tenant_id, s.agent_id, NULL, s.schedule, s.next_at, s.last_at, clock_timestamp()
   FROM agent_schedules s
  WHERE s.next_at <= statement_timestamp()
    AND (SELECT a.id FROM agents a WHERE a.tenant_id = s.tenant_id AND a.id = s.agent_id AND a.schedule IS NOT NULL) IS NULL
  LIMIT $1);

-- name: begin_schedule
-- A new schedule, or another one, by whoever comes first: what was read ($5, $6) is what is there, and still wanted.
INSERT INTO agent_schedules AS s (tenant_id, agent_id, schedule, next_at)
SELECT a.tenant_id, a.id, a.schedule, $4 FROM agents a WHERE a.tenant_id = $1 AND a.id = $2 AND a.schedule = $3
    ON CONFLICT (tenant_id, agent_id) DO UPDATE
   SET schedule = excluded.schedule, next_at = excluded.next_at
 WHERE s.schedule = $5 AND s.next_at IS NOT DISTINCT FROM $6::timestamptz;

-- name: pause_schedule
-- Nothing is due any more of an agent that is not to run by itself.
UPDATE agent_schedules s
   SET next_at = NULL
 WHERE s.tenant_id = $1 AND s.agent_id = $2 AND s.next_at = $3
   AND NOT EXISTS (SELECT FROM agents a WHERE a.tenant_id = $1 AND a.id = $2 AND a.schedule IS NOT NULL);

-- name: tick_schedule
-- One tick by whoever comes first, and in the same step the order to start its run: $4 is what was due, $5 the tick that
-- is run, $6 comes next, $7 ticks before $5 were missed, the last of them $8.
WITH ticked AS (
    UPDATE agent_schedules s
       SET next_at = $6, last_at = $5, ticks = s.ticks + 1, missed = s.missed + $7,
           last_missed = coalesce($8::timestamptz, s.last_missed)
     WHERE s.tenant_id = $1 AND s.agent_id = $2 AND s.schedule = $3 AND s.next_at = $4
       AND EXISTS (SELECT FROM agents a WHERE a.tenant_id = $1 AND a.id = $2 AND a.schedule = $3)
    RETURNING s.tenant_id, s.agent_id
)
INSERT INTO outbox (tenant_id, kind, subject_id, payload)
SELECT tenant_id, 'run.scheduled', agent_id,
       jsonb_build_object('tick', $5, 'missed', $7, 'first_missed', CASE WHEN $7 > 0 THEN $4 END, 'last_missed', $8)
  FROM ticked
RETURNING id;

-- name: webhook_by_id
-- Only of people and tenants that are there and not suspended.
SELECT w.tenant_id, w.id, w.agent_id, w.user_id, w.secret
  FROM webhooks w
  JOIN users u ON u.tenant_id = w.tenant_id AND u.id = w.user_id
  JOIN tenants t ON t.id = w.tenant_id
 WHERE w.id = $1 AND u.status = 'active' AND t.status = 'active';
