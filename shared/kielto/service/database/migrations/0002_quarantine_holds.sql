-- May the message take a permission away? Then no beat says that its topic was taken in past it while it is open. What
-- is not known to be harmless may.
ALTER TABLE quarantine ADD COLUMN holds boolean NOT NULL DEFAULT true;

CREATE INDEX quarantine_holding ON quarantine (topic, topic_id, partition, "offset") WHERE state = 'open' AND holds;
CREATE INDEX quarantine_customers ON quarantine (customer) WHERE state = 'open' AND holds AND customer IS NOT NULL;
