-- The register. What is sealed is AES-256-GCM under the person's data key (docs/decisions/0013-sealing-at-rest.md);
-- a column named `blind` is a keyed hash by which a sealed value is found again.

-- A person, an organisation, a contact person of one (one row per duty area) or a possible user.
CREATE TABLE customers (
    id uuid PRIMARY KEY,
    recipient text NOT NULL CHECK (recipient IN ('natural', 'contact', 'legal', 'user')),
    data_key bytea NOT NULL,               -- wrapped under the master key; without it nothing sealed here can be read
    profile bytea NOT NULL,                -- sealed JSON: name, language, birth date, duties with their evidence
    minor boolean NOT NULL,
    deceased boolean NOT NULL,
    safety_ban boolean NOT NULL,
    organisation uuid REFERENCES customers (id),
    sources jsonb NOT NULL,                -- {field: {source, at}}: who stated its present value, and when
    revision bigint NOT NULL DEFAULT 1,    -- the entity tag
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((recipient = 'contact') = (organisation IS NOT NULL))
) WITH (fillfactor = 85);
CREATE INDEX customers_of_organisation ON customers (organisation) WHERE organisation IS NOT NULL;
CREATE INDEX customers_minors ON customers (id) WHERE minor;

-- Identity codes and business ids. A code that changed stays, not current, so that the person is still found by it.
CREATE TABLE identifiers (
    blind bytea PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('identity_code', 'business_id')),
    customer uuid NOT NULL REFERENCES customers (id),
    value bytea NOT NULL,                  -- sealed
    is_current boolean NOT NULL
);
CREATE UNIQUE INDEX identifiers_current ON identifiers (customer, kind) WHERE is_current;

-- Contact points of all kinds.
CREATE TABLE points (
    id uuid PRIMARY KEY,
    customer uuid NOT NULL REFERENCES customers (id),
    kind text NOT NULL CHECK (kind IN ('email', 'phone', 'post')),
    value bytea NOT NULL,                  -- sealed, normalised
    blind bytea NOT NULL,
    role_address boolean NOT NULL,
    sales jsonb NOT NULL,                  -- [{seller, date, product_group, ban_offered}]: 917/2014 section 200(3)
    holders text[] NOT NULL,               -- the companies (or `group`) that state it; gone when none does
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (customer, kind, blind)
) WITH (fillfactor = 85);
CREATE INDEX points_blind ON points (blind);

-- A customer's relation to one company. `canonical` is `<company>:<number>` as it is digested.
CREATE TABLE customerships (
    canonical text PRIMARY KEY,
    company text NOT NULL,
    number text NOT NULL,                  -- as the company writes it
    customer uuid NOT NULL REFERENCES customers (id),
    since date,
    ended date
) WITH (fillfactor = 85);
CREATE INDEX customerships_of_customer ON customerships (customer);
