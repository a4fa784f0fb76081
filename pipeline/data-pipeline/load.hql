-- Writes the day's traffic to DynamoDB by key, so that a second run overwrites the first.
--
-- ${output1} is Data Pipeline's table for its DynamoDBDataNode. For Hive on EMR only.
-- Variables: database, day (YYYY-MM-DD), and its parts year, month, day_of_month (zero-padded).

INSERT OVERWRITE TABLE ${output1}
SELECT
  ad_id,
  '${hivevar:day}' AS day,
  impressions,
  clicks
FROM ${hivevar:database}.ad_traffic
WHERE year = '${hivevar:year}' AND month = '${hivevar:month}' AND day = '${hivevar:day_of_month}';
