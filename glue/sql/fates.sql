-- The last fate of each event: `kept`, `repeat`, or `open`, which open.sql decides.
--
-- Reads the views `events` (of events.sql or open.sql) and `lake`: what it kept from the last hour of the day before is
-- `known`, except in the second run, after open.sql, which has no `open_before`. Known events come first in the order of
-- arrival. They make repeats of what follows, but not of events of the next day, whose window begins with the last hour of
-- this one. Of an id at most two are kept: the first, and the first of the next day, unless the other arrived in that hour
-- too. What follows an event of an earlier day is open with it. What follows any other event is a repeat.
WITH candidates AS (
  SELECT [[columns|, |`{name}`]], arrived_at, file_name, event_day, fate AS first_fate, aside, id_or_line FROM events
  UNION ALL
  SELECT [[columns|, |CAST(NULL AS {type})]], arrived_at, NULL, NULL, 'known', NULL, `{{id}}` FROM lake
  WHERE '{{open_before}}' <> '' AND arrived = '{{day_before}}' AND arrived_at >= TIMESTAMP '{{day_before}} 23:00:00'
),
ranked AS (
  SELECT *,
    row_number() OVER arrival AS position,
    first_value(arrived_at) OVER arrival AS first_arrival,
    first_value(event_day) OVER arrival AS first_day,
    count_if(event_day > '{{day}}') OVER arrival AS of_next_day
  FROM candidates
  WINDOW arrival AS (PARTITION BY id_or_line ORDER BY {{arrival}} ROWS UNBOUNDED PRECEDING)
),
decided AS (
  SELECT *,
    CASE
      WHEN first_fate IS NOT NULL THEN first_fate
      WHEN first_day < '{{open_before}}' THEN 'open'
      WHEN position = 1
        OR event_day > '{{day}}' AND of_next_day = 1 AND first_arrival < TIMESTAMP '{{day}} 23:00:00' THEN 'kept'
      ELSE 'repeat'
    END AS fate
  FROM ranked
)
SELECT
  [[stored|, |`{name}`]],
  CASE WHEN fate = 'open' THEN struct(CAST(NULL AS string) AS reason, file_name, CAST(NULL AS string) AS line)
    ELSE aside END AS `_aside`,
  fate,
  event_day AS dated,
  CASE WHEN fate = 'kept' THEN event_day ELSE fate END AS event_day
FROM decided
WHERE fate <> 'known'
