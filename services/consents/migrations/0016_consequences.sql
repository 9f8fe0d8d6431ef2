-- Decisions about more customers than one transaction computes (docs/decisions/0029-consequences-in-portions.md). The
-- decision is committed with this row; whose records do not show it yet is worked off in portions, by any process.
CREATE TABLE consequences (
    decision uuid PRIMARY KEY,
    -- the decision's subject: `ref`, and the customer of a c: ref
    ref      text COLLATE "C" NOT NULL,
    customer uuid,
    -- families that it takes something away in: until their records show it, no beat vouches for them
    speaks   text[] NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Whom a portion was for already, until the last of them is done.
CREATE TABLE consequences_done (
    decision uuid NOT NULL,
    customer uuid NOT NULL,
    PRIMARY KEY (decision, customer)
);
CREATE INDEX consequences_begun ON consequences (begun_at);
