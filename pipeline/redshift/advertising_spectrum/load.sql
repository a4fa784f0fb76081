-- Replaces the day's rows with the lake's, in one transaction.
--
-- Variables: day (YYYY-MM-DD), and its parts year, month, day_of_month (zero-padded).

DELETE FROM public.advertising_spectrum
WHERE impression_at >= CAST('${day}' AS TIMESTAMP) AND impression_at < DATEADD(day, 1, CAST('${day}' AS TIMESTAMP));

INSERT INTO public.advertising_spectrum (ad_id, impression_id, impression_at, click_at)
SELECT ad_id, impression_id, impression_at, click_at
FROM lake.advertising
WHERE year = '${year}' AND month = '${month}' AND day = '${day_of_month}';
