CREATE TABLE people (id uuid PRIMARY KEY, deceased boolean NOT NULL);
