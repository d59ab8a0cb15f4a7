-- The SQL functions of duckemcc. `register` creates these macros. Functions with a leading underscore are Python UDFs, except
-- _emcc_catalog(): a macro whose constant is the content of the catalog's tables.
-- Python writes the counting query at bind time, and `query(…)` runs it, so DuckDB counts the rows and they never leave it.
-- The counting query returns one row. first() tells DuckDB so; otherwise DuckDB would pack it once per row of a lateral join.
-- studies: the name of a relation or the path of a file. NULL or a list of names means the studies that are registered for a
-- model of the catalog.

CREATE OR REPLACE MACRO emcc_bounds(
    model, query, studies := NULL, weight := NULL, method := 'sharp', restarts := 30, seed := 0, start := NULL, accelerate := true,
    gap := NULL, max_steps := NULL, nulls := 'mar', level := 0.01, tolerance := 0.01, incompatible := 'null', population := NULL,
    confidence := NULL, limits := 'conditional', max_seconds := NULL
) AS TABLE
SELECT answer.* EXCLUDE (segment)
FROM (
    SELECT unnest(_emcc_bounds(query, counted.counts, struct_pack(
        method := method, restarts := restarts, seed := seed, start := start, accelerate := accelerate, gap := gap,
        max_steps := max_steps, nulls := nulls, level := level, tolerance := tolerance, incompatible := incompatible,
        population := population, confidence := confidence, limits := limits, max_seconds := max_seconds), epoch_us(now()))) AS answer
    FROM (
        SELECT first(_emcc_pack(counts)) AS counts
        FROM query(_emcc_counts_sql(model, studies, weight, _emcc_catalog()))
    ) AS counted
);

CREATE OR REPLACE MACRO emcc_bounds_by(
    model, query, studies := NULL, "by" := NULL, weight := NULL, method := 'sharp', restarts := 30, seed := 0, start := NULL, accelerate := true,
    gap := NULL, max_steps := NULL, nulls := 'mar', level := 0.01, tolerance := 0.01, incompatible := 'null', population := NULL,
    confidence := NULL, limits := 'conditional', max_seconds := NULL
) AS TABLE
SELECT unnest(segment), answer.* EXCLUDE (segment)
FROM (
    SELECT unnest(list_select(keys, list_transform(answers, lambda a: a.segment))) AS segment, unnest(answers) AS answer
    FROM (
        SELECT counted.keys, _emcc_bounds(query, counted.counts, struct_pack(
            method := method, restarts := restarts, seed := seed, start := start, accelerate := accelerate, gap := gap,
            max_steps := max_steps, nulls := nulls, level := level, tolerance := tolerance, incompatible := incompatible,
            population := population, confidence := confidence, limits := limits, max_seconds := max_seconds), epoch_us(now())) AS answers
        FROM (
            SELECT first(_emcc_pack(counts)) AS counts, first(keys) AS keys
            FROM query(_emcc_counts_sql(model, studies, weight, _emcc_catalog(), "by"))
        ) AS counted
    )
);

CREATE OR REPLACE MACRO emcc_compatibility(
    model, studies := NULL, weight := NULL, method := 'sharp', restarts := 30, seed := 0, start := NULL, accelerate := true,
    gap := NULL, max_steps := NULL, nulls := 'mar', level := 0.01, tolerance := 0.01, max_seconds := NULL
) AS TABLE
SELECT answer.* EXCLUDE (segment)
FROM (
    SELECT unnest(_emcc_compatibility(counted.counts, struct_pack(
        method := method, restarts := restarts, seed := seed, start := start, accelerate := accelerate, gap := gap,
        max_steps := max_steps, nulls := nulls, level := level, tolerance := tolerance, max_seconds := max_seconds), epoch_us(now()))) AS answer
    FROM (
        SELECT first(_emcc_pack(counts)) AS counts
        FROM query(_emcc_counts_sql(model, studies, weight, _emcc_catalog()))
    ) AS counted
);

CREATE OR REPLACE MACRO emcc_compatibility_by(
    model, studies := NULL, "by" := NULL, weight := NULL, method := 'sharp', restarts := 30, seed := 0, start := NULL, accelerate := true,
    gap := NULL, max_steps := NULL, nulls := 'mar', level := 0.01, tolerance := 0.01, max_seconds := NULL
) AS TABLE
SELECT unnest(segment), answer.* EXCLUDE (segment)
FROM (
    SELECT unnest(list_select(keys, list_transform(answers, lambda a: a.segment))) AS segment, unnest(answers) AS answer
    FROM (
        SELECT counted.keys, _emcc_compatibility(counted.counts, struct_pack(
            method := method, restarts := restarts, seed := seed, start := start, accelerate := accelerate, gap := gap,
            max_steps := max_steps, nulls := nulls, level := level, tolerance := tolerance, max_seconds := max_seconds), epoch_us(now())) AS answers
        FROM (
            SELECT first(_emcc_pack(counts)) AS counts, first(keys) AS keys
            FROM query(_emcc_counts_sql(model, studies, weight, _emcc_catalog(), "by"))
        ) AS counted
    )
);

-- As an aggregate function. record: a STRUCT of the variables and, if there are several studies, of study and intervened.
-- weight: a value.
CREATE OR REPLACE MACRO emcc(
    model, query, record, weight := 1, method := 'sharp', restarts := 30, seed := 0, start := NULL, accelerate := true,
    gap := NULL, max_steps := NULL, nulls := 'mar', level := 0.01, tolerance := 0.01, incompatible := 'null', confidence := NULL, limits := 'conditional', max_seconds := NULL
) AS
_emcc_groups(_emcc_model(model, _emcc_catalog()), query, map_entries(histogram(struct_pack(record := record, weight := weight))), struct_pack(
    method := method, restarts := restarts, seed := seed, start := start, accelerate := accelerate, gap := gap,
    max_steps := max_steps, nulls := nulls, level := level, tolerance := tolerance, incompatible := incompatible, confidence := confidence, limits := limits,
    max_seconds := max_seconds), epoch_us(now()));

-- The models of the catalog, one row per model.
CREATE OR REPLACE MACRO emcc_models() AS TABLE
SELECT stored.*
FROM (SELECT unnest(_emcc_models(_emcc_catalog(), current)) AS stored FROM query(_emcc_stamp_sql(_emcc_catalog())));
