-- Replaces the day's rows with the lake's, in one transaction.
--
-- Variables: day (YYYY-MM-DD), and its parts year, month, day_of_month (zero-padded).

DELETE FROM public.clicks_spectrum
WHERE occurred_at >= CAST('${day}' AS TIMESTAMP) AND occurred_at < DATEADD(day, 1, CAST('${day}' AS TIMESTAMP));

INSERT INTO public.clicks_spectrum (click_id, impression_id, ad_id, occurred_at)
SELECT click_id, impression_id, ad_id, occurred_at
FROM lake.clicks
WHERE year = '${year}' AND month = '${month}' AND day = '${day_of_month}';
