"""Raw impressions with everything that goes wrong in them, each line with the fate that `docs/lake.md` gives it.

A line is (hour of arrival, file name, line, fate); the look-back is 3 days.
"""

import json

LOOKBACK_DAYS = 3
AD = "ad000000-0000-4000-8000-000000000001"
OTHER_AD = "ad000000-0000-4000-8000-000000000002"


def own_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def impression(number: int, occurred_at: str, ad_id: str = AD, **more) -> str:
    return json.dumps({"impression_id": own_id(number), "ad_id": ad_id, "occurred_at": occurred_at, **more})


def without(field: str, number: int) -> str:
    fields = json.loads(impression(number, "2026-11-20 10:00:00.000"))
    return json.dumps({name: value for name, value in fields.items() if name != field})


NOON = "2026-11-20 12:00:00.000"
GOOD = impression(99, NOON)

LINES = [
    # As it should be: at once, at both ends of the day, a week's first and last millisecond of the hour.
    ("2026-11-20 10", "a.gz", impression(1, "2026-11-20 10:15:30.123"), "kept"),
    ("2026-11-20 00", "a.gz", impression(2, "2026-11-20 00:00:00.000"), "kept"),
    ("2026-11-20 23", "a.gz", impression(3, "2026-11-20 23:59:59.999"), "kept"),
    ("2026-11-21 00", "a.gz", impression(4, "2026-11-20 23:59:59.999"), "kept"),
    ("2026-11-20 10", "a.gz", impression(5, "2026-11-20 10:15:31"), "kept"),
    # Repeats: in one file, in one hour, hours and days later. The earliest arrival wins, whatever its content.
    ("2026-11-20 10", "b.gz", impression(1, "2026-11-20 10:15:30.123"), "repeats"),
    ("2026-11-20 11", "a.gz", impression(1, "2026-11-20 10:15:30.123"), "repeats"),
    ("2026-11-23 09", "a.gz", impression(1, "2026-11-20 10:15:30.123"), "repeats"),
    ("2026-11-20 10", "c.gz", impression(10, "2026-11-20 10:00:00.002", OTHER_AD), "repeats"),
    ("2026-11-20 10", "b.gz", impression(10, "2026-11-20 10:00:00.009"), "kept"),
    ("2026-11-20 10", "c.gz", impression(10, "2026-11-20 10:00:00.001"), "repeats"),
    ("2026-11-20 10", "d.gz", impression(11, "2026-11-20 10:00:00.002"), "repeats"),
    ("2026-11-20 10", "d.gz", impression(11, "2026-11-20 10:00:00.001"), "kept"),
    ("2026-11-20 10", "d.gz", impression(12, "2026-11-20 10:00:00.001", OTHER_AD), "repeats"),
    ("2026-11-20 10", "d.gz", impression(12, "2026-11-20 10:00:00.001"), "kept"),
    ("2026-11-20 10", "e.gz", impression(13, NOON.replace("12:", "10:")), "kept"),
    ("2026-11-20 10", "e.gz", impression(13, NOON.replace("12:", "10:")), "repeats"),
    ("2026-11-20 10", "e.gz", impression(13, NOON.replace("12:", "10:")), "repeats"),
    # One id in capitals is the same id.
    ("2026-11-20 10", "e.gz", impression(14, "2026-11-20 10:00:00.000").replace("ad00", "AD00"), "kept"),
    # An id repeated with another day: a copy that arrived in the last hour before that day, or since, makes it a repeat.
    ("2026-11-20 23", "a.gz", impression(20, "2026-11-20 23:59:59.000"), "kept"),
    ("2026-11-21 00", "a.gz", impression(20, "2026-11-21 00:00:01.000"), "repeats"),
    ("2026-11-21 09", "a.gz", impression(21, "2026-11-21 09:00:00.000"), "kept"),
    ("2026-11-21 10", "a.gz", impression(21, "2026-11-20 09:00:00.000"), "repeats"),
    ("2026-11-21 11", "a.gz", impression(21, "2026-11-21 09:00:00.000"), "repeats"),
    # What arrived more than an hour before the day began can be no copy of an event of that day.
    ("2026-11-20 22", "a.gz", impression(22, "2026-11-20 22:00:00.000"), "kept"),
    ("2026-11-21 08", "a.gz", impression(22, "2026-11-21 08:00:00.000"), "kept"),
    # A repeat of a repeat, the first no longer in the window of the last.
    ("2026-11-20 12", "a.gz", impression(23, "2026-11-20 12:00:00.000"), "kept"),
    ("2026-11-20 23", "a.gz", impression(23, "2026-11-20 12:00:00.000"), "repeats"),
    ("2026-11-21 01", "a.gz", impression(23, "2026-11-21 01:00:00.000"), "repeats"),
    # Late: on the last day of the look-back, and one day after it; a late line makes nothing a repeat.
    ("2026-11-23 23", "a.gz", impression(30, "2026-11-20 00:00:00.000"), "kept"),
    ("2026-11-24 00", "a.gz", impression(31, "2026-11-20 23:59:59.999"), "late"),
    ("2026-11-24 00", "a.gz", impression(1, "2026-11-20 10:15:30.123"), "late"),
    ("2026-11-20 10", "a.gz", impression(32, "2026-11-16 23:59:59.999"), "late"),
    ("2026-11-20 11", "a.gz", impression(32, "2026-11-20 11:00:00.000"), "kept"),
    ("2026-11-20 11", "a.gz", impression(33, "2026-11-17 00:00:00.000"), "kept"),
    ("2026-11-20 11", "b.gz", impression(33, "2026-11-17 00:00:00.000"), "repeats"),
    ("2026-11-17 11", "b.gz", impression(34, "2026-11-17 11:00:00.000"), "kept"),
    ("2026-11-20 11", "b.gz", impression(34, "2026-11-17 11:00:00.000"), "repeats"),
    ("2026-11-20 11", "b.gz", impression(35, "1969-12-31 23:59:59.999"), "late"),
    # Early: clocks may be an hour ahead of the hour of arrival, not more.
    ("2026-11-19 23", "a.gz", impression(40, "2026-11-20 00:59:59.999"), "kept"),
    ("2026-11-20 07", "a.gz", impression(40, "2026-11-20 00:59:59.999"), "repeats"),
    ("2026-11-19 22", "a.gz", impression(41, "2026-11-19 23:59:59.999"), "kept"),
    ("2026-11-20 10", "a.gz", impression(42, "2026-11-20 12:00:00.000"), "early"),
    ("2026-11-20 12", "a.gz", impression(42, "2026-11-20 12:00:00.000"), "kept"),
    ("2026-11-20 12", "a.gz", impression(43, "9999-12-31 23:59:59.999"), "early"),
    # A field that this version does not know makes no line wrong.
    ("2026-11-20 12", "a.gz", impression(50, NOON, campaign="spring", price=1.5, tags=["a", {"b": None}]), "kept"),
    ("2026-11-20 12", "a.gz", impression(51, NOON, note="a } brace { in } a \\ \"text\" — für Ödön 🦀"), "kept"),
    ("2026-11-20 12", "a.gz", "\t " + impression(52, NOON) + " \r", "kept"),
    ("2026-11-20 12", "a.gz", impression(53, NOON, note="\u2028 \u0000 \ud83e\udd80"), "kept"),
    # No events.
    ("2026-11-20 12", "a.gz", "", "blank"),
    ("2026-11-20 12", "a.gz", " \t\r", "blank"),
    ("2026-11-20 12", "a.gz", "not json", "malformed"),
    ("2026-11-20 12", "a.gz", "für Ödön 🦀", "malformed"),
    ("2026-11-20 12", "a.gz", GOOD[:-1], "malformed"),
    ("2026-11-20 12", "a.gz", GOOD[1:], "malformed"),
    ("2026-11-20 12", "a.gz", GOOD + GOOD, "malformed"),
    ("2026-11-20 12", "a.gz", GOOD + " " + GOOD, "malformed"),
    ("2026-11-20 12", "a.gz", GOOD + "," + GOOD, "malformed"),
    ("2026-11-20 12", "a.gz", GOOD + ",", "malformed"),
    ("2026-11-20 12", "a.gz", GOOD + "]", "malformed"),
    ("2026-11-20 12", "a.gz", GOOD + "}", "malformed"),
    ("2026-11-20 12", "a.gz", GOOD + "] {}", "malformed"),
    ("2026-11-20 12", "a.gz", GOOD + "} {}", "malformed"),
    ("2026-11-20 12", "a.gz", GOOD + " rest", "malformed"),
    # White space that is none of JSON's.
    ("2026-11-20 12", "a.gz", GOOD + "\f", "malformed"),
    ("2026-11-20 12", "a.gz", "\v" + GOOD, "malformed"),
    ("2026-11-20 12", "a.gz", impression(54, NOON, tags=["a"]) + "\v", "malformed"),
    ("2026-11-20 12", "a.gz", f"[{GOOD}]", "malformed"),
    ("2026-11-20 12", "a.gz", f"[{GOOD},{GOOD}]", "malformed"),
    ("2026-11-20 12", "a.gz", f"[[{GOOD}]]", "malformed"),
    ("2026-11-20 12", "a.gz", '"text"', "malformed"),
    ("2026-11-20 12", "a.gz", "7", "malformed"),
    ("2026-11-20 12", "a.gz", "null", "malformed"),
    ("2026-11-20 12", "a.gz", GOOD.replace('"', "'"), "malformed"),
    ("2026-11-20 12", "a.gz", "{}", "missing impression_id"),
    ("2026-11-20 12", "a.gz", without("impression_id", 60), "missing impression_id"),
    ("2026-11-20 12", "a.gz", without("ad_id", 61), "missing ad_id"),
    ("2026-11-20 12", "a.gz", without("occurred_at", 62), "missing occurred_at"),
    ("2026-11-20 12", "a.gz", impression(63, NOON, impression_id=None), "missing impression_id"),
    ("2026-11-20 12", "a.gz", impression(64, NOON, ad_id=None), "missing ad_id"),
    ("2026-11-20 12", "a.gz", impression(65, None), "missing occurred_at"),
    ("2026-11-20 12", "a.gz", GOOD.replace("ad_id", "AD_ID"), "missing ad_id"),
    ("2026-11-20 12", "a.gz", impression(66, NOON, impression_id=7), "invalid impression_id"),
    ("2026-11-20 12", "a.gz", impression(67, NOON, ad_id=True), "invalid ad_id"),
    ("2026-11-20 12", "a.gz", impression(68, NOON, ad_id=[AD]), "invalid ad_id"),
    ("2026-11-20 12", "a.gz", impression(69, NOON, ad_id={"id": AD}), "invalid ad_id"),
    ("2026-11-20 12", "a.gz", impression(70, NOON, ad_id=""), "invalid ad_id"),
    ("2026-11-20 12", "a.gz", impression(71, NOON, ad_id=AD.replace("-", "")), "invalid ad_id"),
    ("2026-11-20 12", "a.gz", impression(72, NOON, ad_id=AD[:-1] + "g"), "invalid ad_id"),
    ("2026-11-20 12", "a.gz", impression(73, NOON, ad_id=AD + "\n"), "invalid ad_id"),
    ("2026-11-20 12", "a.gz", impression(74, NOON, ad_id="{" + AD + "}"), "invalid ad_id"),
    ("2026-11-20 12", "a.gz", impression(75, NOON, ad_id="٠" + AD[1:]), "invalid ad_id"),
    ("2026-11-20 12", "a.gz", impression(76, 1763640000), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(77, ""), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(78, "2026-11-20"), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(79, "2026-11-20T12:00:00.000Z"), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(80, "2026-11-20 12:00:00.000 "), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(81, "2026-02-30 12:00:00.000"), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(82, "2026-11-20 24:00:00.000"), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(83, "2026-11-20 11:59:60.000"), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(84, "2026-11-20 12:00:00.0001"), "invalid occurred_at"),
]

FATES = ("kept", "repeats", "late")
