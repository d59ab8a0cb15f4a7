-- The catalog of models and of the studies that are registered for them: plain tables, in a schema of their own. emcc.save_model(con, …)
-- and its like create and change them, in a transaction; `register` does not. Whoever changes them by hand calls register(con) again.
-- catalog_version says which arrangement this is; a program refuses one that is newer than it knows.

CREATE SCHEMA IF NOT EXISTS emcc;

CREATE TABLE IF NOT EXISTS emcc.catalog_version (version INTEGER NOT NULL);

INSERT INTO emcc.catalog_version SELECT 1 WHERE NOT EXISTS (SELECT version FROM emcc.catalog_version);

CREATE TABLE IF NOT EXISTS emcc.models (
    name VARCHAR NOT NULL,           -- one word; names are the same if they differ in case only
    spec VARCHAR NOT NULL,           -- JSON, the form of Model.to_dict()
    graph VARCHAR,                   -- the graph text it came from, if there was one; `spec` is what counts
    comment VARCHAR,
    saved_at TIMESTAMP NOT NULL      -- UTC
);

-- A study is a row of what `Study` takes in Python; NULL and empty lists mean that nothing was said.
CREATE TABLE IF NOT EXISTS emcc.studies (
    model VARCHAR NOT NULL,
    study VARCHAR NOT NULL,          -- its name
    source VARCHAR NOT NULL,         -- [[database.]schema.]table or view, of this database's main unless it says another; or a path
    intervened VARCHAR[],            -- the variables set by design
    weight VARCHAR,                  -- a column to be summed
    "where" VARCHAR,                 -- which records count: a condition on columns
    columns MAP(VARCHAR, VARCHAR),   -- variable -> column, where the names differ
    unmeasured VARCHAR[],            -- variables without a column
    local VARCHAR[],                 -- causes with a distribution of their own in this study
    selected VARCHAR,                -- by which rule on variables records were kept
    shared BOOLEAN,                  -- its records count in every segment
    types MAP(VARCHAR, VARCHAR),     -- of the source's columns, when it was saved
    saved_at TIMESTAMP NOT NULL
);
