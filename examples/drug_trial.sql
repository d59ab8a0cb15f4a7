-- Table 1 of the paper in SQL. First run duckemcc.register(con) and the SQL of duckemcc.read_sql('drug_trial').

-- Was the drug necessary and sufficient for survival? Both studies together:
SELECT query, round(lower, 4) AS lower, round(upper, 4) AS upper, status
FROM emcc_bounds($$Treatment -> Survival; Treatment <-> Survival$$,
                 $$PNS(Treatment=drug, Survival=survived)$$, 'studies', weight := 'n');

-- From the registry alone, with several queries from a table:
CREATE TEMP TABLE questions AS FROM (VALUES
    ('benefit', 'PNS(Treatment=drug, Survival=survived)'),
    ('effect',  'ACE(Treatment=drug, Survival=survived)')) AS t(title, query);

SELECT title, round(lower, 4) AS lower, round(upper, 4) AS upper
FROM questions AS q, emcc_bounds('Treatment -> Survival; Treatment <-> Survival', q.query, 'registry', weight := 'n')
ORDER BY title;

-- Per gender:
SELECT Gender, round(lower, 4) AS lower, round(upper, 4) AS upper
FROM emcc_bounds_by('Treatment -> Survival; Treatment <-> Survival',
                    'PNS(Treatment=drug, Survival=survived)', 'studies', 'Gender', weight := 'n');

-- Do the studies contradict the graph, or each other?
SELECT study, compatible, loglik_gap < 1e-6 AS exact FROM
emcc_compatibility('Treatment -> Survival; Treatment <-> Survival', 'studies', weight := 'n', level := NULL);
