-- Writes what COPY loads, for one day, as CSV to ${hivevar:staging}/<table>/day=<day>/, replacing what is there. One
-- script for the three tables, because starting Spark takes longer than the work. Ids and times need no quotes; an
-- absent time is an empty field, spelt out because Spark ignores NULL DEFINED AS in an INSERT.
--
-- Variables: database, staging (an S3 URI), day (YYYY-MM-DD), and its parts year, month, day_of_month (zero-padded).
-- Runs in Spark SQL and in Hive 3.1 alike.

USE ${hivevar:database};

SET hive.exec.compress.output = true;
SET mapreduce.output.fileoutputformat.compress.codec = org.apache.hadoop.io.compress.GzipCodec;
-- COPY reads every object below its prefix, so there must be no marker file among them.
SET mapreduce.fileoutputcommitter.marksuccessfuljobs = false;

INSERT OVERWRITE DIRECTORY '${hivevar:staging}/impressions/day=${hivevar:day}'
ROW FORMAT DELIMITED FIELDS TERMINATED BY ','
STORED AS TEXTFILE
SELECT impression_id, ad_id, occurred_at
FROM impressions
WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}';

INSERT OVERWRITE DIRECTORY '${hivevar:staging}/clicks/day=${hivevar:day}'
ROW FORMAT DELIMITED FIELDS TERMINATED BY ','
STORED AS TEXTFILE
SELECT click_id, impression_id, ad_id, occurred_at
FROM clicks
WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}';

INSERT OVERWRITE DIRECTORY '${hivevar:staging}/advertising/day=${hivevar:day}'
ROW FORMAT DELIMITED FIELDS TERMINATED BY ','
STORED AS TEXTFILE
SELECT ad_id, impression_id, impression_at, coalesce(cast(click_at AS string), '')
FROM advertising
WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}';
