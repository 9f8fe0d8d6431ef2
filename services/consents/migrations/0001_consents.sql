-- The schema of consents: decisions, the permissions that follow from them (the plumbing's `records`), copies of the
-- facts that other services publish, and the proof of where each decision has been applied. Numbers and addresses stand
-- here as encrypted digests only (docs/decisions/0014-locks-and-subjects.md).

------------------------------------------------------------------------------------------------------------------------
-- Subjects and decisions

-- The rows that are locked while somebody's permissions are computed. A ref names a subject:
--   c:<customer id>   i:<party>:<the party's id of a customer>   n:<encrypted number>   p:<encrypted contact point>
--   k:<the beginning of a keyed hash> of an identity code, or a name with a postal address
--   m:<the beginning of a keyed hash> of a mailbox without its tag
-- Always locked in the order of this text. Never deleted: a deleted row would not keep a second locker out.
CREATE TABLE subjects (ref text COLLATE "C" PRIMARY KEY);

-- Append-only.
CREATE TABLE decisions (
    id              uuid PRIMARY KEY,
    ref             text COLLATE "C" NOT NULL,
    subject_kind    text NOT NULL CHECK (subject_kind IN ('customer', 'id', 'number', 'email', 'phone')),
    -- the company whose customer number it is
    subject_company text,
    act             text NOT NULL,
    reach           text NOT NULL,
    company         text,
    partner         text,
    purposes        text[] NOT NULL,
    channels        text[] NOT NULL,
    product_groups  text[] NOT NULL,
    lifts           uuid[] NOT NULL,
    by              text NOT NULL,
    route           text NOT NULL,
    said_at         timestamptz NOT NULL,
    received_at     timestamptz NOT NULL,
    effective_from  timestamptz NOT NULL,
    -- the company or partner that brought it; null: ourselves
    party           text,
    -- who recorded it, by their token
    recorded_by     text,
    -- the rules that a *no* from a topic broke, which was then read in its broadest sense; empty: taken as given
    widened         text[] NOT NULL DEFAULT '{}',
    -- a keyed hash of what was said, where the id is the party's own and may have been used twice
    content         bytea,
    -- it reaches beyond the party and is about none of the party's own people: counted against the party's hourly bound
    -- (docs/decisions/0035-held-and-voided.md)
    foreign_subject boolean NOT NULL DEFAULT false,
    -- it came above that bound: it denies at the party alone until it is released
    held            boolean NOT NULL DEFAULT false,
    CHECK ((subject_kind = 'number') = (subject_company IS NOT NULL)),
    CONSTRAINT decisions_check1 CHECK (foreign_subject OR NOT held)
);
CREATE INDEX decisions_ref ON decisions (ref);
-- Overdue decisions are listed oldest first; propagation is measured by week.
CREATE INDEX decisions_received ON decisions (received_at, id);
CREATE INDEX decisions_foreign ON decisions (party, received_at, id) WHERE foreign_subject;
-- Which decisions cite a restriction: looked up when a party says no to one subject very often.
CREATE INDEX decisions_lifts ON decisions USING gin (lifts) WHERE lifts <> '{}';

-- Free text, encrypted under a key of its own: it is erased with its row, the decision stays.
CREATE TABLE evidence (
    decision uuid PRIMARY KEY REFERENCES decisions,
    key      bytea NOT NULL,
    text     bytea NOT NULL
);

-- What an officer of the group did with decisions of a party. Append-only: the decision itself stays as it was signed.
CREATE TABLE decision_marks (
    decision uuid NOT NULL REFERENCES decisions,
    kind     text NOT NULL CHECK (kind IN ('released', 'voided')),
    by       text NOT NULL,
    why      text NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (decision, kind)
);

-- The decisions that permissions follow from. `holding`: held, and not released. The LIMIT keeps the look-up by index for
-- each row.
CREATE VIEW decisions_in_force AS
SELECT d.*, d.held AND m.kind IS NULL AS holding
FROM decisions d LEFT JOIN LATERAL (
    SELECT kind FROM decision_marks x WHERE x.decision = d.id ORDER BY kind DESC LIMIT 1
) m ON true
WHERE m.kind IS DISTINCT FROM 'voided';

-- A yes from a party's topic about somebody whom the party does not know yet, encrypted
-- (docs/decisions/0034-ids-and-results-of-a-party.md).
CREATE TABLE waiting (
    decision     uuid PRIMARY KEY,
    party        text NOT NULL,
    -- the party's own id of it
    ident        uuid NOT NULL,
    partition    integer NOT NULL,
    "offset"     bigint NOT NULL,
    timestamp_ms bigint NOT NULL,
    -- a keyed hash of what was said, to tell a repeated message from an id that was used twice
    content      bytea NOT NULL,
    -- null once somebody whom it named was erased: then it only expires
    ref          text COLLATE "C",
    encrypted    bytea,
    -- a customer of this ref became known, or more was learnt about them
    due          boolean NOT NULL DEFAULT false
);
CREATE INDEX waiting_for ON waiting (ref) WHERE ref IS NOT NULL;
CREATE INDEX waiting_due ON waiting (timestamp_ms) WHERE due;
CREATE INDEX waiting_of_party ON waiting (party);
CREATE INDEX waiting_by_time ON waiting (timestamp_ms);

-- The results that parties were sent for the messages of their decisions topics, for those that ask over HTTP.
CREATE SEQUENCE results_number;
CREATE TABLE results (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    party text NOT NULL,
    -- given to committed rows when somebody asks, so that no later commit gets a number before a cursor
    n     bigint UNIQUE,
    body  text NOT NULL,
    at    timestamptz NOT NULL
);
CREATE INDEX results_without_number ON results (party, id) WHERE n IS NULL;
CREATE INDEX results_of_party ON results (party, n);
CREATE INDEX results_by_time ON results (at);

------------------------------------------------------------------------------------------------------------------------
-- Customers, as other services publish them

-- The newest record of each customer. `unreadable`: the newest one could not be read.
CREATE TABLE customers (
    id         uuid PRIMARY KEY,
    epoch      integer NOT NULL,
    n          bigint NOT NULL,
    unreadable boolean NOT NULL DEFAULT false,
    alias_of   uuid,
    -- the record itself; null when none could ever be read
    body       json,
    -- when the first record of the customer arrived
    since      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX customers_alias ON customers (alias_of) WHERE alias_of IS NOT NULL;

-- Whose decisions count for a customer, too: organisations that it acts for (as any company states), and customers
-- whose own no binds it, who may be the same person or the person behind a contact person.
CREATE TABLE relations (
    customer uuid NOT NULL,
    relation text NOT NULL CHECK (relation IN ('acts_for', 'bound_by')),
    other    uuid NOT NULL,
    PRIMARY KEY (customer, relation, other)
);
CREATE INDEX relations_other ON relations (other, relation);

-- The other names of a customer: i:, n: and p: refs, and k: and m: refs, which name nobody while the customer is here.
-- An `i:` row is never deleted: it says that the party has a record of the customer, which goes on being published.
CREATE TABLE customer_refs (
    ref      text COLLATE "C" NOT NULL,
    customer uuid NOT NULL,
    PRIMARY KEY (ref, customer)
);
CREATE INDEX customer_refs_customer ON customer_refs (customer);

-- Partners to whom a customer was disclosed, and by which company; from marketing's events.
CREATE TABLE disclosures (
    customer uuid NOT NULL,
    partner  text NOT NULL,
    company  text NOT NULL,
    at       timestamptz NOT NULL,
    PRIMARY KEY (customer, partner, company)
);

-- A no outlives the erasure of the person who said it (docs/decisions/0033-suppression.md): by these refs they are known
-- again, and whoever has one is bound by the decision. Never a name, an address or a code: encrypted digests, keyed
-- hashes, ids.
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

-- Yeses given by a customer number, of somebody who was erased: consents, and liftings of what is kept. The next holder
-- of the number has said neither.
CREATE TABLE lapsed (decision uuid PRIMARY KEY REFERENCES decisions);

-- Restrictions that a restored database lacked and our own topics listed (docs/decisions/0021-epochs.md): a row of
-- `decisions` with the ref r:<id>, and for each customer whose record listed it what that record still allowed.
CREATE TABLE restored (
    decision uuid NOT NULL REFERENCES decisions,
    customer uuid NOT NULL,
    allowed  json NOT NULL,
    PRIMARY KEY (decision, customer)
);
CREATE INDEX restored_customer ON restored (customer);

------------------------------------------------------------------------------------------------------------------------
-- Which records show a decision

-- Which records a decision bears on, and from which version of each: the first step of every proof.
CREATE TABLE decision_records (
    decision uuid NOT NULL,
    family   text NOT NULL,
    key      text NOT NULL,
    epoch    integer NOT NULL,
    n        bigint NOT NULL,
    -- from when the record shows the decision, if later than its receipt: a fact made the customer known
    since    timestamptz,
    -- the record was the same before the decision, so its subscribers held it already. No clock tells.
    held     boolean NOT NULL DEFAULT false,
    -- it is about somebody who may be the record's customer (relations), not about the customer: shown to the group alone
    by_link  boolean NOT NULL DEFAULT false,
    PRIMARY KEY (decision, family, key)
);
CREATE INDEX decision_records_key ON decision_records (family, key);

-- Decisions about more customers than one transaction computes (docs/decisions/0029-consequences-in-portions.md). The
-- decision is committed with this row; any process then computes the records that do not show it yet, in portions.
CREATE TABLE consequences (
    decision uuid PRIMARY KEY,
    -- the decision's subject: `ref`, and the customer of a c: ref
    ref      text COLLATE "C" NOT NULL,
    customer uuid,
    -- families in which it takes something away: until their records show it, no beat vouches for them
    speaks   text[] NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- from when the records are owed; null: from the decision's receipt
    since    timestamptz
);
CREATE INDEX consequences_begun ON consequences (begun_at);

-- Customers whose portion is done, until the last one is.
CREATE TABLE consequences_done (
    decision uuid NOT NULL,
    customer uuid NOT NULL,
    PRIMARY KEY (decision, customer)
);

------------------------------------------------------------------------------------------------------------------------
-- Where decisions have been applied (docs/decisions/0015-whereabouts.md)

-- The instances of each subscriber, as they last acknowledged.
CREATE TABLE instances (
    subscriber    text NOT NULL,
    instance      uuid NOT NULL,
    -- the identity that the instance gives the contents of its store
    named         uuid NOT NULL,
    -- `named`, or another one since its positions went back: a store that was restored together with its spool
    generation    uuid NOT NULL,
    seen_at       timestamptz NOT NULL,
    -- since when it has spoken without a long pause: only an instance that was heard all the while shows another one gone
    since         timestamptz NOT NULL,
    -- how many positions it has claimed beyond the ends of their topics, and when last
    beyond_end    bigint NOT NULL DEFAULT 0,
    beyond_end_at timestamptz,
    PRIMARY KEY (subscriber, instance)
);

-- The stores that ever acknowledged, by the identity of their contents. What is older than a store came to it by a
-- backfill and says nothing about how fast decisions travel.
CREATE TABLE stores (
    subscriber text NOT NULL,
    generation uuid NOT NULL,
    since      timestamptz NOT NULL,
    PRIMARY KEY (subscriber, generation)
);

-- How far each store has come: the next offset to apply, per partition.
CREATE TABLE ack_positions (
    subscriber text NOT NULL,
    generation uuid NOT NULL,
    topic      text NOT NULL,
    topic_id   uuid NOT NULL,
    partition  integer NOT NULL,
    upto       bigint NOT NULL,
    PRIMARY KEY (subscriber, generation, topic_id, partition)
) WITH (fillfactor = 70);

-- Every advance of those positions, at the time when the broker appended it: the last step of every proof.
CREATE TABLE acks (
    topic_id    uuid NOT NULL,
    partition   integer NOT NULL,
    subscriber  text NOT NULL,
    generation  uuid NOT NULL,
    upto        bigint NOT NULL,
    appended_at timestamptz NOT NULL,
    PRIMARY KEY (topic_id, partition, subscriber, generation, upto)
);

-- Joins an advance with the records that it covers.
CREATE INDEX publications_at ON publications (topic_id, partition, "offset");

-- Records that an instance's store could not read, as it last listed them: not applied, whatever the position says.
CREATE TABLE ack_exceptions (
    subscriber text NOT NULL,
    instance   uuid NOT NULL,
    topic      text NOT NULL,
    partition  integer NOT NULL,
    "offset"   bigint NOT NULL,
    key        text,
    reason     text NOT NULL,
    PRIMARY KEY (subscriber, instance, topic, partition, "offset")
);

-- The live feed is notified of each decision, in the order of commits.
CREATE FUNCTION tell_decision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('proof', NEW.id::text);
    RETURN NULL;
END $$;
CREATE TRIGGER decisions_told AFTER INSERT ON decisions FOR EACH ROW EXECUTE FUNCTION tell_decision();

------------------------------------------------------------------------------------------------------------------------
-- Reconciliation: what stores hold, against what was published (docs/decisions/0022-reconciliation.md)

-- Each question to a subscriber. Without buckets it asks for digests of all.
CREATE TABLE reconciliations (
    ask        uuid PRIMARY KEY,
    subscriber text NOT NULL,
    buckets    integer[] NOT NULL DEFAULT '{}',
    asked_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX reconciliations_of_subscriber ON reconciliations (subscriber, asked_at);

-- Answers as they came, then what was found. `message` is deleted once it was compared.
CREATE TABLE reconciliation_answers (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ask         uuid NOT NULL,
    subscriber  text NOT NULL,
    instance    uuid NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('digest', 'listing')),
    -- of a listing: bucket and beginning; it may come twice
    part        text NOT NULL,
    appended_at timestamptz NOT NULL,
    message     json,
    -- of a digest: buckets that were compared, that were left out because a record was on its way, and that differed
    compared    integer,
    left_out    integer,
    differing   integer,
    judged_at   timestamptz,
    UNIQUE (ask, instance, part)
);
CREATE INDEX reconciliation_answers_waiting ON reconciliation_answers (subscriber, id) WHERE message IS NOT NULL;
CREATE INDEX reconciliation_answers_judged ON reconciliation_answers (subscriber, judged_at);
CREATE INDEX reconciliation_answers_by_time ON reconciliation_answers (subscriber, appended_at);
CREATE INDEX reconciliation_answers_of ON reconciliation_answers (subscriber, instance, id);

-- What differed twice. `theirs` null: the store lacks the record; `ours` null: no record has that key.
CREATE TABLE differences (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscriber  text NOT NULL,
    instance    uuid NOT NULL,
    key         text NOT NULL,
    kind        text NOT NULL,
    theirs      text,
    ours        text,
    found_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- when the record was given a new version because of it; null: publishing again cannot repair it
    repaired_at timestamptz,
    -- when the store agreed, or its instance was gone
    closed_at   timestamptz,
    why_closed  text CHECK (why_closed IN ('agrees', 'gone'))
);
CREATE UNIQUE INDEX differences_open ON differences (subscriber, instance, left(key, 24)) WHERE closed_at IS NULL;

------------------------------------------------------------------------------------------------------------------------
-- The signed log of decisions: one Merkle tree over salted commitments (docs/decisions/0019-signed-log.md)

-- Without its salt a commitment says nothing about anybody. The row of an erased salt is missing.
CREATE TABLE salts (
    decision uuid PRIMARY KEY,
    salt     bytea NOT NULL CHECK (octet_length(salt) = 32)
);

-- Decisions that are in no signed batch yet; written together with them. Rows, not a high-water mark: a decision that
-- commits late is found all the same.
CREATE TABLE unsealed (
    id         bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    decision   uuid NOT NULL,
    commitment bytea NOT NULL CHECK (octet_length(commitment) = 32)
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE leaves (
    index      bigint PRIMARY KEY CHECK (index >= 0),
    decision   uuid NOT NULL UNIQUE,
    commitment bytea NOT NULL CHECK (octet_length(commitment) = 32)
);

-- Hashes of full subtrees, every eighth level: a proof is computed from them without reading all leaves.
CREATE TABLE tree_nodes (
    height integer NOT NULL,
    index  bigint NOT NULL,
    hash   bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (height, index)
);

-- The signed tree head of each batch. `size` is the number of leaves after it, as the signed text says, too.
CREATE TABLE seals (
    batch bigint PRIMARY KEY,
    size  bigint NOT NULL UNIQUE,
    head  text NOT NULL
);

-- Public keys that heads were ever signed by.
CREATE TABLE seal_keys (
    kid        text PRIMARY KEY,
    jwk        json NOT NULL,
    first_used timestamptz NOT NULL DEFAULT now()
);

-- Decisions whose salts were erased, and why: their leaves stay and prove nothing about anybody.
CREATE TABLE erasures (
    decision  uuid PRIMARY KEY,
    erased_at timestamptz NOT NULL,
    why       text NOT NULL,
    -- whoever can delete a row and its salt could write an erasure too: it counts only when it is signed
    signed    text
);

------------------------------------------------------------------------------------------------------------------------
-- Clearances: whom a campaign was allowed to reach, and on which record (docs/decisions/0020-clearance.md)

-- A batch is recorded in parts, one row each, that expire together. `recipients` has one entry of 37 bytes for each
-- recipient in the order of the request, and for each customer who has the address: see store/clearances. Nothing in it names anybody without our keys.
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
    recipients    bytea STORAGE EXTERNAL NOT NULL CHECK (octet_length(recipients) BETWEEN 37 AND 8000000),
    PRIMARY KEY (id, part)
);
CREATE INDEX clearances_of_campaign ON clearances (company, campaign, at);
CREATE INDEX clearances_at ON clearances (at);

------------------------------------------------------------------------------------------------------------------------
-- Deliveries that companies report, and breaches: those that were sent after a ban (docs/decisions/0023-send-after-ban.md)

-- Reports are kept until no ban that was accepted before them can still arrive.
CREATE TABLE deliveries (
    id          uuid PRIMARY KEY,
    customer    uuid,
    -- whom the party means, until they are known
    subject     text COLLATE "C",
    company     text NOT NULL,
    partner     text,
    campaign    uuid,
    channel     text NOT NULL,
    purpose     text,
    -- the party's hash of the contact point that was used
    point       text,
    -- the sender's clock: a claim
    claimed_at  timestamptz NOT NULL,
    -- when the broker appended the report
    reported_at timestamptz NOT NULL,
    kept_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- null: to be compared with the decisions
    found       text,
    -- rises with every decision that may change what was found
    round       integer NOT NULL DEFAULT 0,
    look_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT deliveries_to_somebody CHECK (customer IS NOT NULL OR subject IS NOT NULL)
);
CREATE INDEX deliveries_of_customer ON deliveries (customer);
CREATE INDEX deliveries_to_judge ON deliveries (look_at) WHERE found IS NULL;
CREATE INDEX deliveries_kept ON deliveries (kept_at);
CREATE INDEX deliveries_of_nobody ON deliveries (subject) WHERE customer IS NULL;

CREATE TABLE breaches (
    -- the delivery's id
    id            uuid PRIMARY KEY,
    customer      uuid NOT NULL,
    company       text NOT NULL,
    partner       text,
    campaign      uuid,
    channel       text NOT NULL,
    purpose       text,
    -- the contact point that was used, where the report names one of the customer's
    point         uuid,
    claimed_at    timestamptz NOT NULL,
    reported_at   timestamptz NOT NULL,
    bound_seconds double precision NOT NULL,
    decisions     uuid[] NOT NULL,
    -- [{decision, subscriber, applied_at, applied}]: whether each subscriber had the decisions when it was sent
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
-- Pages of all breaches, whatever their state: the oldest first.
CREATE INDEX breaches_opened ON breaches (opened_at, id);

-- A ban may arrive after the report of what was sent after it: then the deliveries to the people whom it binds are
-- compared again. The decision's transaction only adds a row: nothing about deliveries may delay or refuse a no.
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
