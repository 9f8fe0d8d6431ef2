-- The rules that a *no* broke which came on a topic and was taken for the widest that it may mean; none: as it was given.
ALTER TABLE decisions ADD COLUMN widened text[] NOT NULL DEFAULT '{}';

-- A keyed hash of what was said, where the id is the party's own and may have been used twice.
ALTER TABLE decisions ADD COLUMN content bytea;
