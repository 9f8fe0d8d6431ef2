-- Reconciliation: what stores hold, against what we have published. See docs/decisions/0022-reconciliation.md.

-- Each question to a subscriber. Without buckets it was for digests of all.
CREATE TABLE reconciliations (
    ask        uuid PRIMARY KEY,
    subscriber text NOT NULL,
    buckets    integer[] NOT NULL DEFAULT '{}',
    asked_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX reconciliations_of_subscriber ON reconciliations (subscriber, asked_at);

-- Answers as they came, then what was found. `message` goes once it was judged.
CREATE TABLE reconciliation_answers (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ask         uuid NOT NULL,
    subscriber  text NOT NULL,
    instance    uuid NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('digest', 'listing')),
    -- of a listing: bucket and beginning; it may come twice
    part        text NOT NULL,
    appended_at timestamptz NOT NULL,
    message     json,
    -- of a digest: buckets that were compared, that were left out since something was on its way, and that differed
    compared    integer,
    left_out    integer,
    differing   integer,
    judged_at   timestamptz,
    UNIQUE (ask, instance, part)
);
CREATE INDEX reconciliation_answers_waiting ON reconciliation_answers (subscriber, id) WHERE message IS NOT NULL;
CREATE INDEX reconciliation_answers_judged ON reconciliation_answers (subscriber, judged_at);
CREATE INDEX reconciliation_answers_by_time ON reconciliation_answers (subscriber, appended_at);
CREATE INDEX reconciliation_answers_of ON reconciliation_answers (subscriber, instance, id);

-- What differed twice. `theirs` null: the store lacks the record; `ours` null: we have none of that key.
CREATE TABLE differences (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscriber  text NOT NULL,
    instance    uuid NOT NULL,
    key         text NOT NULL,
    kind        text NOT NULL,
    theirs      text,
    ours        text,
    found_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- when the record was given a new version because of it; null: nothing of ours can repair it
    repaired_at timestamptz,
    -- when the store agreed, or its instance was gone
    closed_at   timestamptz,
    why_closed  text CHECK (why_closed IN ('agrees', 'gone'))
);
CREATE UNIQUE INDEX differences_open ON differences (subscriber, instance, left(key, 24)) WHERE closed_at IS NULL;
