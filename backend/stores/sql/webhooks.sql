-- Webhooks. $1 is always the tenant. What is shown never holds the secret; the worker reads it, see worker.sql.

-- name: insert
WITH made AS (
    INSERT INTO webhooks (tenant_id, id, agent_id, user_id, name, secret)
    VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (tenant_id, id) DO NOTHING
    RETURNING id, agent_id, user_id, name, created_at, last_used_at
), audit AS (
    INSERT INTO audit_log (tenant_id, actor_id, api_key_id, action, subject_type, subject_id, detail)
    SELECT $1, $4, $7, 'webhook.created', 'webhook', $2, jsonb_build_object('name', $5::text, 'agent_id', $3::uuid)
      FROM made
)
SELECT id, agent_id, user_id, name, created_at, last_used_at FROM made;

-- name: of_agent
SELECT id, agent_id, user_id, name, created_at, last_used_at
  FROM webhooks
 WHERE tenant_id = $1 AND agent_id = $2
 ORDER BY created_at DESC, id DESC;

-- name: delete
WITH gone AS (
    DELETE FROM webhooks WHERE tenant_id = $1 AND id = $2 RETURNING id, agent_id
), audit AS (
    INSERT INTO audit_log (tenant_id, actor_id, api_key_id, action, subject_type, subject_id, detail)
    SELECT $1, $3, $4, 'webhook.deleted', 'webhook', id, jsonb_build_object('agent_id', agent_id) FROM gone
)
SELECT id FROM gone;

-- name: touch
-- Once a minute is enough.
UPDATE webhooks
   SET last_used_at = clock_timestamp()
 WHERE tenant_id = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '1 minute');
