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
