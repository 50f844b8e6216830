-- Agents and their versions. $1 is always the tenant.

-- name: get
SELECT id, type, version, status, interaction_count, last_interaction_at, created_at,
       llm_provider, llm_model, contract::text AS contract_json
  FROM agents
 WHERE tenant_id = $1 AND id = $2;

-- name: lock
SELECT id, type, version, status, interaction_count, last_interaction_at, created_at,
       llm_provider, llm_model, contract::text AS contract_json
  FROM agents
 WHERE tenant_id = $1 AND id = $2
   FOR NO KEY UPDATE;

-- name: list_page
-- Without $2 the archived ones stay out. The first page starts before a place that no row reaches.
SELECT id, type, version, status, interaction_count, last_interaction_at, created_at,
       llm_provider, llm_model, contract::text AS contract_json
  FROM agents
 WHERE tenant_id = $1
   AND (status = $2 OR ($2::text IS NULL AND status <> 'archived'))
   AND ($3::text IS NULL OR type = $3)
   AND (created_at, id) < ($4, $5)
 ORDER BY created_at DESC, id DESC
 LIMIT $6 OFFSET $7;

-- name: search_page
-- The list with the two filters that read every row: a tag, and words in the name or short description.
SELECT id, type, version, status, interaction_count, last_interaction_at, created_at,
       llm_provider, llm_model, contract::text AS contract_json
  FROM agents
 WHERE tenant_id = $1
   AND (status = $2 OR ($2::text IS NULL AND status <> 'archived'))
   AND ($3::text IS NULL OR type = $3)
   AND (created_at, id) < ($4, $5)
   AND ($8::text IS NULL OR $8 = ANY (tags))
   AND ($9::text IS NULL OR strpos(lower(name || ' ' || (contract #>> '{identity,short_description}')), lower($9)) > 0)
 ORDER BY created_at DESC, id DESC
 LIMIT $6 OFFSET $7;

-- name: count
SELECT count(*)
  FROM agents
 WHERE tenant_id = $1
   AND (status = $2 OR ($2::text IS NULL AND status <> 'archived'))
   AND ($3::text IS NULL OR type = $3)
   AND ($4::text IS NULL OR $4 = ANY (tags))
   AND ($5::text IS NULL OR strpos(lower(name || ' ' || (contract #>> '{identity,short_description}')), lower($5)) > 0);

-- name: named
-- The oldest agent of this name that is not archived.
SELECT id
  FROM agents
 WHERE tenant_id = $1 AND name = $2 AND status <> 'archived'
 ORDER BY created_at, id
 LIMIT 1;

-- name: interviewer
-- The oldest active agent of these types that leads interviews.
SELECT id
  FROM agents
 WHERE tenant_id = $1 AND status = 'active' AND type = ANY ($2::text[]) AND contract ? 'interview'
 ORDER BY created_at, id
 LIMIT 1;

-- name: writer
-- The oldest active agent of these types that writes scripts.
SELECT id
  FROM agents
 WHERE tenant_id = $1 AND status = 'active' AND type = ANY ($2::text[]) AND contract ? 'script'
 ORDER BY created_at, id
 LIMIT 1;

-- name: insert
-- The row, its first version, the audit entry and the order to mirror it: all or nothing, in one trip.
-- Nothing happens, and no row comes back, when the id is there already.
WITH given AS MATERIALIZED (
    SELECT $1::uuid AS tenant_id, $9::text::jsonb AS contract
), agent AS (
    INSERT INTO agents (tenant_id, id, owner_id, name, type, version, status, tags, contract, created_at, updated_at)
    SELECT given.tenant_id, $2, $3, $4, $5, $6, $7, $8, given.contract, $10, $13 FROM given
        ON CONFLICT (tenant_id, id) DO NOTHING
    RETURNING id
), version AS (
    INSERT INTO agent_versions (tenant_id, agent_id, ordinal, version, contract, change_summary, created_by, created_at)
    SELECT $1, $2, $14, $6, given.contract, $11, $3, $13 FROM agent, given
), audit AS (
    INSERT INTO audit_log (tenant_id, actor_id, api_key_id, action, subject_type, subject_id, detail)
    SELECT $1, $3, $12, 'agent.created', 'agent', $2, jsonb_build_object('version', $6::text) FROM agent
), delivery AS (
    INSERT INTO outbox (tenant_id, kind, subject_id) SELECT $1, 'agent.mirror', $2 FROM agent
)
SELECT id FROM agent;

-- name: insert_version
-- One more version of an imported agent's history.
INSERT INTO agent_versions (tenant_id, agent_id, ordinal, version, contract, change_summary, created_by, created_at)
VALUES ($1, $2, $3, $4, $5::text::jsonb, $6, $7, $8);

-- name: update
-- The row and its new version. The caller holds the row's lock.
WITH version AS (
    INSERT INTO agent_versions (tenant_id, agent_id, ordinal, version, contract, change_summary, created_by, operation_id)
    SELECT $1, $2, max(ordinal) + 1, $6, $8::text::jsonb, $9, $10, $12
      FROM agent_versions
     WHERE tenant_id = $1 AND agent_id = $2
), audit AS (
    INSERT INTO audit_log (tenant_id, actor_id, api_key_id, action, subject_type, subject_id, detail)
    VALUES ($1, $10, $11, $13, 'agent', $2, jsonb_build_object('version', $6::text, 'summary', $9::text))
), delivery AS (
    INSERT INTO outbox (tenant_id, kind, subject_id) VALUES ($1, 'agent.mirror', $2)
)
UPDATE agents
   SET name = $3, type = $4, status = $5, version = $6, tags = $7, contract = $8::text::jsonb, updated_at = $14
 WHERE tenant_id = $1 AND id = $2
RETURNING contract::text AS contract_json;

-- name: versions
SELECT v.version, v.change_summary, v.created_by, v.created_at
  FROM agent_versions v
 WHERE v.tenant_id = $1 AND v.agent_id = $2
 ORDER BY v.ordinal DESC
 LIMIT $3 OFFSET $4;

-- name: version_count
SELECT count(*) FROM agent_versions WHERE tenant_id = $1 AND agent_id = $2;

-- name: version
SELECT version, change_summary, created_by, created_at, contract::text AS contract_json
  FROM agent_versions
 WHERE tenant_id = $1 AND agent_id = $2 AND version = $3;

-- name: history
-- The newest $3 versions with their contracts, oldest first: what an export carries.
SELECT version, change_summary, created_by, created_at, contract_json
  FROM (SELECT ordinal, version, change_summary, created_by, created_at, contract::text AS contract_json
          FROM agent_versions
         WHERE tenant_id = $1 AND agent_id = $2
         ORDER BY ordinal DESC
         LIMIT $3) newest
 ORDER BY ordinal;

-- name: operation_done
SELECT 1 FROM agent_versions WHERE tenant_id = $1 AND agent_id = $2 AND operation_id = $3;
