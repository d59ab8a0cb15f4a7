-- {"case": "plain", "model": "Gender -> treatment -> Survival; Gender -> Survival; treatment <-> Survival", "source": "clinic.trial"}
SELECT
  "Gender",
  "treatment",
  "Survival",
  COUNT(*) AS "n"
FROM (
  SELECT
    "Gender",
    "treatment",
    "Survival"
  FROM clinic.trial
) AS emcc_records
GROUP BY
  "Gender",
  "treatment",
  "Survival"
;

-- {"case": "weighted", "model": "Gender -> treatment -> Survival; Gender -> Survival; treatment <-> Survival", "source": "clinic.trial", "weight": "W"}
SELECT
  "Gender",
  "treatment",
  "Survival",
  CASE
    WHEN COUNT(*) = COUNT(emcc_good)
    THEN SUM(FLOOR(emcc_good)) + SUM(FLOOR(emcc_good * 16777216) - 16777216 * FLOOR(emcc_good)) / 16777216 + SUM(FLOOR(emcc_good * 281474976710656) - 16777216 * FLOOR(emcc_good * 16777216)) / 281474976710656 + SUM(
      FLOOR(emcc_good * 4.722366482869645e+21) - 16777216 * FLOOR(emcc_good * 281474976710656)
    ) / 4.722366482869645e+21 + SUM(
      FLOOR(emcc_good * 7.922816251426434e+28) - 16777216 * FLOOR(emcc_good * 4.722366482869645e+21)
    ) / 7.922816251426434e+28
  END AS "n"
FROM (
  SELECT
    *,
    CASE
      WHEN emcc_weight = 0 OR emcc_weight BETWEEN 1e-15 AND 1000000000000000
      THEN emcc_weight
    END AS emcc_good
  FROM (
    SELECT
      "Gender",
      "treatment",
      "Survival",
      CAST("W" AS DOUBLE) AS emcc_weight
    FROM clinic.trial
  ) AS emcc_records
) AS emcc_records
GROUP BY
  "Gender",
  "treatment",
  "Survival"
;

-- {"case": "where", "model": "Gender -> treatment -> Survival; Gender -> Survival; treatment <-> Survival", "source": "clinic.trial", "where": "(age + 1) * 2 > 30 AND NOT note LIKE '%\\y' AND NOT note LIKE '[%' AND lower(Gender) IN ('female', 'it''s male') AND (treatment OR sex = 'm') AND age % 4 <> 2"}
SELECT
  "Gender",
  "treatment",
  "Survival",
  COUNT(*) AS "n"
FROM (
  SELECT
    "Gender",
    "treatment",
    "Survival"
  FROM clinic.trial
  WHERE
    (
      "age" + 1
    ) * 2 > 30
    AND NOT (
      "note" LIKE '%\\y'
    )
    AND NOT (
      "note" LIKE '[%'
    )
    AND LOWER("Gender") IN ('female', 'it\'s male')
    AND (
      "treatment" OR "sex" = 'm'
    )
    AND "age" % 4 <> 2
) AS emcc_records
GROUP BY
  "Gender",
  "treatment",
  "Survival"
;

-- {"case": "ilike", "model": "Gender -> treatment -> Survival; Gender -> Survival; treatment <-> Survival", "source": "clinic.trial", "where": "NOT note ILIKE 'é' AND Region IS NOT NULL AND CAST(age AS VARCHAR) >= '3'"}
SELECT
  "Gender",
  "treatment",
  "Survival",
  COUNT(*) AS "n"
FROM (
  SELECT
    "Gender",
    "treatment",
    "Survival"
  FROM clinic.trial
  WHERE
    NOT (
      "note" ILIKE 'é'
    )
    AND NOT (
      "Region" IS NULL
    )
    AND CAST("age" AS VARCHAR) >= '3'
) AS emcc_records
GROUP BY
  "Gender",
  "treatment",
  "Survival"
;

-- {"case": "mapped", "model": "Gender -> treatment -> Survival; Gender -> Survival; treatment <-> Survival", "source": "clinic.trial", "columns": {"Gender": "sex", "Survival": "k"}}
SELECT
  "Gender",
  "treatment",
  "Survival",
  COUNT(*) AS "n"
FROM (
  SELECT
    "sex" AS "Gender",
    "treatment",
    "k" AS "Survival"
  FROM clinic.trial
) AS emcc_records
GROUP BY
  "Gender",
  "treatment",
  "Survival"
;

-- {"case": "odd", "model": "\"a b\" -> Survival", "source": "clinic.trial", "columns": {"a b": "its \"odd\" `c` [d]"}}
SELECT
  "a b",
  "Survival",
  COUNT(*) AS "n"
FROM (
  SELECT
    "its ""odd"" `c` [d]" AS "a b",
    "Survival"
  FROM clinic.trial
) AS emcc_records
GROUP BY
  "a b",
  "Survival"
;

-- {"case": "by", "model": "treatment -> Survival", "source": "clinic.trial", "by": ["Region", "sex"]}
SELECT
  "treatment",
  "Survival",
  "Region",
  "sex",
  COUNT(*) AS "n"
FROM (
  SELECT
    "treatment",
    "Survival",
    "Region",
    "sex"
  FROM clinic.trial
) AS emcc_records
GROUP BY
  "treatment",
  "Survival",
  "Region",
  "sex"
;

-- {"case": "unmeasured", "model": "Gender -> M -> Survival; unmeasured M; M {0, 1}", "source": "clinic.trial", "unmeasured": ["M"]}
SELECT
  "Gender",
  "Survival",
  COUNT(*) AS "n"
FROM (
  SELECT
    "Gender",
    "Survival"
  FROM clinic.trial
) AS emcc_records
GROUP BY
  "Gender",
  "Survival"
;

-- {"case": "select", "model": "sex -> k", "source": "WITH adults AS (SELECT * FROM clinic.trial WHERE age >= 18) SELECT sex, k, age * 2 AS w2 FROM adults /* all */ UNION ALL SELECT sex, k, 1 FROM clinic.trial", "weight": "w2"}
SELECT
  "sex",
  "k",
  CASE
    WHEN COUNT(*) = COUNT(emcc_good)
    THEN SUM(FLOOR(emcc_good)) + SUM(FLOOR(emcc_good * 16777216) - 16777216 * FLOOR(emcc_good)) / 16777216 + SUM(FLOOR(emcc_good * 281474976710656) - 16777216 * FLOOR(emcc_good * 16777216)) / 281474976710656 + SUM(
      FLOOR(emcc_good * 4.722366482869645e+21) - 16777216 * FLOOR(emcc_good * 281474976710656)
    ) / 4.722366482869645e+21 + SUM(
      FLOOR(emcc_good * 7.922816251426434e+28) - 16777216 * FLOOR(emcc_good * 4.722366482869645e+21)
    ) / 7.922816251426434e+28
  END AS "n"
FROM (
  SELECT
    *,
    CASE
      WHEN emcc_weight = 0 OR emcc_weight BETWEEN 1e-15 AND 1000000000000000
      THEN emcc_weight
    END AS emcc_good
  FROM (
    SELECT
      "sex",
      "k",
      CAST("w2" AS DOUBLE) AS emcc_weight
    FROM (
      WITH adults AS (
        SELECT
          *
        FROM clinic.trial
        WHERE
          age >= 18
      )
      SELECT
        sex,
        k,
        age * 2 AS w2
      FROM adults
      UNION ALL
      SELECT
        sex,
        k,
        1
      FROM clinic.trial
    ) AS emcc_source
  ) AS emcc_records
) AS emcc_records
GROUP BY
  "sex",
  "k"
;

-- {"case": "all", "model": "Gender -> treatment -> Survival; Gender -> Survival; treatment <-> Survival", "source": "clinic.trial", "weight": "k", "where": "age BETWEEN 10 AND 80 AND Region <> 'north'", "columns": {"Gender": "its \"odd\" `c` [d]"}, "by": ["Region"], "do": ["treatment"]}
SELECT
  "Gender",
  "treatment",
  "Survival",
  "Region",
  CASE
    WHEN COUNT(*) = COUNT(emcc_good)
    THEN SUM(FLOOR(emcc_good)) + SUM(FLOOR(emcc_good * 16777216) - 16777216 * FLOOR(emcc_good)) / 16777216 + SUM(FLOOR(emcc_good * 281474976710656) - 16777216 * FLOOR(emcc_good * 16777216)) / 281474976710656 + SUM(
      FLOOR(emcc_good * 4.722366482869645e+21) - 16777216 * FLOOR(emcc_good * 281474976710656)
    ) / 4.722366482869645e+21 + SUM(
      FLOOR(emcc_good * 7.922816251426434e+28) - 16777216 * FLOOR(emcc_good * 4.722366482869645e+21)
    ) / 7.922816251426434e+28
  END AS "n"
FROM (
  SELECT
    *,
    CASE
      WHEN emcc_weight = 0 OR emcc_weight BETWEEN 1e-15 AND 1000000000000000
      THEN emcc_weight
    END AS emcc_good
  FROM (
    SELECT
      "its ""odd"" `c` [d]" AS "Gender",
      "treatment",
      "Survival",
      "Region",
      CAST("k" AS DOUBLE) AS emcc_weight
    FROM clinic.trial
    WHERE
      "age" BETWEEN 10 AND 80 AND "Region" <> 'north'
  ) AS emcc_records
) AS emcc_records
GROUP BY
  "Gender",
  "treatment",
  "Survival",
  "Region"
;
