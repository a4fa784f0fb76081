-- Replaces the day's rows with those of the staging table, in one transaction.
--
-- Variable: day (YYYY-MM-DD).

DELETE FROM public.impressions
WHERE occurred_at >= CAST('${day}' AS TIMESTAMP) AND occurred_at < DATEADD(day, 1, CAST('${day}' AS TIMESTAMP));

INSERT INTO public.impressions (impression_id, ad_id, occurred_at)
SELECT impression_id, ad_id, occurred_at
FROM public.impressions_staging
WHERE occurred_at >= CAST('${day}' AS TIMESTAMP) AND occurred_at < DATEADD(day, 1, CAST('${day}' AS TIMESTAMP));
