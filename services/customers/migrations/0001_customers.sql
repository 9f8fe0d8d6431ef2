-- The register. What is encrypted is AES-256-GCM under the person's data key (docs/decisions/0013-encryption-at-rest.md);
-- a column named `blind` is a keyed hash by which an encrypted value is found again. A `source` is a company's id, or
-- `group`: what it states is kept apart from what others do (docs/decisions/0026-facts-by-source.md).

-- A person, an organisation, a contact person of one (one row per duty area) or a possible user. Of one merged away the
-- id stays, an alias of the survivor, and nothing personal: neither a key nor what was encrypted under it. `alias_of` is
-- always the survivor itself, however long the chain.
CREATE TABLE customers (
    id uuid PRIMARY KEY,
    data_key bytea,                        -- wrapped under the master key; without it nothing encrypted here can be read
    alias_of uuid REFERENCES customers (id),
    companies text[],                      -- of an alias: in which it was a customer, so where a record of it is published
    revisions jsonb NOT NULL,              -- {source: n}: the entity tag that each is shown; moves by what it sees alone
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT customers_alias CHECK (CASE WHEN alias_of IS NULL
        THEN data_key IS NOT NULL AND companies IS NULL
        ELSE data_key IS NULL AND companies IS NOT NULL AND alias_of <> id END)
) WITH (fillfactor = 85);
CREATE INDEX customers_aliases ON customers (alias_of) WHERE alias_of IS NOT NULL;

-- What one source states of a customer.
CREATE TABLE statements (
    customer uuid NOT NULL REFERENCES customers (id),
    source text NOT NULL,
    recipient text CHECK (recipient IN ('natural', 'contact', 'legal', 'user')),
    minor boolean NOT NULL,
    deceased boolean NOT NULL,
    safety_ban boolean NOT NULL,
    organisation uuid REFERENCES customers (id),
    person uuid,                           -- whom a contact person is; stays when that one is erased: its bans bind on
    profile bytea NOT NULL,                -- encrypted JSON: name, language, birth date, duties, what the group took back
    stated_at jsonb NOT NULL,              -- {field: time}
    PRIMARY KEY (customer, source)
) WITH (fillfactor = 85);
CREATE INDEX statements_of_organisation ON statements (organisation) WHERE organisation IS NOT NULL;
CREATE INDEX statements_of_person ON statements (person) WHERE person IS NOT NULL;
CREATE INDEX statements_minors ON statements (customer) WHERE minor;

-- Identity codes and business ids, by who states them: one source has each for one customer only, another source may
-- have it for another. A code that changed stays, not current, so that the person is still found by it.
CREATE TABLE identifiers (
    blind bytea NOT NULL,
    source text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('identity_code', 'business_id')),
    customer uuid NOT NULL REFERENCES customers (id),
    value bytea NOT NULL,                  -- encrypted
    is_current boolean NOT NULL,
    PRIMARY KEY (blind, source)
);
CREATE INDEX identifiers_of_customer ON identifiers (customer);

-- Contact points of all kinds.
CREATE TABLE points (
    id uuid PRIMARY KEY,
    customer uuid NOT NULL REFERENCES customers (id),
    kind text NOT NULL CHECK (kind IN ('email', 'phone', 'post')),
    value bytea NOT NULL,                  -- encrypted, normalised
    blind bytea NOT NULL,
    claims jsonb NOT NULL,                 -- {source: {role_address, sales: [{seller, date, product_group, ban_offered}]}}
    source text NOT NULL,                  -- who alone states it; empty: several do
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (customer, kind, blind)
) WITH (fillfactor = 85);
CREATE INDEX points_blind ON points (blind, source);

-- A customer's relation to one company. `canonical` is `<company>:<number>` as it is digested.
CREATE TABLE customerships (
    canonical text PRIMARY KEY,
    company text NOT NULL,
    number text NOT NULL,                  -- as the company writes it
    customer uuid NOT NULL REFERENCES customers (id),
    since date,
    ended date,
    ended_by text                          -- the source that stated the end
) WITH (fillfactor = 85);
CREATE INDEX customerships_of_customer ON customerships (customer);

-- Two customers who may be the same person, the lower id first. A row of one that was erased stays: its bans bind on.
CREATE TABLE links (
    one uuid NOT NULL,
    other uuid NOT NULL CHECK (one < other),
    reason text NOT NULL CHECK (reason IN ('identifier', 'contact_point')),
    binds boolean NOT NULL,                -- false: only to be looked at
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (one, other)
);
CREATE INDEX links_other ON links (other);

-- Locked by whoever adds a holder, so that of two who come at the same time one sees the other.
CREATE TABLE link_keys (blind bytea PRIMARY KEY);

-- Two whom the group looked at: different people. No link between them binds.
CREATE TABLE apart (
    one uuid NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    other uuid NOT NULL REFERENCES customers (id) ON DELETE CASCADE CHECK (one < other),
    reason text NOT NULL,
    decided_by text NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (one, other)
);
CREATE INDEX apart_other ON apart (other);

-- Rows refused because they name a customer by an identifier and contradict it: the group looks at them.
CREATE TABLE contradictions (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    customer uuid NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    source text NOT NULL,
    number text,                           -- the customer number in the row
    fields text[] NOT NULL,                -- what contradicts
    at timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (customer, source, number)
);

-- Contact points of imports that cannot be read: kept as they were given, and used for nothing. What a company states
-- of a customer replaces what it stated before; they go with the customer.
CREATE TABLE unreadable_values (
    id uuid PRIMARY KEY,
    customer uuid NOT NULL REFERENCES customers (id),
    source text NOT NULL,                  -- the company that stated it
    kind text NOT NULL CHECK (kind IN ('email', 'phone', 'post')),
    rule text NOT NULL,                    -- the rule that it broke
    value bytea NOT NULL,                  -- encrypted: JSON of the value or the address
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX unreadable_values_of ON unreadable_values (customer);
