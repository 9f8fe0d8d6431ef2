CREATE TABLE copies (
    id uuid PRIMARY KEY,
    epoch integer NOT NULL,
    n bigint NOT NULL,
    deceased boolean,  -- null: the record could not be read
    at timestamptz NOT NULL DEFAULT now()
);
