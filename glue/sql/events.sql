-- Each raw line of the day with its fields and its first fate: `rejected` with a reason, `late`, or none yet.
--
-- Reads the view `lines`: line, file_name, arrived_at (the start of the hour). docs/lake.md defines the terms. Spark's
-- reader takes the first JSON value of a text and ignores the rest. So a line is read as the member of an object, where
-- anything after the line's own object is an error, except a brace that closes the outer object early. A line with inner
-- braces is therefore read a second time, as the only element of an array, where that brace is an error.
--
-- A value that doesn't fit its column makes `problem` and is null. Such lines are few; only they are read again, as text,
-- to distinguish a value that doesn't fit from a missing one, and from a line that is not JSON.
--
-- Spark expands decimals digit by digit: one like 1e99999999 takes minutes. So a number with an exponent of more than
-- four digits is turned into text, and that text and any like it get a mark, which no decimal may have. Elsewhere the
-- mark is removed again. Infinite doubles in objects and arrays, which JSON writes as text, become null in the same
-- way. This is done only for lines that may have such a number, and only in tables where it matters.
--
-- values.json has the values of all statements: the reader's options; patterns, with digits as lists, which Java matches
-- faster than ranges; and the latest time of an event after the start of its hour: that hour, and one for fast clocks.
WITH texts AS (
  SELECT CASE WHEN startswith(line, '\uFEFF') THEN trim(LEADING '\uFEFF' FROM line) ELSE line END AS line,
    CASE WHEN contains(file_name, '%') THEN url_decode(replace(file_name, '+', '%2B')) ELSE file_name END AS file_name,
    arrived_at
  FROM lines
),
marked AS (
  SELECT *, [[odd||CASE WHEN is_odd THEN
      -- Split at unescaped quotes: the second part, the fourth and so on are text.
      replace(replace(array_join(transform(parts, (part, place) -> CASE
          WHEN place % 2 = 0 THEN regexp_replace(part, '{{odd_token}}', '"{{mark}}$1"')
          WHEN NOT startswith(trim(LEADING ' \t\r' FROM parts[place + 1]), ':')
            AND replace(CASE WHEN contains(part, '\\u') THEN from_json(concat('["', part, '"]'), 'array<string>')[0] ELSE part END, ',', '')
              RLIKE '{{odd_text}}' THEN concat('{{mark}}', part)
          ELSE part
        END), '"'), '{{hidden_quote}}', '\\"'), '{{hidden_backslash}}', '\\\\')
      ELSE line END]][[plain||line]] AS marked_line
  FROM [[odd||(SELECT *, CASE WHEN is_odd THEN
      split(replace(replace(line, '\\\\', '{{hidden_backslash}}'), '\\"', '{{hidden_quote}}'), '"') END AS parts
    FROM (SELECT *, line RLIKE '{{odd_number}}']][[infinite||
      OR line RLIKE '{{infinite_number}}' OR octet_length(line) > 309 AND line RLIKE '{{long_number}}']][[odd|| AS is_odd FROM texts))]][[plain||texts]]
),
parsed AS (
  SELECT *, from_json(concat('{"e":', marked_line, '}'), 'e struct<[[columns|, |`{name}`: {json}]]>, problem string', {{options}}) AS p
  FROM marked
),
checked AS (
  SELECT line, file_name, arrived_at,[[odd|| is_odd,]] p.e AS f,
    CASE WHEN p.problem IS NOT NULL THEN
      from_json(concat('{"e":', marked_line, '}'), 'e struct<[[columns|, |`{name}`: string]]>, problem string', {{options}}) END AS w,
    p.e IS NOT NULL OR p.problem IS NOT NULL AS is_json,
    -- The first closing brace is the last character: nothing can follow it.
    startswith(line, '{') AND split(line, '\\}', 2)[1] = ''
      OR line RLIKE '\\A[ \\t\\r]*\\{'
        AND size(from_json(concat('[', line, ']'), 'array<struct<`_`: string>>', {{options}})) = 1 AS is_object,
    -- Bytes that are not UTF-8 are decoded to other bytes.
    decode(CAST(line AS binary), 'UTF-8') = line AS is_text,
    -- Half a surrogate pair remains when all other escapes are removed.
    (contains(line, '\\ud') OR contains(line, '\\uD'))
      AND regexp_replace(line, '\\\\(?:u[dD][89abAB]..\\\\u[dD][c-fC-F]..|u(?![dD][89a-fA-F])|[^u])', '')
        RLIKE '\\\\u' AS has_half
  FROM parsed
),
valued AS (
  SELECT *,
    [[uuid||CASE WHEN f.`{name}` RLIKE '{{uuid_form}}' THEN lower(f.`{name}`) END AS `{name}`,
    ]][[text||CASE WHEN is_odd THEN replace(f.`{name}`, '{{mark}}', '') ELSE f.`{name}` END AS `{name}`,
    ]][[timestamp||CASE WHEN f.`{name}` RLIKE '{{timestamp_form}}' THEN CAST(f.`{name}` AS timestamp) END AS `{name}`,
    ]][[date||CASE WHEN f.`{name}` RLIKE '{{date_form}}' THEN CAST(f.`{name}` AS date) END AS `{name}`,
    ]][[double||CASE WHEN abs(f.`{name}`) < double('Infinity') THEN f.`{name}` END AS `{name}`,
    ]][[nested||CASE WHEN is_odd THEN from_json(replace(regexp_replace(to_json(f.`{name}`), '"-?Infinity"', 'null'), '{{mark}}', ''),
      '{type}', {{options}}) ELSE f.`{name}` END AS `{name}`,
    ]][[typed||f.`{name}` AS `{name}`,
    ]]substr(f.`{{time}}`, 1, 10) AS event_day
  FROM (SELECT line, file_name, arrived_at,[[odd|| is_odd,]] f, w.e AS w,
      NOT (is_json AND is_object AND is_text) OR has_half OR w.problem IS NOT NULL AS is_malformed FROM checked)
),
judged AS (
  SELECT *,
    CASE
      WHEN is_malformed THEN CASE WHEN line RLIKE '\\A\\s*\\z' THEN 'blank' ELSE 'malformed' END
      [[required|
      |WHEN {value} IS NULL THEN CASE WHEN {written} THEN 'invalid {path}' ELSE 'missing {path}' END]]
      WHEN unix_micros(`{{time}}`) - unix_micros(arrived_at) >= {{early_micros}}L THEN 'early'
    END AS reason
  FROM valued
)
SELECT
  [[columns|, |`{name}`]], arrived_at, file_name, event_day,
  CASE WHEN reason IS NOT NULL THEN 'rejected' WHEN event_day < '{{first_day}}' THEN 'late' END AS fate,
  CASE WHEN reason IS NOT NULL THEN struct(reason, file_name, line) END AS aside,
  coalesce(CASE WHEN reason IS NULL THEN `{{id}}` END, concat(file_name, ':', line)) AS id_or_line
  [[optional||, reason IS NULL AND {value} IS NULL AND ({written}) AS `nulled {path}`]]
FROM judged
