-- An entry also says which address was asked about, and there is one for each who has it: 37 bytes each (form 2).
ALTER TABLE clearances ADD COLUMN form smallint NOT NULL DEFAULT 1;
ALTER TABLE clearances DROP CONSTRAINT clearances_recipients_check;
ALTER TABLE clearances ADD CHECK (octet_length(recipients) BETWEEN 29 AND 8000000);
