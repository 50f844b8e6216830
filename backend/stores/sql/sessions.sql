-- Sessions: an interview, the plan that came of it, and the run that writes from it. $1 is always the tenant; a null
-- "seen by" user is somebody who sees everybody's.

-- name: insert
INSERT INTO sessions (tenant_id, id, user_id, intake_agent_id, therapy_agent_id, intake_thread_id, progress, response)
VALUES ($1, $2, $3, $4, $5, $6, $7::text::json, $8)
    ON CONFLICT (tenant_id, id) DO NOTHING
RETURNING id;

-- name: get
SELECT id, status, stage, response, plan::text AS plan, user_id, intake_agent_id, therapy_agent_id, intake_thread_id,
       therapy_run_id, consented_at, error::text AS error, created_at, updated_at,
       progress::text AS progress, script_number
  FROM sessions
 WHERE tenant_id = $1 AND id = $2 AND ($3::uuid IS NULL OR user_id = $3);

-- name: lock
-- The same, and it stays as it is until the transaction ends.
SELECT id, status, stage, response, plan::text AS plan, user_id, intake_agent_id, therapy_agent_id, intake_thread_id,
       therapy_run_id, consented_at, error::text AS error, created_at, updated_at,
       progress::text AS progress, script_number
  FROM sessions
 WHERE tenant_id = $1 AND id = $2 AND ($3::uuid IS NULL OR user_id = $3)
   FOR UPDATE;

-- name: list_page
SELECT id, status, stage, response, plan::text AS plan, user_id, intake_agent_id, therapy_agent_id, intake_thread_id,
       therapy_run_id, consented_at, error::text AS error, created_at, updated_at,
       progress::text AS progress, script_number
  FROM sessions
 WHERE tenant_id = $1 AND ($2::uuid IS NULL OR user_id = $2) AND (created_at, id) < ($3, $4)
 ORDER BY created_at DESC, id DESC
 LIMIT $5 OFFSET $6;

-- name: count
SELECT count(*) FROM sessions WHERE tenant_id = $1 AND ($2::uuid IS NULL OR user_id = $2);

-- name: begin_intake
UPDATE sessions
   SET status = 'intake', updated_at = clock_timestamp()
 WHERE tenant_id = $1 AND id = $2 AND status = 'pending';

-- name: progress
UPDATE sessions
   SET progress = $3::text::json, stage = $4, response = $5, plan = $6::text::json, updated_at = clock_timestamp()
 WHERE tenant_id = $1 AND id = $2;

-- name: consent
UPDATE sessions
   SET consented_at = clock_timestamp(), updated_at = clock_timestamp()
 WHERE tenant_id = $1 AND id = $2;

-- name: back_to_confirmation
-- The plan was refused. What may have been written from it is not what will be written.
UPDATE sessions
   SET status = 'intake', stage = 'confirmation', progress = $3::text::json, response = $4, plan = NULL,
       consented_at = NULL, error = NULL, therapy_run_id = NULL,
       script_number = script_number + (therapy_run_id IS NOT NULL)::int, updated_at = clock_timestamp()
 WHERE tenant_id = $1 AND id = $2;

-- name: begin_script
UPDATE sessions
   SET status = 'therapy', therapy_run_id = $3, script_number = $4, error = NULL, updated_at = clock_timestamp()
 WHERE tenant_id = $1 AND id = $2;

-- name: end_script
UPDATE sessions
   SET status = $4, therapy_run_id = $3, error = $5::text::jsonb, updated_at = clock_timestamp()
 WHERE tenant_id = $1 AND id = $2;

-- name: fail
UPDATE sessions
   SET status = 'failed', error = $3::text::jsonb, updated_at = clock_timestamp()
 WHERE tenant_id = $1 AND id = $2;

-- name: existing
SELECT id FROM sessions WHERE tenant_id = $1 AND id = ANY ($2::uuid[]);
