-- Synthetic: Table 1 knows no regions. The north has both studies as published, the south the trial alone, the east the
-- registry alone; in the west somebody swapped the arms of the trial, so that the two contradict each other.
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
