-- Every party that the service knows or has known. See docs/decisions/0030-parties-that-left.md.

-- `key_check`: a value that only the party's id key gives; null while the keys file has none. `stale`: it came back, and
-- its records were not computed anew since.
CREATE TABLE parties (
    party text PRIMARY KEY,
    key_check text,
    left_at timestamptz,
    stale boolean NOT NULL DEFAULT false
);

-- The group file that was seen last. `facts`: a hash of what records follow from, who is of the group and which partner
-- works with whom; `walked`: the one for which all records were computed; `cursor`: how far that is for `facts`.
CREATE TABLE group_seen (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    revision integer NOT NULL,
    facts text NOT NULL,
    walked text NOT NULL,
    cursor uuid
);
