-- Who can delete a row and its salt could write an erasure too: it counts only as a signed one.
ALTER TABLE erasures ADD COLUMN signed text;
