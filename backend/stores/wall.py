"""The start-up self-check: the server does not serve over a wall with a gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backend.errors import BrokenWall

if TYPE_CHECKING:
    from asyncpg import Pool

_GAPS = """
SELECT format('the role %s is a superuser or bypasses row-level security', rolname) AS gap
  FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)
UNION ALL
SELECT format('the role %s may become %s', current_user, rolname)
  FROM pg_roles
 WHERE (rolsuper OR rolbypassrls) AND rolname <> current_user AND pg_has_role(current_user, oid, 'member')
UNION ALL
SELECT format('the role %s owns %s', current_user, oid::regclass)
  FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm')
   AND relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user)
UNION ALL
SELECT format('the table %s has a tenant and no forced row-level security with a policy', held.oid::regclass)
  FROM pg_class held JOIN pg_attribute named ON named.attrelid = held.oid
 WHERE held.relkind IN ('r', 'p') AND held.relnamespace = 'public'::regnamespace
   AND (named.attname = 'tenant_id' OR held.relname = 'tenants' AND named.attname = 'id') AND NOT named.attisdropped
   AND NOT (held.relrowsecurity AND held.relforcerowsecurity
            AND EXISTS (SELECT FROM pg_policy WHERE polrelid = held.oid AND polname = 'tenant'))
UNION ALL
SELECT format('the tenant''s policy of the table %s does not ask for the tenant', polrelid::regclass)
  FROM pg_policy JOIN pg_class held ON held.oid = polrelid
 WHERE held.relnamespace = 'public'::regnamespace AND polname = 'tenant'
   AND NOT (coalesce(pg_get_expr(polqual, polrelid), '') LIKE '%app.tenant_id%'
            AND coalesce(pg_get_expr(polwithcheck, polrelid), '') LIKE '%app.tenant_id%')
UNION ALL
SELECT format('the role %s may truncate %s, which asks no policy', current_user, oid::regclass)
  FROM pg_class
 WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
   AND has_table_privilege(current_user, oid, 'TRUNCATE')
UNION ALL
SELECT format('the table %s has a policy %s, neither the tenant''s nor the worker''s', polrelid::regclass, polname)
  FROM pg_policy JOIN pg_class held ON held.oid = polrelid
 WHERE held.relnamespace = 'public'::regnamespace
   AND NOT (polname = 'tenant' OR polname = 'worker' AND polroles = ARRAY['numen_workers'::regrole::oid])
UNION ALL
SELECT format('the view %s runs as its owner', oid::regclass)
  FROM pg_class
 WHERE relnamespace = 'public'::regnamespace
   AND (relkind = 'm'
        OR relkind = 'v' AND NOT coalesce(reloptions, '{}') && ARRAY['security_invoker=true', 'security_invoker=on'])
   AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e') -- what extensions bring along
UNION ALL
SELECT format('the function %s runs as its owner', oid::regprocedure)
  FROM pg_proc
 WHERE prosecdef AND pronamespace = 'public'::regnamespace
   AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
"""
_WORKER_IN_APP = "SELECT pg_has_role(current_user, 'numen_workers', 'member')"


async def refuse_gaps(app: Pool, worker: Pool) -> None:
    """Ask the database, as each role, whether a tenant could see another's rows.

    Errors: `BrokenWall`, naming every gap.
    """
    gaps = [row["gap"] for row in await app.fetch(_GAPS)] + [row["gap"] for row in await worker.fetch(_GAPS)]
    if await app.fetchval(_WORKER_IN_APP):
        gaps.append("the app's role is also the worker's, which sees every tenant")
    if gaps:
        raise BrokenWall("The server does not start: " + "; ".join(dict.fromkeys(gaps)) + ".")
