-- Requests that may come twice. $1 is the tenant, $2 the user, $3 the key they chose.

-- name: claim
-- The lease number and the operation's id when the work is ours; no row when it is done, being done, or another request.
INSERT INTO idempotency_keys AS known (tenant_id, user_id, key, request_hash, leased_until)
VALUES ($1, $2, $3, $4, clock_timestamp() + $5)
    ON CONFLICT (tenant_id, user_id, key) DO UPDATE
   SET leased_until = clock_timestamp() + $5, lease = known.lease + 1
 WHERE known.state = 'running' AND known.leased_until < clock_timestamp() AND known.request_hash = excluded.request_hash
RETURNING lease, operation_id;

-- name: known
SELECT request_hash, operation_id, state, status, headers::text AS headers, body
  FROM idempotency_keys
 WHERE tenant_id = $1 AND user_id = $2 AND key = $3;

-- name: renew
UPDATE idempotency_keys
   SET leased_until = clock_timestamp() + $5
 WHERE tenant_id = $1 AND user_id = $2 AND key = $3 AND state = 'running' AND lease = $4
RETURNING lease;

-- name: finish
UPDATE idempotency_keys
   SET state = 'done', status = $5, headers = $6::text::jsonb, body = $7
 WHERE tenant_id = $1 AND user_id = $2 AND key = $3 AND state = 'running' AND lease = $4
RETURNING lease;

-- name: release
-- Nothing was done: the next try may do it.
UPDATE idempotency_keys
   SET leased_until = clock_timestamp()
 WHERE tenant_id = $1 AND user_id = $2 AND key = $3 AND state = 'running' AND lease = $4
RETURNING lease;
