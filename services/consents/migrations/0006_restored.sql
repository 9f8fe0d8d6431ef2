-- Restrictions that a restored database lacked and our own topics listed (docs/decisions/0021-epochs.md): a row of
-- `decisions` with the ref r:<id>, and for each customer whose record listed it what that record still allowed.
CREATE TABLE restored (
    decision uuid NOT NULL REFERENCES decisions,
    customer uuid NOT NULL,
    allowed  json NOT NULL,
    PRIMARY KEY (decision, customer)
);
CREATE INDEX restored_customer ON restored (customer);
