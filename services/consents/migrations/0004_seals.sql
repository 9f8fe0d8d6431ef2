-- The log of decisions: one Merkle tree over salted commitments, its heads signed. See docs/decisions/0019-seals.md.

-- Without its salt a commitment says nothing about anybody. A salt that was erased is missing.
CREATE TABLE salts (
    decision uuid PRIMARY KEY,
    salt     bytea NOT NULL CHECK (octet_length(salt) = 32)
);

-- Decisions that are in no sealed batch yet; written with them. Rows, not a high-water mark: a decision that commits
-- late is found all the same.
CREATE TABLE unsealed (
    id         bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    decision   uuid NOT NULL,
    -- null: of a decision from before there were seals; computed when it is sealed
    commitment bytea CHECK (octet_length(commitment) = 32)
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE leaves (
    index      bigint PRIMARY KEY CHECK (index >= 0),
    decision   uuid NOT NULL UNIQUE,
    commitment bytea NOT NULL CHECK (octet_length(commitment) = 32)
);

-- Hashes of full subtrees, every eighth level: what a proof is computed from without reading all leaves.
CREATE TABLE tree_nodes (
    height integer NOT NULL,
    index  bigint NOT NULL,
    hash   bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (height, index)
);

-- Each batch's signed tree head. `size` is the number of leaves after it, as the signed text says, too.
CREATE TABLE seals (
    batch bigint PRIMARY KEY,
    size  bigint NOT NULL UNIQUE,
    head  text NOT NULL
);

-- Public keys that heads were ever signed by.
CREATE TABLE seal_keys (
    kid        text PRIMARY KEY,
    jwk        json NOT NULL,
    first_used timestamptz NOT NULL DEFAULT now()
);

-- Decisions whose salts were erased, and for what reason: their leaves stay and prove nothing about anybody.
CREATE TABLE erasures (
    decision  uuid PRIMARY KEY,
    erased_at timestamptz NOT NULL,
    why       text NOT NULL
);

INSERT INTO salts (decision, salt)
SELECT id, decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex') FROM decisions;
INSERT INTO unsealed (decision) SELECT id FROM decisions ORDER BY received_at, id;
