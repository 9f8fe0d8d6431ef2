-- Who cites a restriction: looked up where a party says no to one subject very often.
CREATE INDEX decisions_lifts ON decisions USING gin (lifts) WHERE lifts <> '{}';
