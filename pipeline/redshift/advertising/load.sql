-- Replaces the day's rows with those of the staging table, in one transaction.
--
-- Variable: day (YYYY-MM-DD).

DELETE FROM public.advertising
WHERE impression_at >= CAST('${day}' AS TIMESTAMP) AND impression_at < DATEADD(day, 1, CAST('${day}' AS TIMESTAMP));

INSERT INTO public.advertising (ad_id, impression_id, impression_at, click_at)
SELECT ad_id, impression_id, impression_at, click_at
FROM public.advertising_staging
WHERE impression_at >= CAST('${day}' AS TIMESTAMP) AND impression_at < DATEADD(day, 1, CAST('${day}' AS TIMESTAMP));
