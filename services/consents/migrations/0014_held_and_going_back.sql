-- Whether the record stood as it is before the decision: then its subscribers held it already. No clock tells.
ALTER TABLE decision_records ADD COLUMN held boolean NOT NULL DEFAULT false;
UPDATE decision_records r SET held = true FROM decisions d
WHERE d.id = r.decision AND EXISTS (
    SELECT FROM publications p WHERE p.family = r.family AND p.key = r.key AND (p.epoch, p.n) = (r.epoch, r.n)
        AND p.at < coalesce(r.since, d.received_at));

-- `named`: the identity that the instance gives its store's contents. `generation` is another one since its positions
-- went back under that name: a store that was restored together with its spool.
ALTER TABLE instances ADD COLUMN named uuid;
UPDATE instances SET named = generation;
ALTER TABLE instances ALTER COLUMN named SET NOT NULL;
