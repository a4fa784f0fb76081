-- Each query names its check in the first column and must return no row.
-- Variables as for query.hql.

USE ${hivevar:database};

SELECT 'a click is never before its impression' AS check_name, impression_id, impression_at, click_at
FROM advertising
WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}'
  AND click_at < impression_at;

SELECT 'a click is within the attribution window' AS check_name, impression_id, impression_at, click_at
FROM advertising
WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}'
  AND click_at >= cast(date_add('${hivevar:day}', 2) AS timestamp);

SELECT 'one row an impression' AS check_name, impression_id, count(*) AS copies
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
