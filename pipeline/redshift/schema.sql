-- The tables of the lake as a separate schema, read through Redshift Spectrum from the Glue catalog.
--
-- Variables: catalog_database, role_arn (the cluster's role, which reads the catalog and the lake).

CREATE EXTERNAL SCHEMA IF NOT EXISTS lake
FROM DATA CATALOG DATABASE '${catalog_database}'
IAM_ROLE '${role_arn}';
