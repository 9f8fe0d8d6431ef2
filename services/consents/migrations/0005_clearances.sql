-- Clearances: whom a campaign was allowed to reach, and on what record. See docs/decisions/0020-clearance.md.
-- One row a batch. `recipients` has 29 bytes a recipient in the order that they were asked about (store/clearances.py):
-- nothing in it names anybody without our keys.
CREATE TABLE clearances (
    id            uuid PRIMARY KEY,
    company       text NOT NULL,
    campaign      text NOT NULL,
    purpose       text NOT NULL,
    channel       text NOT NULL,
    partner       text,
    mode          text,
    product_group text,
    -- who asked, by their token
    asked_by      text NOT NULL,
    -- taken under the locks of all recipients, so no decision came between it and what was read
    at            timestamptz NOT NULL,
    valid_until   timestamptz NOT NULL,
    recipients    bytea NOT NULL CHECK (octet_length(recipients) BETWEEN 29 AND 290000)
);
ALTER TABLE clearances ALTER COLUMN recipients SET STORAGE EXTERNAL; -- hashes: compressing them is lost labour
CREATE INDEX clearances_of_campaign ON clearances (company, campaign, at);
CREATE INDEX clearances_at ON clearances (at);
