-- Each impression of the day with its first click within the attribution window: the day of the impression and the
-- attribution_days after it, and never before the impression itself. One row per impression; click_at is null without a click.
--
-- Variables: database, day (YYYY-MM-DD), its parts year, month, day_of_month (zero-padded), and attribution_days (0 to 28, so
-- that the window lies in two months at most).
-- Runs in Spark SQL and in Hive 3.1 alike, and replaces the day's partition. Partition keys are compared with constants,
-- so that the catalog finds the partitions and need not list them all.

USE ${hivevar:database};

INSERT OVERWRITE TABLE advertising
PARTITION (year = '${hivevar:year}', month = '${hivevar:month}', day = '${hivevar:day_of_month}')
SELECT
  i.ad_id,
  i.impression_id,
  i.occurred_at AS impression_at,
  min(CASE WHEN c.occurred_at >= i.occurred_at THEN c.occurred_at END) AS click_at
FROM (
  SELECT ad_id, impression_id, occurred_at
  FROM impressions
  WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}'
) i
LEFT OUTER JOIN (
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
ON c.impression_id = i.impression_id
GROUP BY i.ad_id, i.impression_id, i.occurred_at;
