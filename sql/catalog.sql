-- The catalog: models, and the studies that are registered for them, in plain tables of the schema emcc. emcc.save_model(con, …) and the
-- similar functions create and change the tables in a transaction. `register` does not. If you change them by hand, call register(con) again.
-- catalog_version is the version of this layout. duckemcc refuses a newer version than it knows.

CREATE SCHEMA IF NOT EXISTS emcc;

CREATE TABLE IF NOT EXISTS emcc.catalog_version (version INTEGER NOT NULL);

INSERT INTO emcc.catalog_version SELECT 1 WHERE NOT EXISTS (SELECT version FROM emcc.catalog_version);

CREATE TABLE IF NOT EXISTS emcc.models (
    name VARCHAR NOT NULL,           -- one word; upper and lower case do not matter
    spec VARCHAR NOT NULL,           -- JSON, as from Model.to_dict()
    graph VARCHAR,                   -- the graph text it came from, if any; only `spec` is used
    comment VARCHAR,
    saved_at TIMESTAMP NOT NULL      -- UTC
);

-- One row per study, with the options of `Study` in Python. NULL or an empty list means that the option was not given.
CREATE TABLE IF NOT EXISTS emcc.studies (
    model VARCHAR NOT NULL,
    study VARCHAR NOT NULL,          -- the study's name
    source VARCHAR NOT NULL,         -- [[database.]schema.]table or view, by default in this database's schema main; or a path
    intervened VARCHAR[],            -- the variables set by design
    weight VARCHAR,                  -- the column with the number of records per row
    "where" VARCHAR,                 -- a condition on columns: which records count
    columns MAP(VARCHAR, VARCHAR),   -- variable -> column, if the names differ
    unmeasured VARCHAR[],            -- variables without a column
    local VARCHAR[],                 -- causes whose distribution in this study may differ
    selected VARCHAR,                -- a condition on variables: which records were kept
    shared BOOLEAN,                  -- true if its records count in every segment
    types MAP(VARCHAR, VARCHAR),     -- the types of the source's columns when it was saved
    saved_at TIMESTAMP NOT NULL
);
