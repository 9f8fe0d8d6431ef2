-- Clearances: whom a campaign was allowed to reach, and on what record. See docs/decisions/0020-clearance.md.
-- A batch is recorded in parts, one row each, that run out together. `recipients` has 29 bytes a recipient in the order that they were asked about (store/clearances.py):
-- nothing in it names anybody without our keys.
CREATE TABLE clearances (
    id            uuid NOT NULL,
    part          integer NOT NULL,
    company       text NOT NULL,
    campaign      text NOT NULL,
    purpose       text NOT NULL,
    channel       text NOT NULL,
    partner       text,
    mode          text,
    product_group text,
    -- who asked, by their token
    asked_by      text NOT NULL,
    -- taken under the locks of the part's recipients, before they were read: no decision that was committed by then
    -- is missing
    at            timestamptz NOT NULL,
    valid_until   timestamptz NOT NULL,
    recipients    bytea NOT NULL CHECK (octet_length(recipients) BETWEEN 29 AND 290000),
    PRIMARY KEY (id, part)
);
ALTER TABLE clearances ALTER COLUMN recipients SET STORAGE EXTERNAL; -- hashes: compressing them is lost labour
CREATE INDEX clearances_of_campaign ON clearances (company, campaign, at);
CREATE INDEX clearances_at ON clearances (at);
