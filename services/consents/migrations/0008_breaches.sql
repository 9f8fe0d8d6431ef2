-- Sent after a ban: reported deliveries, and the cases of those that should not have been. See docs/decisions/0023.

-- What was reported, until it is too old for a ban that was accepted before it to come to us any more.
CREATE TABLE deliveries (
    id          uuid PRIMARY KEY,
    customer    uuid NOT NULL,
    company     text NOT NULL,
    partner     text,
    campaign    uuid,
    channel     text NOT NULL,
    purpose     text,
    -- the sender's clock: a claim
    claimed_at  timestamptz NOT NULL,
    -- when the broker appended the report
    reported_at timestamptz NOT NULL,
    kept_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- null: to be looked at
    found       text,
    -- rises with every decision that may change what was found
    round       integer NOT NULL DEFAULT 0,
    look_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX deliveries_of_customer ON deliveries (customer);
CREATE INDEX deliveries_to_judge ON deliveries (look_at) WHERE found IS NULL;
CREATE INDEX deliveries_kept ON deliveries (kept_at);

CREATE TABLE breaches (
    -- the delivery's id
    id            uuid PRIMARY KEY,
    customer      uuid NOT NULL,
    company       text NOT NULL,
    partner       text,
    campaign      uuid,
    channel       text NOT NULL,
    purpose       text,
    claimed_at    timestamptz NOT NULL,
    reported_at   timestamptz NOT NULL,
    bound_seconds double precision NOT NULL,
    decisions     uuid[] NOT NULL,
    -- [{subscriber, applied_at, applied}]: whether each had the decisions when it was sent
    subscribers   jsonb NOT NULL,
    clearance     uuid,
    opened_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    state         text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'explained', 'closed')),
    note          text,
    changed_at    timestamptz,
    changed_by    text
);
CREATE INDEX breaches_open ON breaches (opened_at, id) WHERE state = 'open';
CREATE INDEX breaches_company ON breaches (company, opened_at);

-- A ban may reach us after the report of what was sent after it was accepted: then what was found is looked at anew.
-- The decision's own transaction only notes itself: nothing about deliveries may hold up or refuse a no.
CREATE TABLE heard (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ref          text COLLATE "C" NOT NULL,
    subject_kind text NOT NULL,
    received_at  timestamptz NOT NULL
);
CREATE FUNCTION note_heard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO heard (ref, subject_kind, received_at) VALUES (NEW.ref, NEW.subject_kind, NEW.received_at);
    RETURN NULL;
END $$;
CREATE TRIGGER decisions_note_heard AFTER INSERT ON decisions FOR EACH ROW EXECUTE FUNCTION note_heard();
