-- A row is wrong whose bounds are no interval of probabilities, or absent although the data are compatible.
SELECT *
FROM {{ ref('benefit') }}
WHERE status <> 'incompatible' AND NOT coalesce(0 <= lower AND lower <= upper AND upper <= 1, false)
