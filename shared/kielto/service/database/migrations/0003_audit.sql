-- What the auditor has read of our own topics, and what it found. See docs/decisions/0018-auditor.md.

-- By topic and key the highest version read back and where its last copy stands. Only versions that `records` holds.
CREATE TABLE audit (
    topic_id uuid NOT NULL,
    key text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    epoch integer NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (topic_id, key)
) WITH (fillfactor = 80);

-- The next offset to audit, committed with what was noted below it. `epoch`: the highest that stands below it.
CREATE TABLE audit_positions (
    topic text NOT NULL,
    partition integer NOT NULL,
    topic_id uuid NOT NULL,
    "offset" bigint NOT NULL,
    epoch integer NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

-- Repaired when the key was read back at (epoch, n) or higher, at `after` or behind it. Without a key: the whole
-- partition, repaired by the backfill `generation`; or an unreadable key, repaired by its void.
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
-- Once, however often it is read. A record that is not there stands nowhere, so it is told apart by its key; a foreign
-- epoch comes with every beat of whoever writes it.
CREATE UNIQUE INDEX audit_findings_place ON audit_findings (topic_id, partition, "offset", kind)
    WHERE kind <> 'vanished' OR key IS NULL;
CREATE UNIQUE INDEX audit_findings_vanished ON audit_findings (topic_id, key) WHERE kind = 'vanished' AND state = 'open';
CREATE UNIQUE INDEX audit_findings_epoch ON audit_findings (topic_id, partition)
    WHERE kind = 'ahead' AND key IS NULL AND state = 'open';
CREATE INDEX audit_findings_open ON audit_findings (topic_id, key) WHERE state = 'open';

-- Unreadable keys: first every record of the partition is published again, then the void. Its marks have the
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

-- Erased records whose tombstone was queued, in `reports`, for their bulk topic.
CREATE TABLE tombstones (
    family text NOT NULL,
    key text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (family, key)
);
CREATE INDEX records_erased ON records (family, key) WHERE status = 'erased';
ALTER TABLE reports ALTER COLUMN value DROP NOT NULL;
