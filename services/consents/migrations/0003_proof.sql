-- Proof: where decisions are, by subscriber and by time. See docs/decisions/0015-whereabouts.md.

-- From when the record shows the decision, if that is later than its receipt: a fact first brought whom it is about.
ALTER TABLE decision_records ADD COLUMN since timestamptz;

-- By time: what is overdue is shown oldest first, and propagation is looked at by the week.
CREATE INDEX decisions_received ON decisions (received_at, id);

-- The stores that ever acknowledged, by the identity of their contents, and since when: what is older than a store
-- came to it by a backfill and says nothing of how fast decisions travel.
CREATE TABLE stores (
    subscriber text NOT NULL,
    generation uuid NOT NULL,
    since      timestamptz NOT NULL,
    PRIMARY KEY (subscriber, generation)
);
INSERT INTO stores SELECT subscriber, generation, min(appended_at) FROM acks GROUP BY subscriber, generation;

-- Since when an instance has spoken without a long pause: only who was heard all the while shows another to be gone.
ALTER TABLE instances ADD COLUMN since timestamptz;
UPDATE instances SET since = seen_at;
ALTER TABLE instances ALTER COLUMN since SET NOT NULL;

-- Whoever shows proof live is told of each decision, in the order of commits.
CREATE FUNCTION tell_decision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('proof', NEW.id::text);
    RETURN NULL;
END $$;
CREATE TRIGGER decisions_told AFTER INSERT ON decisions FOR EACH ROW EXECUTE FUNCTION tell_decision();
