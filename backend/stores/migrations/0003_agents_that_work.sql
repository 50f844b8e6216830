-- Runs that are more than one answer: their steps, what waits for a person, schedules, webhooks, and sessions.

-- A run is a chat's turn or a piece of work. Work is taken up again by another server when its own is lost; `claim`
-- counts who had it, so that whoever lost it can store nothing more. A waiting run holds its thread and no lease.
ALTER TABLE runs
    ADD COLUMN kind      text        NOT NULL DEFAULT 'chat' CHECK (kind IN ('chat', 'workflow', 'autonomous', 'script')),
    ADD COLUMN claim     int         NOT NULL DEFAULT 1,
    ADD COLUMN durable   boolean     NOT NULL DEFAULT false, -- what was recorded of it lets another server go on
    ADD COLUMN depth     int         NOT NULL DEFAULT 0 CHECK (depth >= 0),
    ADD COLUMN detail    jsonb       NOT NULL DEFAULT '{}',
    DROP CONSTRAINT runs_status_check,
    ADD CONSTRAINT runs_status_check CHECK (status IN ('running', 'waiting', 'completed', 'failed', 'cancelled'));
CREATE INDEX runs_of_agent ON runs (agent_id, tenant_id, created_at DESC, id DESC);

-- One row for each thing that a run did: a model call, a tool call, a condition. Written before it is done and after.
CREATE TABLE run_steps (
    tenant_id     uuid        NOT NULL,
    run_id        uuid        NOT NULL,
    ordinal       int         NOT NULL CHECK (ordinal >= 1),
    id            uuid        NOT NULL,
    step          text        NOT NULL CHECK (length(step) BETWEEN 1 AND 64),
    kind          text        NOT NULL CHECK (kind IN ('model', 'tool', 'agent', 'condition')),
    attempt       int         NOT NULL DEFAULT 1 CHECK (attempt >= 1),
    status        text        NOT NULL CHECK (status IN ('running', 'waiting', 'completed', 'failed', 'denied')),
    input         jsonb       NOT NULL DEFAULT '{}',
    output        jsonb,
    error         jsonb,
    approved      boolean,    -- null: nobody was asked, or nobody has answered
    answered_by   uuid,
    answered_at   timestamptz,
    operation_id  uuid,       -- of the answer: a repeated request finds that it was given
    reason        text        CHECK (length(reason) <= 2000),
    input_tokens  int         NOT NULL DEFAULT 0,
    output_tokens int         NOT NULL DEFAULT 0,
    started_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at   timestamptz,
    PRIMARY KEY (tenant_id, run_id, ordinal),
    FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX run_steps_id ON run_steps (tenant_id, id);

-- When an agent is to run by itself: of an active agent with such a contract, nothing of others.
ALTER TABLE agents
    ADD COLUMN schedule text GENERATED ALWAYS AS (
        CASE WHEN status = 'active' AND type IN ('workflow', 'autonomous')
                  AND contract #>> '{workflow,trigger_type}' = 'scheduled'
             THEN contract #>> '{workflow,schedule}' END) STORED;
CREATE INDEX agents_interviewers ON agents (tenant_id, created_at, id) WHERE contract ? 'interview';
CREATE INDEX agents_writers ON agents (tenant_id, created_at, id) WHERE contract ? 'script';
CREATE INDEX agents_scheduled ON agents (tenant_id, id) INCLUDE (schedule) WHERE schedule IS NOT NULL;

-- What became of it: the next tick of the schedule that is written here; with another one it is reckoned anew. Without
-- a next one the agent was not to run by itself when that was due; its counts stay.
CREATE TABLE agent_schedules (
    tenant_id   uuid        NOT NULL,
    agent_id    uuid        NOT NULL,
    schedule    text        NOT NULL,
    next_at     timestamptz,
    last_at     timestamptz,
    ticks       bigint      NOT NULL DEFAULT 0,
    missed      bigint      NOT NULL DEFAULT 0,
    last_missed timestamptz,
    PRIMARY KEY (tenant_id, agent_id),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX agent_schedules_due ON agent_schedules (next_at);

-- Addresses where events come in. The secret signs them, so it is kept as it is.
CREATE TABLE webhooks (
    tenant_id    uuid        NOT NULL,
    id           uuid        NOT NULL,
    agent_id     uuid        NOT NULL,
    user_id      uuid        NOT NULL, -- in whose name its runs are made
    name         text        NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    secret       bytea       NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX webhooks_of_agent ON webhooks (agent_id, tenant_id);
CREATE INDEX webhooks_of_user ON webhooks (user_id, tenant_id);
CREATE INDEX webhooks_by_id ON webhooks (id);

-- One pass of a person through an interview and what is made from it. What was said is in the threads, what was
-- written in the steps of the run.
CREATE TABLE sessions (
    tenant_id         uuid        NOT NULL,
    id                uuid        NOT NULL,
    user_id           uuid        NOT NULL,
    intake_agent_id   uuid        NOT NULL,
    therapy_agent_id  uuid        NOT NULL,
    intake_thread_id  uuid        NOT NULL,
    therapy_run_id    uuid,
    script_number     int         NOT NULL DEFAULT 1, -- grows when a script is begun anew instead of gone on with
    status            text        NOT NULL DEFAULT 'pending'
                                  CHECK (status IN ('pending', 'intake', 'therapy', 'completed', 'failed')),
    stage             text        NOT NULL DEFAULT 'greeting'
                                  CHECK (stage IN ('greeting', 'goals', 'preferences', 'confirmation', 'complete')),
    progress          json        NOT NULL DEFAULT '{}', -- json keeps the order of the contract's fields
    response          text        NOT NULL DEFAULT '',
    plan              json,
    consented_at      timestamptz,
    error             jsonb,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, intake_agent_id) REFERENCES agents (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, therapy_agent_id) REFERENCES agents (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, intake_thread_id) REFERENCES threads (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, therapy_run_id) REFERENCES runs (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX sessions_newest_first ON sessions (user_id, tenant_id, created_at DESC, id DESC);
CREATE INDEX sessions_of_tenant ON sessions (tenant_id, created_at DESC, id DESC);
CREATE INDEX sessions_status ON sessions (status, tenant_id);
CREATE INDEX sessions_intake ON sessions (intake_agent_id, tenant_id);
CREATE INDEX sessions_therapy ON sessions (therapy_agent_id, tenant_id);
CREATE INDEX sessions_thread ON sessions (intake_thread_id, tenant_id);
CREATE INDEX sessions_run ON sessions (therapy_run_id, tenant_id) WHERE therapy_run_id IS NOT NULL;

-- Statistics would hold pieces of what people said.
ALTER TABLE run_steps ALTER COLUMN input SET STATISTICS 0, ALTER COLUMN output SET STATISTICS 0,
    ALTER COLUMN error SET STATISTICS 0, ALTER COLUMN reason SET STATISTICS 0;
ALTER TABLE sessions ALTER COLUMN progress SET STATISTICS 0, ALTER COLUMN response SET STATISTICS 0,
    ALTER COLUMN plan SET STATISTICS 0, ALTER COLUMN error SET STATISTICS 0;
ALTER TABLE runs ALTER COLUMN detail SET STATISTICS 0;
ALTER TABLE webhooks ALTER COLUMN secret SET STATISTICS 0;

-- The wall ------------------------------------------------------------------------------------------------

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['run_steps', 'agent_schedules', 'webhooks', 'sessions'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format($policy$
            CREATE POLICY tenant ON %I
                USING      (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
                WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
        $policy$, name);
    END LOOP;
END $$;

GRANT SELECT, INSERT, UPDATE, DELETE ON run_steps, webhooks, sessions TO numen_apps;
GRANT SELECT, DELETE ON agent_schedules TO numen_apps;

-- The worker looks for what is due, orders it, and finds the webhook that an event names.
CREATE POLICY worker ON agent_schedules TO numen_workers USING (true) WITH CHECK (true);
CREATE POLICY worker ON webhooks FOR SELECT TO numen_workers USING (true);
GRANT SELECT, INSERT, UPDATE ON agent_schedules TO numen_workers;
GRANT SELECT (schedule, owner_id, status) ON agents TO numen_workers;
GRANT SELECT (tenant_id, id, agent_id, user_id, secret) ON webhooks TO numen_workers;
GRANT SELECT (durable) ON runs TO numen_workers;
GRANT INSERT (tenant_id, kind, subject_id, payload) ON outbox TO numen_workers;
