-- The contact point that was used, where the report names one that the campaign was given.
ALTER TABLE deliveries ADD COLUMN point uuid;
ALTER TABLE breaches ADD COLUMN point uuid;
