-- Pages of all breaches, whatever their state: the oldest first.
CREATE INDEX breaches_opened ON breaches (opened_at, id);
