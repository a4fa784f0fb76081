-- Fills the staging table with the day's files. Runs in one transaction with load.sql.
-- DELETE, because TRUNCATE would end the transaction.
--
-- Variables: day (YYYY-MM-DD), staging (an S3 URI), role_arn (the cluster's role, which reads it).

DELETE FROM public.advertising_staging;

COPY public.advertising_staging (ad_id, impression_id, impression_at, click_at)
FROM '${staging}/advertising/day=${day}/'
IAM_ROLE '${role_arn}'
FORMAT AS CSV
TIMEFORMAT 'auto'
GZIP;
