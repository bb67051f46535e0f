-- Principals, roles, grants and tokens. Names are compared in lower case, as the program makes it.

CREATE SCHEMA access;

CREATE TABLE access.role (
    name text NOT NULL,
    key text COLLATE "C" PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE access.principal (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    key text COLLATE "C" NOT NULL UNIQUE,
    attributes jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Which role a role was granted (and so inherits), and which roles a principal was granted.
CREATE TABLE access.role_of_role (
    member text COLLATE "C" NOT NULL REFERENCES access.role (key) ON DELETE CASCADE,
    role text COLLATE "C" NOT NULL REFERENCES access.role (key) ON DELETE CASCADE,
    PRIMARY KEY (member, role)
);
CREATE TABLE access.role_of_principal (
    principal_id uuid NOT NULL REFERENCES access.principal (id) ON DELETE CASCADE,
    role text COLLATE "C" NOT NULL REFERENCES access.role (key) ON DELETE CASCADE,
    PRIMARY KEY (principal_id, role)
);

-- object_id is NULL for the lake, field_id is NULL for the whole object.
CREATE TABLE access.privilege (
    role text COLLATE "C" NOT NULL REFERENCES access.role (key) ON DELETE CASCADE,
    privilege text NOT NULL,
    kind text NOT NULL,
    object_id uuid,
    field_id integer,
    grant_option boolean NOT NULL DEFAULT false,
    granted_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (role, privilege, object_id, field_id)
);
CREATE INDEX privilege_object ON access.privilege (object_id);

-- What a role will get on each new table or view of a schema.
CREATE TABLE access.future_privilege (
    schema_id uuid NOT NULL,
    kind text NOT NULL,
    privilege text NOT NULL,
    role text COLLATE "C" NOT NULL REFERENCES access.role (key) ON DELETE CASCADE,
    PRIMARY KEY (schema_id, kind, privilege, role)
);

-- Only a keyed hash of the secret is kept. root is the token that a short-lived one was made
-- from: it ends with it.
CREATE TABLE access.token (
    id uuid PRIMARY KEY,
    principal_id uuid NOT NULL REFERENCES access.principal (id) ON DELETE CASCADE,
    root uuid REFERENCES access.token (id) ON DELETE CASCADE,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('token', 'access', 'bootstrap')),
    digest bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);
CREATE INDEX token_principal ON access.token (principal_id);
CREATE INDEX token_root ON access.token (root) WHERE root IS NOT NULL;
CREATE INDEX token_expiry ON access.token (expires_at) WHERE kind = 'access';

-- Moves with every change of what decisions rest on, in the transaction that makes it. The
-- numbers come from a sequence, so that the number of a change that was rolled back is never
-- given to another one.
CREATE SEQUENCE access.change;
CREATE TABLE access.version (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    version bigint NOT NULL
);
INSERT INTO access.version (version) VALUES (nextval('access.change'));

CREATE FUNCTION access.bump() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE access.version SET version = nextval('access.change');
    RETURN NULL;
END $$;
CREATE TRIGGER bump AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON access.role
    FOR EACH STATEMENT EXECUTE FUNCTION access.bump();
CREATE TRIGGER bump AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON access.role_of_role
    FOR EACH STATEMENT EXECUTE FUNCTION access.bump();
CREATE TRIGGER bump AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON access.role_of_principal
    FOR EACH STATEMENT EXECUTE FUNCTION access.bump();
CREATE TRIGGER bump AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON access.privilege
    FOR EACH STATEMENT EXECUTE FUNCTION access.bump();

INSERT INTO access.role (name, key) VALUES ('admin', 'admin'), ('public', 'public');
