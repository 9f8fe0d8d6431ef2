-- Who read, changed or was refused what. See docs/decisions/0031-audit-trail.md.

-- Ids only: `actor` is the token's subject or the operator's name, `subjects` are our own ids of customers, decisions and
-- campaigns; never a name, an address or a number. `detail` holds counts.
CREATE TABLE audit_trail (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    company text,
    roles text[] NOT NULL,
    action text NOT NULL,
    subjects uuid[] NOT NULL DEFAULT '{}',
    why text,
    outcome text NOT NULL CHECK (outcome IN ('ok', 'refused', 'failed', 'repeated')),
    rule text,
    detail jsonb,
    trace text
);
CREATE INDEX audit_trail_subjects ON audit_trail USING gin (subjects);
CREATE INDEX audit_trail_company ON audit_trail (company, id);
CREATE INDEX audit_trail_at ON audit_trail (at);

-- Append-only, for the service's own role too. Only entries older than a year may be deleted, whoever asks.
CREATE FUNCTION audit_trail_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.at < now() - interval '365 days' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit_trail is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_trail_row BEFORE UPDATE OR DELETE ON audit_trail
    FOR EACH ROW EXECUTE FUNCTION audit_trail_stays();
CREATE TRIGGER audit_trail_whole BEFORE TRUNCATE ON audit_trail
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trail_stays();
REVOKE UPDATE, TRUNCATE ON audit_trail FROM PUBLIC, CURRENT_USER;
