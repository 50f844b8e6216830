-- The audit log. $1 is always the tenant.

-- name: record
INSERT INTO audit_log (tenant_id, actor_id, api_key_id, action, subject_type, subject_id, detail)
VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb);

-- name: of_subject
SELECT action, actor_id, api_key_id, detail::text AS detail, created_at
  FROM audit_log
 WHERE tenant_id = $1 AND subject_id = $2
 ORDER BY created_at;
