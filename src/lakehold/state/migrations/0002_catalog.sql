-- The catalog: which schemas and relations there are, and where their metadata is.
-- Everything else about a table stands in its Iceberg metadata file.

CREATE SCHEMA catalog;

CREATE TABLE catalog.schema (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    -- The name as it is compared: in lower case, as the program (not the locale) makes it.
    key text COLLATE "C" NOT NULL,
    properties jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT schema_name UNIQUE (key)
);

INSERT INTO catalog.schema (id, name, key) VALUES (gen_random_uuid(), 'main', 'main');

CREATE TABLE catalog.relation (
    id uuid PRIMARY KEY,
    schema_id uuid NOT NULL,
    name text NOT NULL,
    key text COLLATE "C" NOT NULL,
    kind text NOT NULL CHECK (kind IN ('table', 'view')),
    -- Counts changes of structure (columns, names, properties, partitioning), not of data.
    version integer NOT NULL DEFAULT 1,
    -- The pointer: a commit is one compare-and-swap of it.
    metadata_location text COLLATE "C" NOT NULL,
    -- The folder that belongs to this relation alone.
    location text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT relation_name UNIQUE (schema_id, key),
    CONSTRAINT relation_location UNIQUE (location),
    CONSTRAINT relation_schema FOREIGN KEY (schema_id) REFERENCES catalog.schema (id)
) WITH (fillfactor = 50);

-- What was dropped and not purged: its files are kept, and no sweep takes them.
CREATE TABLE catalog.dropped_relation (
    id uuid NOT NULL,
    schema_name text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    metadata_location text COLLATE "C" NOT NULL,
    location text COLLATE "C" NOT NULL,
    dropped_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX dropped_relation_at ON catalog.dropped_relation (dropped_at);

-- Files and folders to be deleted, recorded in the same transaction that made them so.
CREATE TABLE catalog.garbage (
    location text COLLATE "C" PRIMARY KEY,
    is_folder boolean NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);
