-- Memories, their history, the receipts that say which were used, and the erasure of a person.

CREATE TABLE memories (
    tenant_id         uuid        NOT NULL,
    id                uuid        NOT NULL,
    agent_id          uuid        NOT NULL,
    scope             text        NOT NULL CHECK (scope IN ('agent', 'user', 'thread')),
    user_id           uuid, -- whose it is; erasure goes by it
    thread_id         uuid, -- where it was said: no foreign key, a memory outlives its thread
    subject_id        uuid        NOT NULL GENERATED ALWAYS AS (
                                      CASE scope WHEN 'user' THEN user_id WHEN 'thread' THEN thread_id ELSE agent_id END
                                  ) STORED,
    kind              text        NOT NULL CHECK (kind IN ('message', 'fact', 'reflection', 'note')),
    speaker           text        NOT NULL DEFAULT '' CHECK (length(speaker) <= 200),
    text              text        NOT NULL CHECK (length(text) BETWEEN 1 AND 8000),
    digest            bytea       NOT NULL, -- of the text without case, spacing and final points
    origin            text        NOT NULL CHECK (origin IN ('chat', 'extraction', 'api', 'agent')),
    source_message_id uuid,
    position          int,
    confirmations     float8      NOT NULL DEFAULT 0,
    confirmed_by      uuid, -- the newest that said the same: a repeat of it confirms nothing
    uses              bigint      NOT NULL DEFAULT 0,
    last_used_at      timestamptz,
    superseded_by     uuid,
    superseded_at     timestamptz,
    expires_at        timestamptz,
    valid_from        timestamptz NOT NULL DEFAULT now(),
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    indexed_at        timestamptz,
    revision          int         NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
) WITH (
    fillfactor = 90 -- each use is counted in the row: leave it room beside it
);
CREATE INDEX memories_of_agent ON memories (agent_id, tenant_id, created_at DESC, id DESC);
CREATE INDEX memories_of_user ON memories (user_id, tenant_id, created_at DESC, id DESC);
CREATE INDEX memories_of_thread ON memories (thread_id, tenant_id, position);
CREATE INDEX memories_superseded_by ON memories (superseded_by, tenant_id) WHERE superseded_by IS NOT NULL;
CREATE INDEX memories_speakers ON memories (agent_id, tenant_id, subject_id, speaker) WHERE speaker <> '';
-- What is current and said twice is kept once.
CREATE UNIQUE INDEX memories_once ON memories (digest, tenant_id, agent_id, scope, subject_id, speaker)
    WHERE superseded_at IS NULL;

-- No foreign key on the memory: that it was forgotten, when and by whom is kept, its texts are not.
CREATE TABLE memory_revisions (
    tenant_id  uuid        NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    memory_id  uuid        NOT NULL,
    revision   int         NOT NULL CHECK (revision >= 1),
    agent_id   uuid        NOT NULL,
    user_id    uuid,
    action     text        NOT NULL CHECK (action IN ('created', 'edited', 'superseded', 'restored', 'forgotten')),
    text       text,
    changed_by uuid,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, memory_id, revision)
);
CREATE INDEX memory_revisions_of_user ON memory_revisions (user_id, tenant_id);

-- Which memories an answer was given. Their texts stay where they are, so that what is forgotten is forgotten here, too.
CREATE TABLE recalls (
    tenant_id   uuid        NOT NULL,
    message_id  uuid        NOT NULL, -- the assistant's
    thread_id   uuid        NOT NULL,
    agent_id    uuid        NOT NULL,
    user_id     uuid        NOT NULL,
    state       text        NOT NULL CHECK (state IN ('ok', 'degraded')),
    confidence  float8      NOT NULL,
    recalled    jsonb       NOT NULL DEFAULT '[]',
    near_misses jsonb       NOT NULL DEFAULT '[]',
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, message_id),
    FOREIGN KEY (tenant_id, thread_id) REFERENCES threads (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX recalls_of_thread ON recalls (thread_id, tenant_id);

-- An erasure outlives the person it is about: the certificate holds ids and counts, nothing they said.
CREATE TABLE erasures (
    tenant_id    uuid        NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id           uuid        NOT NULL,
    user_id      uuid        NOT NULL,
    requested_by uuid        NOT NULL,
    status       text        NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'done')),
    counts       jsonb       NOT NULL DEFAULT '{}',
    certificate  jsonb,
    created_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX erasures_in_progress ON erasures (tenant_id, user_id) WHERE status = 'pending';
CREATE INDEX erasures_of_user ON erasures (user_id, tenant_id, created_at DESC);

-- ANALYZE keeps samples of what it reads; of what people say it keeps none.
ALTER TABLE memories ALTER COLUMN text SET STATISTICS 0, ALTER COLUMN speaker SET STATISTICS 0;
ALTER TABLE memory_revisions ALTER COLUMN text SET STATISTICS 0;
ALTER TABLE thread_messages ALTER COLUMN content SET STATISTICS 0, ALTER COLUMN metadata SET STATISTICS 0,
    ALTER COLUMN feedback_reason SET STATISTICS 0;
ALTER TABLE threads ALTER COLUMN title SET STATISTICS 0, ALTER COLUMN context_summary SET STATISTICS 0;
ALTER TABLE runs ALTER COLUMN text SET STATISTICS 0, ALTER COLUMN marks SET STATISTICS 0,
    ALTER COLUMN error SET STATISTICS 0;
ALTER TABLE users ALTER COLUMN email SET STATISTICS 0, ALTER COLUMN external_id SET STATISTICS 0,
    ALTER COLUMN name SET STATISTICS 0;
ALTER TABLE idempotency_keys ALTER COLUMN body SET STATISTICS 0, ALTER COLUMN headers SET STATISTICS 0,
    ALTER COLUMN key SET STATISTICS 0;
ALTER TABLE outbox ALTER COLUMN payload SET STATISTICS 0, ALTER COLUMN last_error SET STATISTICS 0;
ALTER TABLE audit_log ALTER COLUMN detail SET STATISTICS 0;
ALTER TABLE api_keys ALTER COLUMN name SET STATISTICS 0;

-- A relay claims its own kinds only, and does not read past the orders of the others.
DROP INDEX outbox_due;
CREATE INDEX outbox_due ON outbox (kind, available_at, id);

-- An author may have been erased; the version stays.
ALTER TABLE agent_versions ALTER COLUMN created_by DROP NOT NULL;

-- The wall ------------------------------------------------------------------------------------------------

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['memories', 'memory_revisions', 'recalls', 'erasures'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format($policy$
            CREATE POLICY tenant ON %I
                USING      (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
                WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
        $policy$, name);
    END LOOP;
END $$;

GRANT SELECT, INSERT, UPDATE, DELETE ON memories, memory_revisions, recalls TO numen_apps;
GRANT SELECT, INSERT, UPDATE (status, counts, certificate, finished_at) ON erasures TO numen_apps;

-- That something was done stays in the log; what was written about it can be taken out, and nothing else be put there.
CREATE FUNCTION refuse_new_detail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an entry of the audit log may lose its detail, and not get another'
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER detail_is_only_taken BEFORE UPDATE ON audit_log FOR EACH ROW
    WHEN (NEW.detail <> '{}') EXECUTE FUNCTION refuse_new_detail();
GRANT UPDATE (detail) ON audit_log TO numen_apps;

-- The worker orders the index anew and finds what it should no longer hold; it reads no text.
CREATE POLICY worker ON memories FOR SELECT TO numen_workers USING (true);
GRANT SELECT (tenant_id, id, thread_id, position) ON memories TO numen_workers;
GRANT INSERT (tenant_id, kind, subject_id) ON outbox TO numen_workers;
