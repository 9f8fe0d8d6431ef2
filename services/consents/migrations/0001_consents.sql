-- What consents owns: decisions and the permissions that follow (the plumbing's `records`), and what it keeps of the
-- others' events. Digests of numbers and addresses stand here sealed only (docs/decisions/0014-locks-and-subjects.md).

-- The rows that are locked while somebody's permissions are computed. A ref names a subject:
--   c:<customer id>   i:<party>:<the party's id of a customer>   n:<sealed number>   p:<sealed contact point>
--   k:<the beginning of a keyed hash> of an identity code, or a name with a postal address
--   m:<the beginning of a keyed hash> of a mailbox without its tag
-- Always locked in this text's order. Never deleted: a row that went away would not keep a second locker out.
CREATE TABLE subjects (ref text COLLATE "C" PRIMARY KEY);

-- What was said. Append-only.
CREATE TABLE decisions (
    id             uuid PRIMARY KEY,
    ref            text COLLATE "C" NOT NULL,
    subject_kind   text NOT NULL CHECK (subject_kind IN ('customer', 'id', 'number', 'email', 'phone')),
    -- the company whose customer number it is
    subject_company text,
    act            text NOT NULL,
    reach          text NOT NULL,
    company        text,
    partner        text,
    purposes       text[] NOT NULL,
    channels       text[] NOT NULL,
    product_groups text[] NOT NULL,
    lifts          uuid[] NOT NULL,
    by             text NOT NULL,
    route          text NOT NULL,
    said_at        timestamptz NOT NULL,
    received_at    timestamptz NOT NULL,
    effective_from timestamptz NOT NULL,
    -- the company or partner that brought it; null: ourselves
    party          text,
    -- who recorded it, by their token
    recorded_by    text,
    CHECK ((subject_kind = 'number') = (subject_company IS NOT NULL))
);
CREATE INDEX decisions_ref ON decisions (ref);

-- Free text, under a key of its own: it is erased with its row, the decision stays.
CREATE TABLE evidence (
    decision uuid PRIMARY KEY REFERENCES decisions,
    key      bytea NOT NULL,
    text     bytea NOT NULL
);

-- customers' newest records. A row may be about someone whose newest record could not be read: `unreadable`.
CREATE TABLE customers (
    id           uuid PRIMARY KEY,
    epoch        integer NOT NULL,
    n            bigint NOT NULL,
    unreadable   boolean NOT NULL DEFAULT false,
    alias_of     uuid,
    -- the record itself; null when none was ever readable
    body         json,
    -- when the first record of the customer came here
    since        timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX customers_alias ON customers (alias_of) WHERE alias_of IS NOT NULL;

-- Whose decisions count for a customer, too: organisations that it acts for (by any company's word), and customers
-- whose own no binds it: who may be the same person, or the person behind a contact person.
CREATE TABLE relations (
    customer uuid NOT NULL,
    relation text NOT NULL CHECK (relation IN ('acts_for', 'bound_by')),
    other    uuid NOT NULL,
    PRIMARY KEY (customer, relation, other)
);
CREATE INDEX relations_other ON relations (other, relation);

-- By what else a customer is named: i:, n: and p: refs, and k: and m: refs, which name nobody while the customer is here. An `i:` row is never deleted: it says that the party has a
-- record of the customer, which goes on being published.
CREATE TABLE customer_refs (
    ref      text COLLATE "C" NOT NULL,
    customer uuid NOT NULL,
    PRIMARY KEY (ref, customer)
);
CREATE INDEX customer_refs_customer ON customer_refs (customer);

-- Partners to whom a customer was disclosed, by which company; from marketing's events.
CREATE TABLE disclosures (
    customer uuid NOT NULL,
    partner  text NOT NULL,
    company  text NOT NULL,
    at       timestamptz NOT NULL,
    PRIMARY KEY (customer, partner, company)
);

-- Which records a decision bears on, and from which version of each on: the first step of every proof.
CREATE TABLE decision_records (
    decision uuid NOT NULL,
    family   text NOT NULL,
    key      text NOT NULL,
    epoch    integer NOT NULL,
    n        bigint NOT NULL,
    PRIMARY KEY (decision, family, key)
);
CREATE INDEX decision_records_key ON decision_records (family, key);

-- The instances of each subscriber, as they last acknowledged. `generation` is the identity of its store's contents.
CREATE TABLE instances (
    subscriber text NOT NULL,
    instance   uuid NOT NULL,
    generation uuid NOT NULL,
    seen_at    timestamptz NOT NULL,
    -- How many positions it has claimed beyond the ends of their topics, and when last.
    beyond_end    bigint NOT NULL DEFAULT 0,
    beyond_end_at timestamptz,
    PRIMARY KEY (subscriber, instance)
);

-- How far each store has come, by the identity of its contents: the next offset to apply, per partition.
CREATE TABLE ack_positions (
    subscriber text NOT NULL,
    generation uuid NOT NULL,
    topic      text NOT NULL,
    topic_id   uuid NOT NULL,
    partition  integer NOT NULL,
    upto       bigint NOT NULL,
    PRIMARY KEY (subscriber, generation, topic_id, partition)
) WITH (fillfactor = 70);

-- Every advance of those positions, at the time the broker appended it: the last step of every proof.
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
