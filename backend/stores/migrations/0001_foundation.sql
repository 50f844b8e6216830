-- Tenants, people, agents and their versions, threads, runs, keys, outbox and audit.
-- Every tenant table: tenant_id first in each key, composite foreign keys, forced row-level security (end of file).
-- Other indexes have the tenant second: before a table is analyzed, one that began with it would look as good for a
-- look-up by key as the key itself, and the plan made then is kept.
-- numen_apps and numen_workers are group roles, made before the migrations run (stores/roles.py).

CREATE TABLE tenants (
    id         uuid        PRIMARY KEY,
    name       text        NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    slug       text        NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9](-?[a-z0-9])*$' AND length(slug) <= 63),
    status     text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    tenant_id   uuid        NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id          uuid        NOT NULL,
    email       text        CHECK (length(email) BETWEEN 3 AND 320),
    external_id text        CHECK (length(external_id) BETWEEN 1 AND 200),
    name        text        NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    status      text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, email),
    UNIQUE (tenant_id, external_id)
);

CREATE TABLE agents (
    tenant_id           uuid        NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id                  uuid        NOT NULL,
    owner_id            uuid        NOT NULL,
    name                text        NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    type                text        NOT NULL CHECK (type IN ('conversational', 'voice', 'workflow', 'autonomous')),
    version             text        NOT NULL,
    status              text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'archived')),
    tags                text[]      NOT NULL DEFAULT '{}',
    contract            jsonb       NOT NULL,
    llm_provider        text        NOT NULL GENERATED ALWAYS AS (contract #>> '{configuration,llm_provider}') STORED,
    llm_model           text        NOT NULL GENERATED ALWAYS AS (contract #>> '{configuration,llm_model}') STORED,
    interaction_count   bigint      NOT NULL DEFAULT 0,
    last_interaction_at timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, owner_id) REFERENCES users (tenant_id, id)
) WITH (
    toast_tuple_target = 8160, -- contracts of a usual size are read often: keep them in the row, uncompressed
    fillfactor = 50            -- every turn counts itself here: leave it room beside the row
);
CREATE INDEX agents_newest_first ON agents (tenant_id, created_at DESC, id DESC);
CREATE INDEX agents_status ON agents (status, tenant_id);
CREATE INDEX agents_type ON agents (type, tenant_id);
CREATE INDEX agents_owner ON agents (owner_id, tenant_id);

CREATE TABLE agent_versions (
    tenant_id      uuid        NOT NULL,
    agent_id       uuid        NOT NULL,
    ordinal        int         NOT NULL CHECK (ordinal >= 1),
    version        text        NOT NULL,
    contract       jsonb       NOT NULL,
    change_summary text        NOT NULL,
    created_by     uuid        NOT NULL,
    operation_id   uuid,
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, agent_id, ordinal),
    UNIQUE (tenant_id, agent_id, version),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, created_by) REFERENCES users (tenant_id, id)
);
CREATE UNIQUE INDEX agent_versions_operation ON agent_versions (tenant_id, agent_id, operation_id)
    WHERE operation_id IS NOT NULL;
CREATE INDEX agent_versions_author ON agent_versions (created_by, tenant_id);

CREATE TABLE threads (
    tenant_id          uuid        NOT NULL,
    id                 uuid        NOT NULL,
    agent_id           uuid        NOT NULL,
    user_id            uuid        NOT NULL,
    title              text        NOT NULL DEFAULT '' CHECK (length(title) <= 500),
    status             text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'archived')),
    message_count      int         NOT NULL DEFAULT 0,
    last_message_at    timestamptz,
    context_summary    text        NOT NULL DEFAULT '',
    summarized_through int         NOT NULL DEFAULT 0,
    active_run_id      uuid,
    active_until       timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX threads_of_agent ON threads (agent_id, tenant_id, created_at DESC, id DESC);
CREATE INDEX threads_of_user ON threads (user_id, tenant_id, created_at DESC, id DESC);
CREATE INDEX threads_status ON threads (status, tenant_id);

CREATE TABLE runs (
    tenant_id            uuid        NOT NULL,
    id                   uuid        NOT NULL,
    agent_id             uuid        NOT NULL,
    thread_id            uuid        NOT NULL,
    user_id              uuid        NOT NULL,
    agent_version        text        NOT NULL,
    status               text        NOT NULL DEFAULT 'running'
                                     CHECK (status IN ('running', 'completed', 'failed', 'cancelled')),
    user_message_id      uuid        NOT NULL,
    assistant_message_id uuid        NOT NULL,
    text                 text        NOT NULL DEFAULT '',
    marks                jsonb       NOT NULL DEFAULT '[]',
    error                jsonb,
    cancel_requested     boolean     NOT NULL DEFAULT false,
    leased_until         timestamptz,
    created_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at          timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, thread_id) REFERENCES threads (tenant_id, id) ON DELETE CASCADE -- which holds agent and user
);
CREATE INDEX runs_of_thread ON runs (thread_id, tenant_id, created_at DESC);
CREATE INDEX runs_in_progress ON runs (leased_until) WHERE status = 'running';

CREATE TABLE thread_messages (
    tenant_id       uuid        NOT NULL,
    id              uuid        NOT NULL,
    thread_id       uuid        NOT NULL,
    position        int         NOT NULL CHECK (position >= 1),
    role            text        NOT NULL CHECK (role IN ('user', 'assistant', 'system', 'tool')),
    content         text        NOT NULL,
    status          text        NOT NULL DEFAULT 'complete' CHECK (status IN ('complete', 'failed', 'partial', 'cancelled')),
    run_id          uuid,
    metadata        jsonb       NOT NULL DEFAULT '{}',
    feedback_score  float8      CHECK (feedback_score BETWEEN -1 AND 1),
    feedback_reason text        CHECK (length(feedback_reason) <= 2000),
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, thread_id, position),
    FOREIGN KEY (tenant_id, thread_id) REFERENCES threads (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX thread_messages_in_time ON thread_messages (thread_id, created_at);

CREATE TABLE api_keys (
    tenant_id    uuid        NOT NULL,
    id           uuid        NOT NULL,
    user_id      uuid        NOT NULL,
    name         text        NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    prefix       text        NOT NULL,
    secret_hash  bytea       NOT NULL,
    role         text        NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    scopes       text[]      NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX api_keys_prefix ON api_keys (tenant_id, prefix);
CREATE INDEX api_keys_login ON api_keys (prefix);
CREATE INDEX api_keys_of_user ON api_keys (user_id, tenant_id);

CREATE TABLE idempotency_keys (
    tenant_id    uuid        NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    user_id      uuid        NOT NULL,
    key          text        NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    operation_id uuid        NOT NULL DEFAULT gen_random_uuid(),
    request_hash bytea       NOT NULL,
    state        text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done')),
    lease        int         NOT NULL DEFAULT 1,
    leased_until timestamptz NOT NULL,
    status       int,
    headers      jsonb,
    body         bytea,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id, key),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- No foreign keys: what is to be done must outlive what it is about (a deleted agent's files are removed, too).
CREATE TABLE outbox (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id    uuid        NOT NULL,
    kind         text        NOT NULL CHECK (length(kind) BETWEEN 1 AND 64),
    subject_id   uuid        NOT NULL,
    payload      jsonb       NOT NULL DEFAULT '{}',
    attempts     int         NOT NULL DEFAULT 0,
    available_at timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz,
    last_error   text,
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX outbox_due ON outbox (available_at, id);

CREATE TABLE audit_log (
    tenant_id    uuid        NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id           uuid        NOT NULL DEFAULT gen_random_uuid(),
    actor_id     uuid        NOT NULL,
    api_key_id   uuid,
    action       text        NOT NULL,
    subject_type text        NOT NULL,
    subject_id   uuid        NOT NULL,
    detail       jsonb       NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX audit_log_of_subject ON audit_log (subject_id, tenant_id, created_at);

-- The wall ------------------------------------------------------------------------------------------------

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenants
    USING      (id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['users', 'agents', 'agent_versions', 'threads', 'runs', 'thread_messages', 'api_keys',
                                'idempotency_keys', 'outbox', 'audit_log'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format($policy$
            CREATE POLICY tenant ON %I
                USING      (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
                WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
        $policy$, name);
    END LOOP;
END $$;

GRANT SELECT, INSERT, UPDATE, DELETE
   ON tenants, users, agents, agent_versions, threads, runs, thread_messages, api_keys, idempotency_keys, outbox
   TO numen_apps;
-- The log's times are the database's: an entry cannot be changed, and none can be dated back.
GRANT SELECT, INSERT (tenant_id, actor_id, api_key_id, action, subject_type, subject_id, detail)
   ON audit_log TO numen_apps;

-- The worker sees across tenants, but only what delivery, logging in and cleaning up need.
CREATE POLICY worker ON tenants FOR SELECT TO numen_workers USING (true);
CREATE POLICY worker ON users FOR SELECT TO numen_workers USING (true);
CREATE POLICY worker ON agents FOR SELECT TO numen_workers USING (true);
CREATE POLICY worker ON runs FOR SELECT TO numen_workers USING (true);
CREATE POLICY worker ON api_keys TO numen_workers USING (true);
CREATE POLICY worker ON idempotency_keys TO numen_workers USING (true);
CREATE POLICY worker ON outbox TO numen_workers USING (true);
GRANT SELECT (id, slug, status) ON tenants TO numen_workers;
GRANT SELECT (tenant_id, id, status) ON users TO numen_workers;
GRANT SELECT (tenant_id, id, contract, version) ON agents TO numen_workers;
GRANT SELECT (tenant_id, id, status, leased_until) ON runs TO numen_workers;
GRANT SELECT, UPDATE (last_used_at) ON api_keys TO numen_workers;
GRANT SELECT (tenant_id, user_id, key, state, created_at, leased_until), UPDATE (leased_until), DELETE
   ON idempotency_keys TO numen_workers;
GRANT SELECT, DELETE, UPDATE (attempts, available_at, leased_until, last_error) ON outbox TO numen_workers;
