-- People and tenants. $1 is always the tenant.

-- name: insert_tenant
INSERT INTO tenants (id, name, slug) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING RETURNING id;

-- name: delete_agents
-- With the orders to take their files away.
WITH gone AS (
    DELETE FROM agents WHERE tenant_id = $1 RETURNING id
)
INSERT INTO outbox (tenant_id, kind, subject_id) SELECT $1, 'agent.mirror', id FROM gone;

-- name: delete_tenant
DELETE FROM tenants WHERE id = $1 RETURNING id;

-- name: insert
INSERT INTO users (tenant_id, id, email, name)
VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING
RETURNING id;

-- name: person
-- The row of a product's own user, made on first use.
INSERT INTO users (tenant_id, id, external_id, name)
VALUES ($1, $2, $3, $3)
    ON CONFLICT (tenant_id, external_id) DO UPDATE SET external_id = excluded.external_id
RETURNING id, status;

-- name: standing
SELECT t.status AS tenant_status, u.status AS user_status
  FROM tenants t
  LEFT JOIN users u ON u.tenant_id = t.id AND u.id = $2
 WHERE t.id = $1;
