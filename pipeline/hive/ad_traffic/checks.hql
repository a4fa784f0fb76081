-- Each query has its check's name in the first column and must return no row.
-- Variables as for query.hql.

USE ${hivevar:database};

SELECT 'clicks are at most impressions' AS check_name, ad_id, impressions, clicks
FROM ad_traffic
WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}'
  AND (clicks > impressions OR clicks < 0 OR impressions < 1);

SELECT 'one row per ad' AS check_name, ad_id, count(*) AS copies
FROM ad_traffic
WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}'
GROUP BY ad_id
HAVING count(*) > 1;

SELECT 'impressions add up to the lake' AS check_name, difference
FROM (
  SELECT sum(n) AS difference
  FROM (
    SELECT coalesce(sum(impressions), 0) AS n
    FROM ad_traffic
    WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}'
    UNION ALL
    SELECT -count(*) AS n
    FROM impressions
    WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}'
  ) counts
) total
WHERE difference <> 0;

SELECT 'clicks add up to the clicked impressions' AS check_name, difference
FROM (
  SELECT sum(n) AS difference
  FROM (
    SELECT coalesce(sum(clicks), 0) AS n
    FROM ad_traffic
    WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}'
    UNION ALL
    SELECT -count(click_at) AS n
    FROM advertising
    WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}'
  ) counts
) total
WHERE difference <> 0;

SELECT 'no ad is lost' AS check_name, shown.ad_id
FROM (
  SELECT DISTINCT ad_id
  FROM impressions
  WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}'
) shown
LEFT OUTER JOIN (
  SELECT ad_id
  FROM ad_traffic
  WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}'
) counted
ON counted.ad_id = shown.ad_id
WHERE counted.ad_id IS NULL;
