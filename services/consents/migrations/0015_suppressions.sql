-- A no outlives the erasure of whoever said it. See docs/decisions/0033-suppression.md.

-- Of somebody who was erased while the decision was in force: by this they are known again. Whoever has it is bound by
-- the decision as by their own. Never a name, an address or a code: sealed digests, keyed hashes, ids.
CREATE TABLE suppressions (
    ref      text COLLATE "C" NOT NULL,
    decision uuid NOT NULL REFERENCES decisions,
    PRIMARY KEY (ref, decision)
);
CREATE INDEX suppressions_decision ON suppressions (decision);

-- Customers who shared an address with the erased person long before the erasure, so that they are somebody else.
CREATE TABLE known_apart (
    decision uuid NOT NULL REFERENCES decisions,
    customer uuid NOT NULL,
    PRIMARY KEY (decision, customer)
);

-- Yeses given by a customer number, of somebody who was erased: consents, and liftings of what is kept. Whoever has the
-- number next has said neither.
CREATE TABLE lapsed (decision uuid PRIMARY KEY REFERENCES decisions);

-- Not for what the customer is, but for whom the record's customer may be (relations): shown to the group alone.
ALTER TABLE decision_records ADD COLUMN by_link boolean NOT NULL DEFAULT false;
