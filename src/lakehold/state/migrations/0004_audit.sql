-- The ledger: an append-only chain of records, and the statements whose record is not complete.

CREATE SCHEMA audit;

-- A platform holds the advisory lock (42420002, number) of its instance while it lives.
CREATE TABLE audit.instance (
    number integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    started_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE audit.open_statement (
    id uuid PRIMARY KEY,
    instance integer NOT NULL,
    start bytea NOT NULL
);

-- body is the canonical form that is hashed; the other columns are for finding records.
CREATE TABLE audit.record (
    seq bigint PRIMARY KEY,
    statement_id uuid NOT NULL UNIQUE,
    at timestamptz NOT NULL,
    body bytea NOT NULL,
    hash bytea NOT NULL
);
CREATE INDEX record_at ON audit.record (at);

CREATE TABLE audit.head (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    seq bigint NOT NULL,
    hash bytea NOT NULL
);
INSERT INTO audit.head (seq, hash) VALUES (0, '');

CREATE FUNCTION audit.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.record
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse();
