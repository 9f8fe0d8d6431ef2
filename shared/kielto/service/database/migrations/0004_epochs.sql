-- Which server's history the epoch belongs to, and whether it is open. See docs/decisions/0021-epochs.md.

-- Null on a standby: nothing is decided there.
CREATE FUNCTION kielto_timeline() RETURNS text LANGUAGE sql STABLE AS
$$SELECT CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END$$;

CREATE FUNCTION kielto_system() RETURNS bigint LANGUAGE sql STABLE AS
$$SELECT system_identifier FROM pg_control_system()$$;

-- `ending`: why a new epoch is to begin. `open`: our own topics and those of the others were read to their ends since it
-- began. `started`: the start of the server at which that, or the look whether our topics are ahead, was last done; null:
-- never. A row from before this migration is looked at once.
ALTER TABLE epoch
    ADD COLUMN timeline text NOT NULL DEFAULT kielto_timeline(),
    ADD COLUMN system bigint NOT NULL DEFAULT kielto_system(),
    ADD COLUMN started timestamptz,
    ADD COLUMN open boolean NOT NULL DEFAULT true,
    ADD COLUMN ending text,
    ADD COLUMN why text NOT NULL DEFAULT 'first start',
    ADD COLUMN begun_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE epoch ALTER COLUMN started SET DEFAULT pg_postmaster_start_time();

-- The epoch in which records may be committed; no row: in none. Before it is open only what is taken in from the others'
-- topics is (`kielto.taking_in`, set by what moves a position). `checked`: it may be relayed, beaten and cleared, too.
CREATE VIEW current_epoch AS
SELECT epoch, term, open AND started IS NOT DISTINCT FROM pg_postmaster_start_time() AS checked
FROM epoch
WHERE ending IS NULL AND timeline = kielto_timeline()
    AND (started IS NOT DISTINCT FROM pg_postmaster_start_time() OR system = kielto_system())
    AND (open OR current_setting('kielto.taking_in', true) = 'on');
