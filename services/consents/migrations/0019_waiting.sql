-- A yes of a party's topic about nobody whom the party knows yet. See docs/decisions/0034-ids-and-results-of-a-party.md.
CREATE TABLE waiting (
    decision     uuid PRIMARY KEY,
    party        text NOT NULL,
    -- the party's own id of it
    ident        uuid NOT NULL,
    partition    integer NOT NULL,
    "offset"     bigint NOT NULL,
    timestamp_ms bigint NOT NULL,
    -- of what was said, to tell a repeated id from one used twice
    content      bytea NOT NULL,
    -- null once somebody whom it named was erased: it is only told at its end, as any other is
    ref          text COLLATE "C",
    sealed       bytea,
    -- somebody of this ref became known, or more was learnt of them
    due          boolean NOT NULL DEFAULT false
);
CREATE INDEX waiting_for ON waiting (ref) WHERE ref IS NOT NULL;
CREATE INDEX waiting_due ON waiting (timestamp_ms) WHERE due;
CREATE INDEX waiting_of_party ON waiting (party);
CREATE INDEX waiting_by_time ON waiting (timestamp_ms);
