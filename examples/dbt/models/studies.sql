-- Synthetic: Table 1 has no regions. The north has both studies as published, the south only the trial, the east only the
-- registry. In the west the arms of the trial are swapped, so the two studies contradict each other.
SELECT
    region,
    study,
    CASE WHEN study = 'trial' THEN ['Treatment'] END AS intervened,
    "Gender",
    CASE WHEN region <> 'west' OR study <> 'trial' THEN "Treatment"
         WHEN "Treatment" = 'drug' THEN 'no drug'
         ELSE 'drug' END AS "Treatment",
    "Survival",
    n
FROM {{ ref('table_1') }}
CROSS JOIN (VALUES ('north'), ('south'), ('east'), ('west')) AS regions (region)
WHERE (region <> 'south' OR study = 'trial') AND (region <> 'east' OR study = 'registry')
