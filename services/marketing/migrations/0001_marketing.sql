-- What marketing keeps of customers' and consents' records, its campaigns, and their recipients.

-- One row a person: two records, each under its own version (epoch, n), and the lock under which whatever concerns
-- the person's place in a campaign happens (docs/decisions/0016-audiences-and-recalls.md). Never deleted.
CREATE TABLE people (
    id                uuid PRIMARY KEY,
    customer_epoch    integer NOT NULL DEFAULT 0,
    customer_n        bigint  NOT NULL DEFAULT 0,
    customer_status   text    NOT NULL DEFAULT 'unknown'
        CHECK (customer_status IN ('unknown', 'live', 'alias', 'erased', 'unreadable')),
    -- id of the contact point -> its encrypted digest; null for a postal address, which has none
    points            jsonb   NOT NULL DEFAULT '{}',
    -- id of a contact point that only some companies have -> these companies
    holders           jsonb   NOT NULL DEFAULT '{}',
    permission_epoch  integer NOT NULL DEFAULT 0,
    permission_n      bigint  NOT NULL DEFAULT 0,
    permission_status text    NOT NULL DEFAULT 'unknown'
        CHECK (permission_status IN ('unknown', 'live', 'alias', 'erased', 'unreadable'))
);

-- What a person permits one company, as consents publishes it: [{point, channel, allow: [{purpose, ...}]}].
CREATE TABLE permissions (
    company  text NOT NULL,
    customer uuid NOT NULL REFERENCES people,
    points   jsonb NOT NULL,
    PRIMARY KEY (company, customer)
);
CREATE INDEX people_without_permissions ON people (id) WHERE customer_status = 'live' AND permission_status = 'unknown';
CREATE INDEX permissions_customer ON permissions (customer);

-- The same, one row for each single thing that is permitted. What has no row here is denied.
CREATE VIEW cells AS
SELECT p.company, p.customer, at.point, at.channel, it.purpose, it.partner, it.mode, it.product_groups
FROM permissions p,
     jsonb_to_recordset(p.points) AS at (point uuid, channel text, allow jsonb),
     jsonb_to_recordset(at.allow) AS it (purpose text, partner text, mode text, product_groups jsonb);

CREATE TABLE campaigns (
    id            uuid PRIMARY KEY,
    name          text NOT NULL,
    company       text NOT NULL,
    purpose       text NOT NULL,
    channel       text NOT NULL,
    product_group text,
    partner       text,
    mode          text,
    -- company.<id> or partner.<id>: who sends, and whose ids the recipients' subjects and addresses are
    party         text NOT NULL,
    state         text NOT NULL CHECK (state IN ('open', 'launching', 'launched', 'closed')),
    created_at    timestamptz NOT NULL,
    launched_at   timestamptz,
    closed_at     timestamptz,
    candidates    bigint NOT NULL DEFAULT 0,
    seen          bigint NOT NULL DEFAULT 0,
    cursor        uuid,
    -- what the launch waits for before it begins, and whether it has waited: people registered just before it
    waiting_for   text,
    caught_up     boolean NOT NULL DEFAULT false
);
CREATE INDEX campaigns_launching ON campaigns (launched_at) WHERE state = 'launching';

-- Whom a campaign was told to address, one row an address. A row is inserted once and recalled at most once.
CREATE TABLE recipients (
    campaign     uuid NOT NULL REFERENCES campaigns,
    customer     uuid NOT NULL,
    point        uuid NOT NULL,
    -- the party's id of the customer, and its hash (or id) of the address, as they were sent: a recall repeats them
    subject      text NOT NULL,
    address      text NOT NULL,
    addressed_at timestamptz NOT NULL,
    recalled_at  timestamptz,
    PRIMARY KEY (campaign, customer, point)
);
CREATE INDEX recipients_subject ON recipients (campaign, subject);
CREATE INDEX recipients_standing ON recipients (customer) WHERE recalled_at IS NULL;

-- Deliveries and responses as the parties report them.
CREATE TABLE deliveries (
    party    text NOT NULL,
    id       uuid NOT NULL,
    campaign uuid NOT NULL REFERENCES campaigns,
    customer uuid NOT NULL,
    what     text NOT NULL,
    channel  text NOT NULL,
    address  text,
    at       timestamptz NOT NULL,
    PRIMARY KEY (party, id)
);
CREATE INDEX deliveries_campaign ON deliveries (campaign);
