-- Fills the staging table with the day's files. Runs in one transaction with load.sql.
-- DELETE, because TRUNCATE would end the transaction.
--
-- Variables: day (YYYY-MM-DD), staging (an S3 URI), role_arn (the cluster's role, which reads it).

DELETE FROM public.impressions_staging;

COPY public.impressions_staging (impression_id, ad_id, occurred_at)
FROM '${staging}/impressions/day=${day}/'
IAM_ROLE '${role_arn}'
FORMAT AS CSV
TIMEFORMAT 'auto'
GZIP;
