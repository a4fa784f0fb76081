-- Each query has its check's name in the first column and must return no row.
-- Variables as for query.hql.

USE ${hivevar:database};

SELECT 'a click is never before its impression' AS check_name, impression_id, impression_at, click_at
FROM advertising
WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}'
  AND click_at < impression_at;

SELECT 'a first click is a click of the lake within the window' AS check_name, a.impression_id, a.click_at
FROM (
  SELECT impression_id, click_at
  FROM advertising
  WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}'
    AND click_at IS NOT NULL
) a
LEFT OUTER JOIN (
  SELECT DISTINCT impression_id, occurred_at
  FROM clicks
  WHERE (
      year = '${hivevar:year}' AND month = '${hivevar:month}' AND day >= '${hivevar:day_of_month}'
      AND cast(date_add('${hivevar:day}', ${hivevar:attribution_days}) AS string) NOT LIKE '${hivevar:year}-${hivevar:month}-%'
    ) OR (
      year = substr(cast(date_add('${hivevar:day}', ${hivevar:attribution_days}) AS string), 1, 4)
      AND month = substr(cast(date_add('${hivevar:day}', ${hivevar:attribution_days}) AS string), 6, 2)
      AND day BETWEEN if(cast(date_add('${hivevar:day}', ${hivevar:attribution_days}) AS string) LIKE '${hivevar:year}-${hivevar:month}-%', '${hivevar:day_of_month}', '01')
        AND substr(cast(date_add('${hivevar:day}', ${hivevar:attribution_days}) AS string), 9, 2)
    )
) c
ON c.impression_id = a.impression_id AND c.occurred_at = a.click_at
WHERE c.impression_id IS NULL;

SELECT 'no earlier click is left out' AS check_name, a.impression_id, a.click_at, c.occurred_at
FROM (
  SELECT impression_id, impression_at, click_at
  FROM advertising
  WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}'
) a
JOIN (
  SELECT impression_id, occurred_at
  FROM clicks
  WHERE (
      year = '${hivevar:year}' AND month = '${hivevar:month}' AND day >= '${hivevar:day_of_month}'
      AND cast(date_add('${hivevar:day}', ${hivevar:attribution_days}) AS string) NOT LIKE '${hivevar:year}-${hivevar:month}-%'
    ) OR (
      year = substr(cast(date_add('${hivevar:day}', ${hivevar:attribution_days}) AS string), 1, 4)
      AND month = substr(cast(date_add('${hivevar:day}', ${hivevar:attribution_days}) AS string), 6, 2)
      AND day BETWEEN if(cast(date_add('${hivevar:day}', ${hivevar:attribution_days}) AS string) LIKE '${hivevar:year}-${hivevar:month}-%', '${hivevar:day_of_month}', '01')
        AND substr(cast(date_add('${hivevar:day}', ${hivevar:attribution_days}) AS string), 9, 2)
    )
) c
ON c.impression_id = a.impression_id
WHERE c.occurred_at >= a.impression_at AND (a.click_at IS NULL OR c.occurred_at < a.click_at);

SELECT 'one row per impression' AS check_name, impression_id, count(*) AS copies
FROM advertising
WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}'
GROUP BY impression_id
HAVING count(*) > 1;

SELECT 'as many rows as the lake has impressions' AS check_name, difference
FROM (
  SELECT sum(n) AS difference
  FROM (
    SELECT count(*) AS n
    FROM advertising
    WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}'
    UNION ALL
    SELECT -count(*) AS n
    FROM impressions
    WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}'
  ) counts
) total
WHERE difference <> 0;
