-- The SQL face of duckemcc. `register` creates these; the functions with a leading underscore are its Python UDFs.
-- `query(…)` runs the counting query that Python writes at bind time, so rows are counted by DuckDB and never leave it.
-- It gives one row; first() says so to DuckDB, which would otherwise pack it once per row of a lateral join.

CREATE OR REPLACE MACRO emcc_bounds(
    model, query, studies, weight := NULL, method := 'sharp', restarts := 30, seed := 0, start := NULL, accelerate := true,
    gap := NULL, max_steps := NULL, nulls := 'mar', level := 0.01, tolerance := 0.01, incompatible := 'null', confidence := NULL, max_seconds := NULL
) AS TABLE
SELECT answer.* EXCLUDE (segment)
FROM (
    SELECT unnest(_emcc_bounds(model, query, counted.counts, struct_pack(
        method := method, restarts := restarts, seed := seed, start := start, accelerate := accelerate, gap := gap,
        max_steps := max_steps, nulls := nulls, level := level, tolerance := tolerance, incompatible := incompatible, confidence := confidence,
        max_seconds := max_seconds))) AS answer
    FROM (
        SELECT first(_emcc_pack(columns, weight, segments)) AS counts
        FROM query(_emcc_counts_sql(model, studies, weight))
    ) AS counted
);

CREATE OR REPLACE MACRO emcc_bounds_by(
    model, query, studies, "by", weight := NULL, method := 'sharp', restarts := 30, seed := 0, start := NULL, accelerate := true,
    gap := NULL, max_steps := NULL, nulls := 'mar', level := 0.01, tolerance := 0.01, incompatible := 'null', confidence := NULL, max_seconds := NULL
) AS TABLE
SELECT unnest(segment), answer.* EXCLUDE (segment)
FROM (
    SELECT unnest(list_select(keys, list_transform(answers, lambda a: a.segment))) AS segment, unnest(answers) AS answer
    FROM (
        SELECT counted.keys, _emcc_bounds(model, query, counted.counts, struct_pack(
            method := method, restarts := restarts, seed := seed, start := start, accelerate := accelerate, gap := gap,
            max_steps := max_steps, nulls := nulls, level := level, tolerance := tolerance, incompatible := incompatible, confidence := confidence,
            max_seconds := max_seconds)) AS answers
        FROM (
            SELECT first(_emcc_pack(columns, weight, segments)) AS counts,
                first(list_transform(segments, lambda s: s.segment)) AS keys
            FROM query(_emcc_counts_sql(model, studies, weight, "by"))
        ) AS counted
    )
);

CREATE OR REPLACE MACRO emcc_compatibility(
    model, studies, weight := NULL, method := 'sharp', restarts := 30, seed := 0, start := NULL, accelerate := true,
    gap := NULL, max_steps := NULL, nulls := 'mar', level := 0.01, tolerance := 0.01, max_seconds := NULL
) AS TABLE
SELECT answer.* EXCLUDE (segment)
FROM (
    SELECT unnest(_emcc_compatibility(model, counted.counts, struct_pack(
        method := method, restarts := restarts, seed := seed, start := start, accelerate := accelerate, gap := gap,
        max_steps := max_steps, nulls := nulls, level := level, tolerance := tolerance, max_seconds := max_seconds))) AS answer
    FROM (
        SELECT first(_emcc_pack(columns, weight, segments)) AS counts
        FROM query(_emcc_counts_sql(model, studies, weight))
    ) AS counted
);

-- Aggregate style: `record` is a STRUCT of the variables and, if there are several, of study and intervened; weight is a value.
CREATE OR REPLACE MACRO emcc(
    model, query, record, weight := 1, method := 'sharp', restarts := 30, seed := 0, start := NULL, accelerate := true,
    gap := NULL, max_steps := NULL, nulls := 'mar', level := 0.01, tolerance := 0.01, incompatible := 'null', confidence := NULL, max_seconds := NULL
) AS
_emcc_groups(model, query, map_entries(histogram(struct_pack(record := record, weight := weight))), struct_pack(
    method := method, restarts := restarts, seed := seed, start := start, accelerate := accelerate, gap := gap,
    max_steps := max_steps, nulls := nulls, level := level, tolerance := tolerance, incompatible := incompatible, confidence := confidence,
    max_seconds := max_seconds));
