-- Table 1 of the paper (data of Mueller & Pearl 2022): two studies of one drug, as 16 distinct records with their counts.
CREATE TABLE studies AS
FROM (VALUES
    ('trial',    ['Treatment'], 'female', 'drug',    'survived',  489),
    ('trial',    ['Treatment'], 'female', 'drug',    'dead',      511),
    ('trial',    ['Treatment'], 'male',   'drug',    'survived',  490),
    ('trial',    ['Treatment'], 'male',   'drug',    'dead',      510),
    ('trial',    ['Treatment'], 'female', 'no drug', 'survived',  210),
    ('trial',    ['Treatment'], 'female', 'no drug', 'dead',      790),
    ('trial',    ['Treatment'], 'male',   'no drug', 'survived',  210),
    ('trial',    ['Treatment'], 'male',   'no drug', 'dead',      790),
    ('registry', NULL,          'female', 'drug',    'survived',  378),
    ('registry', NULL,          'female', 'drug',    'dead',     1022),
    ('registry', NULL,          'male',   'drug',    'survived',  980),
    ('registry', NULL,          'male',   'drug',    'dead',      420),
    ('registry', NULL,          'female', 'no drug', 'survived',  420),
    ('registry', NULL,          'female', 'no drug', 'dead',      180),
    ('registry', NULL,          'male',   'no drug', 'survived',  420),
    ('registry', NULL,          'male',   'no drug', 'dead',      180)
) AS t(study, intervened, Gender, Treatment, Survival, n);

CREATE VIEW registry AS FROM studies WHERE study = 'registry';
CREATE VIEW trial AS FROM studies WHERE study = 'trial';
