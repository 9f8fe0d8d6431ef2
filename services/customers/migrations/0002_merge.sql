-- Two customers who turned out to be one. Of the one merged away the id stays, an alias of the survivor, and nothing
-- personal: neither a key nor what was sealed under it. `alias_of` is always the survivor itself, however long the chain.
ALTER TABLE customers
    ADD COLUMN alias_of uuid REFERENCES customers (id),
    ADD COLUMN companies text[],           -- of an alias: in which it was a customer, so where a record of it is published
    ALTER COLUMN data_key DROP NOT NULL,
    ALTER COLUMN profile DROP NOT NULL,
    DROP CONSTRAINT customers_check,
    ADD CONSTRAINT customers_organisation CHECK (
        (recipient = 'contact' AND alias_of IS NULL) = (organisation IS NOT NULL)),
    ADD CONSTRAINT customers_alias CHECK (CASE WHEN alias_of IS NULL
        THEN data_key IS NOT NULL AND profile IS NOT NULL AND companies IS NULL
        ELSE data_key IS NULL AND profile IS NULL AND companies IS NOT NULL AND NOT minor AND alias_of <> id END);
CREATE INDEX customers_aliases ON customers (alias_of) WHERE alias_of IS NOT NULL;
