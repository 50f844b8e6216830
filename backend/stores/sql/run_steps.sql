-- What runs did, step by step. $1 is always the tenant. Only who holds the run's claim ($3) writes.

-- name: begin
-- A step is about to be done, or waits for a person. No row when the claim was lost.
INSERT INTO run_steps (tenant_id, run_id, ordinal, id, step, kind, attempt, status, input)
SELECT $1, r.id, $4, $5, $6, $7, $8, $9, $10::text::jsonb
  FROM runs r
 WHERE r.tenant_id = $1 AND r.id = $2 AND r.claim = $3 AND r.status = 'running'
RETURNING id;

-- name: again
-- A step that was recorded before is about to be done, or has to be asked about once more ($5).
UPDATE run_steps s
   SET status = $5, approved = CASE WHEN $5 = 'waiting' THEN NULL ELSE s.approved END,
       reason = CASE WHEN $5 = 'waiting' THEN $6 ELSE s.reason END, started_at = clock_timestamp()
  FROM runs r
 WHERE s.tenant_id = $1 AND s.run_id = $2 AND s.ordinal = $4 AND s.status IN ('running', 'waiting')
   AND r.tenant_id = $1 AND r.id = s.run_id AND r.claim = $3 AND r.status = 'running'
RETURNING s.id;

-- name: finish
UPDATE run_steps s
   SET status = $5, output = $6::text::jsonb, error = $7::text::jsonb, input_tokens = $8, output_tokens = $9,
       finished_at = clock_timestamp()
  FROM runs r
 WHERE s.tenant_id = $1 AND s.run_id = $2 AND s.ordinal = $4 AND s.status = 'running'
   AND r.tenant_id = $1 AND r.id = s.run_id AND r.claim = $3 AND r.status = 'running'
RETURNING s.id;

-- name: all
SELECT s.id, s.ordinal, s.step, s.kind, s.attempt, s.status, s.input::text AS input, s.output::text AS output,
       s.error::text AS error, s.approved, s.reason, s.input_tokens, s.output_tokens, s.started_at, s.finished_at
  FROM run_steps s
 WHERE s.tenant_id = $1 AND s.run_id = $2
 ORDER BY s.ordinal;

-- name: answer
-- A person agrees, or not, to a call that waits; no row when it does not wait.
UPDATE run_steps s
   SET approved = $4, status = CASE WHEN $4 THEN s.status ELSE 'denied' END, reason = $5, answered_by = $6,
       operation_id = $7, answered_at = clock_timestamp(), finished_at = CASE WHEN $4 THEN NULL ELSE clock_timestamp() END
 WHERE s.tenant_id = $1 AND s.run_id = $2 AND s.id = $3 AND s.status = 'waiting' AND s.approved IS NULL
RETURNING s.id;

-- name: find
SELECT s.id, s.operation_id FROM run_steps s WHERE s.tenant_id = $1 AND s.run_id = $2 AND s.id = $3;

-- name: close
-- The run is over: what was not finished will not be.
UPDATE run_steps
   SET status = 'failed', finished_at = clock_timestamp(),
       error = jsonb_build_object('code', 'run-stopped', 'detail', 'The run ended before this was finished.')
 WHERE tenant_id = $1 AND run_id = $2 AND status IN ('running', 'waiting');

-- name: forget_failures
-- A failed run is tried again: what failed at its end is done anew, what was finished is not.
DELETE FROM run_steps s
 WHERE s.tenant_id = $1 AND s.run_id = $2
   AND s.ordinal > (SELECT coalesce(max(f.ordinal), 0) FROM run_steps f
                     WHERE f.tenant_id = $1 AND f.run_id = $2 AND f.status IN ('completed', 'denied'));
