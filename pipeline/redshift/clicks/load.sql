-- Replaces the day's rows with those of the staging table, in one transaction.
--
-- Variable: day (YYYY-MM-DD).

DELETE FROM public.clicks
WHERE occurred_at >= CAST('${day}' AS TIMESTAMP) AND occurred_at < DATEADD(day, 1, CAST('${day}' AS TIMESTAMP));

INSERT INTO public.clicks (click_id, impression_id, ad_id, occurred_at)
SELECT click_id, impression_id, ad_id, occurred_at
FROM public.clicks_staging
WHERE occurred_at >= CAST('${day}' AS TIMESTAMP) AND occurred_at < DATEADD(day, 1, CAST('${day}' AS TIMESTAMP));
