-- Each query has its check's name in the first column and must return no row.
--
-- Variables: day (YYYY-MM-DD), and its parts year, month, day_of_month (zero-padded).

SELECT
  'advertising_spectrum: count and sums are the lake''s' AS check_name,
  loaded.impressions, stored.impressions AS impressions_of_the_lake,
  loaded.clicks, stored.clicks AS clicks_of_the_lake
FROM (
  SELECT
    count(*) AS impressions,
    count(click_at) AS clicks,
    coalesce(sum(DATEDIFF(millisecond, CAST('${day}' AS TIMESTAMP), impression_at)), 0) AS impression_times,
    coalesce(sum(DATEDIFF(millisecond, CAST('${day}' AS TIMESTAMP), click_at)), 0) AS click_times
  FROM public.advertising_spectrum
  WHERE impression_at >= CAST('${day}' AS TIMESTAMP) AND impression_at < DATEADD(day, 1, CAST('${day}' AS TIMESTAMP))
) loaded
CROSS JOIN (
  SELECT
    count(*) AS impressions,
    count(click_at) AS clicks,
    coalesce(sum(DATEDIFF(millisecond, CAST('${day}' AS TIMESTAMP), impression_at)), 0) AS impression_times,
    coalesce(sum(DATEDIFF(millisecond, CAST('${day}' AS TIMESTAMP), click_at)), 0) AS click_times
  FROM lake.advertising
  WHERE year = '${year}' AND month = '${month}' AND day = '${day_of_month}'
) stored
WHERE loaded.impressions <> stored.impressions
  OR loaded.clicks <> stored.clicks
  OR loaded.impression_times <> stored.impression_times
  OR loaded.click_times <> stored.click_times;

-- With equal counts and unique rows in the lake, no missing row means that all are equal.
SELECT 'advertising_spectrum: no row of the lake is missing' AS check_name, missing.*
FROM (
  SELECT ad_id, impression_id, impression_at, click_at
  FROM lake.advertising
  WHERE year = '${year}' AND month = '${month}' AND day = '${day_of_month}'
  EXCEPT
  SELECT ad_id, impression_id, impression_at, click_at
  FROM public.advertising_spectrum
  WHERE impression_at >= CAST('${day}' AS TIMESTAMP) AND impression_at < DATEADD(day, 1, CAST('${day}' AS TIMESTAMP))
) missing
LIMIT 20;
