-- When agents run by themselves. $1 is always the tenant. The worker writes what becomes of it; see worker.sql.

-- name: get
-- A schedule that was changed a moment ago has no next tick yet.
SELECT a.id AS agent_id, a.schedule, CASE WHEN s.schedule = a.schedule THEN s.next_at END AS next_at, s.last_at,
       coalesce(s.ticks, 0) AS ticks, coalesce(s.missed, 0) AS missed, s.last_missed
  FROM agents a
  LEFT JOIN agent_schedules s ON s.tenant_id = $1 AND s.agent_id = a.id
 WHERE a.tenant_id = $1 AND a.id = $2;

-- name: wanted
-- For whom an agent runs by itself; no row when it does not any more.
SELECT a.owner_id
  FROM agents a
  JOIN tenants t ON t.id = a.tenant_id
 WHERE a.tenant_id = $1 AND a.id = $2 AND a.schedule IS NOT NULL AND t.status = 'active';

-- name: report_missed
-- Once for each tick, however often its order is delivered.
INSERT INTO audit_log (tenant_id, actor_id, action, subject_type, subject_id, detail)
SELECT $1, $3, 'schedule.missed', 'agent', $2, $4::text::jsonb
 WHERE NOT EXISTS (
       SELECT FROM audit_log l
        WHERE l.tenant_id = $1 AND l.subject_id = $2 AND l.action = 'schedule.missed'
          AND l.detail ->> 'tick' = $4::text::jsonb ->> 'tick');
