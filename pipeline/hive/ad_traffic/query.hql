-- Impressions of each ad on the day, and how many of them were clicked; 0 for ads without clicks.
--
-- Variables: database, and the day's parts year, month, day_of_month (zero-padded).
-- Runs in Spark SQL and in Hive 3.1 alike, and replaces the day's partition.

USE ${hivevar:database};

INSERT OVERWRITE TABLE ad_traffic
PARTITION (year = '${hivevar:year}', month = '${hivevar:month}', day = '${hivevar:day_of_month}')
SELECT
  ad_id,
  count(*) AS impressions,
  count(click_at) AS clicks
FROM advertising
WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}'
GROUP BY ad_id;
