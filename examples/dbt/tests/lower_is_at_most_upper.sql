-- Finds wrong rows: the bounds are not an interval of probabilities, or are missing although the data are compatible.
SELECT *
FROM {{ ref('benefit') }}
WHERE status <> 'incompatible' AND NOT coalesce(0 <= lower AND lower <= upper AND upper <= 1, false)
