-- The point that was used, by the hash that the party has for it; and whom the party means, until we know them.
ALTER TABLE deliveries
    ALTER COLUMN point TYPE text USING NULL,
    ADD COLUMN subject text COLLATE "C",
    ALTER COLUMN customer DROP NOT NULL,
    ADD CONSTRAINT deliveries_to_somebody CHECK (customer IS NOT NULL OR subject IS NOT NULL);
CREATE INDEX deliveries_of_nobody ON deliveries (subject) WHERE customer IS NULL;
