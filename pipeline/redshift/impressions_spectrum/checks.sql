-- Each query has its check's name in the first column and must return no row.
--
-- Variables: day (YYYY-MM-DD), and its parts year, month, day_of_month (zero-padded).

SELECT
  'impressions_spectrum: count and sums are the lake''s' AS check_name,
  loaded.events, stored.events AS events_of_the_lake
FROM (
  SELECT
    count(*) AS events,
    coalesce(sum(DATEDIFF(millisecond, CAST('${day}' AS TIMESTAMP), occurred_at)), 0) AS times
  FROM public.impressions_spectrum
  WHERE occurred_at >= CAST('${day}' AS TIMESTAMP) AND occurred_at < DATEADD(day, 1, CAST('${day}' AS TIMESTAMP))
) loaded
CROSS JOIN (
  SELECT
    count(*) AS events,
    coalesce(sum(DATEDIFF(millisecond, CAST('${day}' AS TIMESTAMP), occurred_at)), 0) AS times
  FROM lake.impressions
  WHERE year = '${year}' AND month = '${month}' AND day = '${day_of_month}'
) stored
WHERE loaded.events <> stored.events OR loaded.times <> stored.times;

-- With equal counts and unique rows in the lake, no missing row means that all are equal.
SELECT 'impressions_spectrum: no row of the lake is missing' AS check_name, missing.*
FROM (
  SELECT impression_id, ad_id, occurred_at
  FROM lake.impressions
  WHERE year = '${year}' AND month = '${month}' AND day = '${day_of_month}'
  EXCEPT
  SELECT impression_id, ad_id, occurred_at
  FROM public.impressions_spectrum
  WHERE occurred_at >= CAST('${day}' AS TIMESTAMP) AND occurred_at < DATEADD(day, 1, CAST('${day}' AS TIMESTAMP))
) missing
LIMIT 20;
