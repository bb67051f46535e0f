-- The ledger: one record for each statement, each bound to the one before it by a keyed hash.

CREATE SCHEMA audit;

-- Statements that have begun and not ended. A row leaves in the transaction that records it.
-- seal is a keyed hash: what was written by another is never put into the chain.
CREATE TABLE audit.opened (
    key uuid PRIMARY KEY,
    instance text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    start text NOT NULL,
    seal bytea NOT NULL
);
CREATE INDEX opened_instance ON audit.opened (instance, at, key);

-- record is the truth, as canonical JSON. at, principal, status and tables repeat parts of it
-- so that they can be searched; the verification compares them with it.
CREATE TABLE audit.ledger (
    seq bigint PRIMARY KEY,
    key uuid NOT NULL UNIQUE,
    at timestamptz NOT NULL,
    principal text NOT NULL,
    status text NOT NULL,
    tables text[] NOT NULL,
    record text NOT NULL,
    previous bytea NOT NULL,
    hash bytea NOT NULL
);
CREATE INDEX ledger_at ON audit.ledger (at);
CREATE INDEX ledger_principal ON audit.ledger (principal, seq);

-- The end of the chain. Whoever appends locks this row until the end of its transaction.
CREATE TABLE audit.head (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    seq bigint NOT NULL,
    hash bytea NOT NULL
);
INSERT INTO audit.head (seq, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

-- A first fence against accidents; the proof is the chain.
CREATE FUNCTION audit.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.ledger
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse();
CREATE TRIGGER keep BEFORE DELETE OR TRUNCATE ON audit.head
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse();
REVOKE ALL ON ALL TABLES IN SCHEMA audit FROM PUBLIC;
