-- A party's no about people who are none of its own. See docs/decisions/0035-held-and-voided.md.

-- It reaches beyond the party, and about none of the party's own people: counted against its bound of an hour.
ALTER TABLE decisions ADD COLUMN foreign_subject boolean NOT NULL DEFAULT false;
-- It came above the bound: it denies at the party alone until it is released.
ALTER TABLE decisions ADD COLUMN held boolean NOT NULL DEFAULT false CHECK (foreign_subject OR NOT held);
CREATE INDEX decisions_foreign ON decisions (party, received_at, id) WHERE foreign_subject;

-- What an officer of the group did with decisions of a party. Append-only: the decision itself stays as it was sealed.
CREATE TABLE decision_marks (
    decision uuid NOT NULL REFERENCES decisions,
    kind     text NOT NULL CHECK (kind IN ('released', 'voided')),
    by       text NOT NULL,
    why      text NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (decision, kind)
);

-- What permissions follow from. `holding`: held, and not released. The LIMIT keeps the look-up one by index for each row.
CREATE VIEW decisions_in_force AS
SELECT d.*, d.held AND m.kind IS NULL AS holding
FROM decisions d LEFT JOIN LATERAL (
    SELECT kind FROM decision_marks x WHERE x.decision = d.id ORDER BY kind DESC LIMIT 1
) m ON true
WHERE m.kind IS DISTINCT FROM 'voided';

-- From when on the records are owed; null: from the decision's receipt on.
ALTER TABLE consequences ADD COLUMN since timestamptz;
