-- One row per click.
--
-- Rows are distributed by impression_id: it is even, where a popular ad would overload one node, and impressions, clicks and
-- advertising join by it without moving rows. They are sorted by time, so that a day is found, deleted and read without
-- reading the others.

CREATE TABLE IF NOT EXISTS public.clicks (
  click_id VARCHAR(36) NOT NULL,
  impression_id VARCHAR(36) NOT NULL,
  ad_id VARCHAR(36) NOT NULL,
  occurred_at TIMESTAMP NOT NULL
)
DISTSTYLE KEY
DISTKEY (impression_id)
SORTKEY (occurred_at);

-- Where COPY writes a day before it replaces the day's rows.
CREATE TABLE IF NOT EXISTS public.clicks_staging (LIKE public.clicks);
