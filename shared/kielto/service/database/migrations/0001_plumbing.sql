-- Tables of the plumbing, the same in every service's database. See docs/decisions/0005-outbox-by-state.md.

-- One row once an epoch was claimed. `term` rises with every leadership of the express relay.
CREATE TABLE epoch (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch integer NOT NULL CHECK (epoch > 0),
    term bigint NOT NULL DEFAULT 1
);

-- The row of each published record; never deleted. `body` is the event's JSON without its version, as text that the
-- relay sends unchanged (json, not jsonb: the bytes on Kafka are those that the model wrote).
CREATE TABLE records (
    family text NOT NULL,
    key text NOT NULL,
    epoch integer NOT NULL,
    n bigint NOT NULL,
    status text NOT NULL,
    body json NOT NULL CHECK (octet_length(body::text) <= 360000), -- sealed text is a third longer
    restrictions uuid[] NOT NULL DEFAULT '{}',
    decision uuid,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (family, key)
) WITH (fillfactor = 85);

-- Which records are to be published, and on which lane. A row each time: the relay deletes exactly those it has read.
CREATE TABLE marks (
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
    lane text NOT NULL CHECK (lane IN ('express', 'bulk')),
    family text NOT NULL,
    key text NOT NULL,
    traceparent text,
    generation integer,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (lane, id)
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX marks_of_generation ON marks (family, generation) WHERE generation IS NOT NULL;

-- Messages that are not state (audiences, marketing events), sent in order.
CREATE TABLE reports (
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    topic text NOT NULL,
    key text NOT NULL,
    value bytea NOT NULL CHECK (octet_length(value) <= 262144),
    headers jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- Where the records of parties' families stand in the log: half of every proof. `trace` is the trace id under which
-- the party got it, `traceparent` our own: the only place where the two meet.
CREATE TABLE publications (
    family text NOT NULL,
    key text NOT NULL,
    epoch integer NOT NULL,
    n bigint NOT NULL,
    topic text NOT NULL,
    topic_id uuid NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    traceparent text,
    trace text,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX publications_of_key ON publications (family, key, epoch, n);

-- Backfills. `enumerated` is the last key that has its mark; finished when `!snapshot` stands in every partition.
CREATE TABLE snapshots (
    family text NOT NULL,
    generation integer NOT NULL,
    epoch integer NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    begin jsonb,
    enumerated text,
    complete boolean NOT NULL DEFAULT false,
    finished_at timestamptz,
    PRIMARY KEY (family, generation)
);

-- How far the others' topics are taken in: the next offset to read, committed with the effects of what is below it.
CREATE TABLE positions (
    topic text NOT NULL,
    partition integer NOT NULL,
    topic_id uuid NOT NULL,
    "offset" bigint NOT NULL,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

-- Messages that can never be taken in. A row with `keyless` has a key that nobody can read. `content`: the message, key
-- and headers too, sealed; null when it is closed or was kept for long enough. `customer`: whom it may be about.
CREATE TABLE quarantine (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    topic_id uuid NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    timestamp_ms bigint NOT NULL,
    content bytea,
    reason text NOT NULL,
    keyless boolean NOT NULL,
    customer uuid,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'replayed', 'discarded')),
    at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz,
    closed_by text,
    note text,
    UNIQUE (topic, topic_id, partition, "offset")
);

-- Answers to requests with an Idempotency-Key, kept for a week.
CREATE TABLE idempotency (
    token_hash bytea NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    status integer NOT NULL,
    body bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (token_hash, key)
);
