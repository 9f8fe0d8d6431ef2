-- What parties were told of the messages of their decisions topics, for those who ask over HTTP. See record 0034.
CREATE SEQUENCE results_number;
CREATE TABLE results (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    party text NOT NULL,
    -- given to committed rows when somebody asks, so that no later commit comes to stand before a cursor
    n     bigint UNIQUE,
    body  text NOT NULL,
    at    timestamptz NOT NULL
);
CREATE INDEX results_without_number ON results (party, id) WHERE n IS NULL;
CREATE INDEX results_of_party ON results (party, n);
CREATE INDEX results_by_time ON results (at);
