-- The tables of kielto.service, the same in every service's database. See docs/decisions/0005-outbox-by-state.md.

-- Which server's history an epoch belongs to, and whether it is open. See docs/decisions/0021-epochs.md.

-- The WAL timeline of this server; null on a standby, which cannot write.
CREATE FUNCTION kielto_timeline() RETURNS text LANGUAGE sql STABLE AS
$$SELECT CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END$$;

CREATE FUNCTION kielto_system() RETURNS bigint LANGUAGE sql STABLE AS
$$SELECT system_identifier FROM pg_control_system()$$;

-- One row, from the first start on. `term` rises with every leadership of the express relay. `ending`: why a new epoch is
-- to begin. `open`: since this epoch began, our own topics and our inputs were read to their ends. `started`: the server
-- start at which our own topics were last compared with the database; null: never.
CREATE TABLE epoch (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch integer NOT NULL CHECK (epoch > 0),
    term bigint NOT NULL DEFAULT 1,
    timeline text NOT NULL DEFAULT kielto_timeline(),
    system bigint NOT NULL DEFAULT kielto_system(),
    started timestamptz DEFAULT pg_postmaster_start_time(),
    open boolean NOT NULL DEFAULT true,
    ending text,
    why text NOT NULL DEFAULT 'first start',
    begun_at timestamptz NOT NULL DEFAULT now()
);

-- The epoch in which records may be committed now; no row: in none. Until it is open only the consumers may commit: they
-- set `kielto.taking_in` when they move a position. `checked`: records of it may also be relayed and cleared.
CREATE VIEW current_epoch AS
SELECT epoch, term, open AND started IS NOT DISTINCT FROM pg_postmaster_start_time() AS checked
FROM epoch
WHERE ending IS NULL AND timeline = kielto_timeline()
    AND (started IS NOT DISTINCT FROM pg_postmaster_start_time() OR system = kielto_system())
    AND (open OR current_setting('kielto.taking_in', true) = 'on');

-- One row per published record; never deleted. `body` is the event's JSON without its version, and the relay sends it
-- unchanged (json, not jsonb, keeps the bytes as the model wrote them).
CREATE TABLE records (
    family text NOT NULL,
    key text NOT NULL,
    epoch integer NOT NULL,
    n bigint NOT NULL,
    status text NOT NULL,
    body json NOT NULL CHECK (octet_length(body::text) <= 360000), -- encrypted text is a third longer
    restrictions uuid[] NOT NULL DEFAULT '{}',
    decision uuid,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (family, key)
) WITH (fillfactor = 85);

-- Records to be published, and on which lane. Each change inserts a row; the relay deletes exactly the rows it has read.
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

-- Messages that are not state (audiences, marketing events), sent in order; a tombstone has no value.
CREATE TABLE reports (
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    topic text NOT NULL,
    key text NOT NULL,
    value bytea CHECK (octet_length(value) <= 262144),
    headers jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- Where the records of parties' families stand on Kafka. `trace` is the trace id that the party got, `traceparent` our own;
-- they are joined nowhere else.
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

-- Backfills. `enumerated` is the last key that was marked; a backfill is finished when `!snapshot` was written to every
-- partition.
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

-- How far the input topics were read: the next offset, committed together with the effects of the messages below it.
CREATE TABLE positions (
    topic text NOT NULL,
    partition integer NOT NULL,
    topic_id uuid NOT NULL,
    "offset" bigint NOT NULL,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

-- Messages that cannot be processed. `content`: the encrypted message with key and headers; null once the row is closed or
-- its time is over. `keyless`: its key cannot be read. `customer`: whom it may be about. `holds`: it may take a permission
-- away (true unless known otherwise); while it is open, no heartbeat says that its topic was read past it.
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
    holds boolean NOT NULL DEFAULT true,
    UNIQUE (topic, topic_id, partition, "offset")
);
CREATE INDEX quarantine_holding ON quarantine (topic, topic_id, partition, "offset") WHERE state = 'open' AND holds;
CREATE INDEX quarantine_customers ON quarantine (customer) WHERE state = 'open' AND holds AND customer IS NOT NULL;

-- Answers to requests with an Idempotency-Key, kept for seven days.
CREATE TABLE idempotency (
    token_hash bytea NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    status integer NOT NULL,
    body bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (token_hash, key)
);

-- What the auditor has read of our own topics, and what it found. See docs/decisions/0018-auditor.md.

-- By topic and key: the highest version read back, and the offset of its last copy. Only versions that `records` has.
CREATE TABLE audit (
    topic_id uuid NOT NULL,
    key text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    epoch integer NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (topic_id, key)
) WITH (fillfactor = 80);

-- The next offset to audit, committed with what was noted below it. `epoch`: the highest epoch below it.
CREATE TABLE audit_positions (
    topic text NOT NULL,
    partition integer NOT NULL,
    topic_id uuid NOT NULL,
    "offset" bigint NOT NULL,
    epoch integer NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

-- A finding is repaired when its key was read back at (epoch, n) or higher, at offset `after` or later. Without a key it is
-- about the whole partition and repaired by the backfill `generation`, or about an unreadable key and repaired by a void.
CREATE TABLE audit_findings (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('regression', 'ahead', 'late-epoch', 'vanished', 'foreign')),
    family text NOT NULL,
    topic text NOT NULL,
    topic_id uuid NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    key text COLLATE "C",
    epoch integer NOT NULL DEFAULT 0,
    n bigint NOT NULL DEFAULT 0,
    after bigint NOT NULL,
    generation integer,
    reason text NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'repaired', 'gone')),
    at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);
-- Each finding once, however often the record is read. A missing record has no offset, so its key identifies it; a foreign
-- epoch comes with every heartbeat of whoever writes it, so one row per partition is enough.
CREATE UNIQUE INDEX audit_findings_place ON audit_findings (topic_id, partition, "offset", kind)
    WHERE kind <> 'vanished' OR key IS NULL;
CREATE UNIQUE INDEX audit_findings_vanished ON audit_findings (topic_id, key) WHERE kind = 'vanished' AND state = 'open';
CREATE UNIQUE INDEX audit_findings_epoch ON audit_findings (topic_id, partition)
    WHERE kind = 'ahead' AND key IS NULL AND state = 'open';
CREATE INDEX audit_findings_open ON audit_findings (topic_id, key) WHERE state = 'open';

-- Records with unreadable keys: every record of the partition is published again, then the void. Its marks have the
-- generation -id; `enumerated` is the last key that was looked at.
CREATE TABLE voids (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    family text NOT NULL,
    topic text NOT NULL,
    topic_id uuid NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    enumerated text COLLATE "C" NOT NULL DEFAULT '',
    complete boolean NOT NULL DEFAULT false,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'published', 'gone')),
    at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (topic_id, partition, "offset")
);

-- Erased records whose tombstone was queued in `reports` for their bulk topic.
CREATE TABLE tombstones (
    family text NOT NULL,
    key text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (family, key)
);
CREATE INDEX records_erased ON records (family, key) WHERE status = 'erased';

-- Unreadable records of our inputs that their writer has voided. The void comes on another topic, so it may be read first.
CREATE TABLE voided (
    topic_id uuid NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    PRIMARY KEY (topic_id, partition, "offset")
);

-- Every party that the service knows or has known. See docs/decisions/0030-parties-that-left.md.

-- `key_check`: a value that only the party's id key produces; null while the keys file has none. `stale`: the party came
-- back, and its records were not recomputed since.
CREATE TABLE parties (
    party text PRIMARY KEY,
    key_check text,
    left_at timestamptz,
    stale boolean NOT NULL DEFAULT false
);

-- The group file that was seen last. `facts`: a hash of the companies and partners that records depend on; `walked`: the
-- hash for which all records were computed; `cursor`: the last customer computed for `facts`.
CREATE TABLE group_seen (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    revision integer NOT NULL,
    facts text NOT NULL,
    walked text NOT NULL,
    cursor uuid
);

-- The audit trail: who read or changed what, or was refused. See docs/decisions/0031-audit-trail.md.

-- Ids only: `actor` is the token's subject or the operator's name, `subjects` are our own ids of customers, decisions and
-- campaigns; never a name, an address or a number. `detail` holds counts.
CREATE TABLE audit_trail (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    company text,
    roles text[] NOT NULL,
    action text NOT NULL,
    subjects uuid[] NOT NULL DEFAULT '{}',
    why text,
    outcome text NOT NULL CHECK (outcome IN ('ok', 'refused', 'failed', 'repeated')),
    rule text,
    detail jsonb,
    trace text
);
CREATE INDEX audit_trail_subjects ON audit_trail USING gin (subjects);
CREATE INDEX audit_trail_company ON audit_trail (company, id);
CREATE INDEX audit_trail_at ON audit_trail (at);

-- Append-only, for the service's own role too. Only entries older than a year may be deleted, whoever asks.
CREATE FUNCTION audit_trail_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.at < now() - interval '365 days' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit_trail is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_trail_row BEFORE UPDATE OR DELETE ON audit_trail
    FOR EACH ROW EXECUTE FUNCTION audit_trail_stays();
CREATE TRIGGER audit_trail_whole BEFORE TRUNCATE ON audit_trail
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trail_stays();
REVOKE UPDATE, TRUNCATE ON audit_trail FROM PUBLIC, CURRENT_USER;
