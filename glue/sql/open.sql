-- The events that fates.sql left open, with the fate `repeat` if the lake kept an earlier one in their window.
--
-- An event of an earlier day, and any event with its id, may repeat what arrived on any day since. These are few, so the
-- lake's ids of those days are filtered by them, and not the other way round. Reads the views `open` and `lake`.
WITH known AS (
  SELECT lake.`{{id}}` AS id, max(lake.arrived_at) AS last_arrival
  FROM lake LEFT SEMI JOIN open ON lake.`{{id}}` = open.`{{id}}`
  WHERE lake.arrived >= '{{oldest}}' AND lake.arrived < '{{day}}'
  GROUP BY lake.`{{id}}`
),
held AS (
  SELECT open.*, date_format(open.`{{time}}`, 'yyyy-MM-dd') AS event_day,
    coalesce(last_arrival >= date_trunc('DAY', open.`{{time}}`) - INTERVAL 1 HOUR, false) AS is_repeat
  FROM open LEFT JOIN known ON open.`{{id}}` = known.id
)
SELECT
  [[columns|, |`{name}`]], arrived_at, _aside.file_name AS file_name, event_day,
  CASE WHEN is_repeat THEN 'repeat' END AS fate,
  CAST(NULL AS struct<reason: string, file_name: string, line: string>) AS aside,
  -- A repeat of an earlier day decides nothing about the others of its id.
  CASE WHEN is_repeat THEN concat(`{{id}}`, ' repeat') ELSE `{{id}}` END AS id_or_line
FROM held
