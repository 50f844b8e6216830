-- API keys. $1 is always the tenant.

-- name: insert
WITH made AS (
    INSERT INTO api_keys (tenant_id, id, user_id, name, prefix, secret_hash, role, scopes, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (tenant_id, id) DO NOTHING
    RETURNING id, user_id, name, prefix, role, scopes, created_at, expires_at, revoked_at, last_used_at
), audit AS (
    INSERT INTO audit_log (tenant_id, actor_id, api_key_id, action, subject_type, subject_id, detail)
    SELECT $1, $10, $11, 'api_key.created', 'api_key', $2, jsonb_build_object('name', $4::text, 'role', $7::text)
      FROM made
)
SELECT id, user_id, name, prefix, role, scopes, created_at, expires_at, revoked_at, last_used_at FROM made;

-- name: list_all
SELECT id, user_id, name, prefix, role, scopes, created_at, expires_at, revoked_at, last_used_at
  FROM api_keys
 WHERE tenant_id = $1
 ORDER BY created_at DESC, id DESC;

-- name: exists_for_tenant
SELECT EXISTS (
    SELECT FROM api_keys
     WHERE tenant_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()));

-- name: revoke
WITH gone AS (
    UPDATE api_keys SET revoked_at = coalesce(revoked_at, now())
     WHERE tenant_id = $1 AND id = $2
    RETURNING id
), audit AS (
    INSERT INTO audit_log (tenant_id, actor_id, api_key_id, action, subject_type, subject_id)
    SELECT $1, $3, $4, 'api_key.revoked', 'api_key', id FROM gone
)
SELECT id FROM gone;
