-- How probable is it that the drug was necessary and sufficient to survive? One row per region and query.
SELECT *
FROM emcc_bounds_by(
    $$
    Gender -> Treatment -> Survival
    Gender -> Survival
    Treatment <-> Survival            # a shared, unmeasured cause
    $$,
    ['PNS(Treatment=drug, Survival=survived)',
     'PNS(Treatment=drug, Survival=survived | Gender=female)'],
    '{{ ref("studies") }}',
    'region',
    weight := 'n'
)
