"""Raw impressions with everything that can go wrong, each line with its fate according to `docs/lake.md`.

A line is (hour of arrival, file name, line, fate); the look-back is 3 days. The line is text, or bytes where it is
none. Their order counts: what comes first in an object is at its start.
"""

import json

LOOKBACK_DAYS = 3
AD = "ad000000-0000-4000-8000-000000000001"
OTHER_AD = "ad000000-0000-4000-8000-000000000002"


def own_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def impression(number: int, occurred_at: object, ad_id: object = AD, **more: object) -> str:
    return json.dumps({"impression_id": own_id(number), "ad_id": ad_id, "occurred_at": occurred_at, **more})


def with_member(number: int, member: str) -> str:
    """An impression with an additional member, as JSON."""
    return f"{impression(number, NOON)[:-1]}, {member}}}"


def without(field: str, number: int) -> str:
    fields = json.loads(impression(number, "2026-11-20 10:00:00.000"))
    return json.dumps({name: value for name, value in fields.items() if name != field})


NOON = "2026-11-20 12:00:00.000"
GOOD = impression(99, NOON)

LINES = [
    # Valid: immediately, at both ends of the day, without milliseconds.
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
    # An id in capitals is the same id.
    ("2026-11-20 10", "e.gz", impression(14, "2026-11-20 10:00:00.000").replace("ad00", "AD00"), "kept"),
    # An id with another day: it is a repeat if a copy arrived in the last hour before that day, or later.
    ("2026-11-20 23", "a.gz", impression(20, "2026-11-20 23:59:59.000"), "kept"),
    ("2026-11-21 00", "a.gz", impression(20, "2026-11-21 00:00:01.000"), "repeats"),
    ("2026-11-21 09", "a.gz", impression(21, "2026-11-21 09:00:00.000"), "kept"),
    ("2026-11-21 10", "a.gz", impression(21, "2026-11-20 09:00:00.000"), "repeats"),
    ("2026-11-21 11", "a.gz", impression(21, "2026-11-21 09:00:00.000"), "repeats"),
    # What arrived more than an hour before the day began cannot be a copy of an event of that day.
    ("2026-11-20 22", "a.gz", impression(22, "2026-11-20 22:00:00.000"), "kept"),
    ("2026-11-21 08", "a.gz", impression(22, "2026-11-21 08:00:00.000"), "kept"),
    # The last line's window has only a repeat, and no repeat makes another: the kept line arrived before the window.
    ("2026-11-20 12", "a.gz", impression(23, "2026-11-20 12:00:00.000"), "kept"),
    ("2026-11-20 23", "a.gz", impression(23, "2026-11-20 12:00:00.000"), "repeats"),
    ("2026-11-21 01", "a.gz", impression(23, "2026-11-21 01:00:00.000"), "kept"),
    ("2026-11-21 01", "a.gz", impression(23, "2026-11-21 01:00:00.000"), "repeats"),
    ("2026-11-21 02", "a.gz", impression(23, "2026-11-20 12:00:00.000"), "repeats"),
    # The same within an hour: a copy of today's event comes between two of tomorrow's.
    ("2026-11-20 22", "a.gz", impression(24, "2026-11-20 22:00:00.000"), "kept"),
    ("2026-11-20 23", "a.gz", impression(24, "2026-11-21 00:10:00.000"), "kept"),
    ("2026-11-20 23", "b.gz", impression(24, "2026-11-20 22:00:00.000"), "repeats"),
    ("2026-11-20 23", "c.gz", impression(24, "2026-11-21 00:20:00.000"), "repeats"),
    ("2026-11-22 07", "a.gz", impression(24, "2026-11-21 00:10:00.000"), "repeats"),
    # Today's event arrives in the last hour too, so tomorrow's may be its copy.
    ("2026-11-20 23", "a.gz", impression(27, "2026-11-20 23:10:00.000"), "kept"),
    ("2026-11-20 23", "b.gz", impression(27, "2026-11-21 00:10:00.000"), "repeats"),
    ("2026-11-21 09", "a.gz", impression(27, "2026-11-21 00:10:00.000"), "repeats"),
    # One id on three days: each event is kept, since its window begins after the one before.
    ("2026-11-19 12", "a.gz", impression(25, "2026-11-19 12:00:00.000"), "kept"),
    ("2026-11-20 12", "a.gz", impression(25, "2026-11-20 12:00:00.000"), "kept"),
    ("2026-11-21 12", "a.gz", impression(25, "2026-11-21 12:00:00.000"), "kept"),
    ("2026-11-23 12", "a.gz", impression(25, "2026-11-21 12:00:00.000"), "repeats"),
    ("2026-11-23 13", "a.gz", impression(25, "2026-11-23 13:00:00.000"), "kept"),
    # The same with days in between: the 17th decides about the line of the 20th, and that about the 21st.
    ("2026-11-17 12", "a.gz", impression(26, "2026-11-17 12:00:00.000"), "kept"),
    ("2026-11-20 23", "a.gz", impression(26, "2026-11-17 12:00:00.000"), "repeats"),
    ("2026-11-21 01", "a.gz", impression(26, "2026-11-21 01:00:00.000"), "kept"),
    # Late: on the last day of the look-back, and one day after it. A late line never makes another one a repeat.
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
    # An unknown field does not make a line invalid.
    ("2026-11-20 12", "a.gz", impression(50, NOON, campaign="spring", price=1.5, tags=["a", {"b": None}]), "kept"),
    ("2026-11-20 12", "a.gz", impression(51, NOON, note='a } brace { in } a \\ "text" — für Ödön 🦀'), "kept"),
    ("2026-11-20 12", "a.gz", "\t " + impression(52, NOON) + " \r", "kept"),
    ("2026-11-20 12", "a.gz", impression(53, NOON, note="\u2028 \u0000 \ud83e\udd80"), "kept"),
    # Numbers of any length and any depth are JSON.
    ("2026-11-20 12", "a.gz", with_member(100, f'"n": {"7" * 1001}'), "kept"),
    ("2026-11-20 12", "a.gz", with_member(101, f'"n": -0.{"7" * 1001}e-{"7" * 30}'), "kept"),
    ("2026-11-20 12", "a.gz", with_member(102, f'"n": {"[" * 2000}{"]" * 2000}'), "kept"),
    ("2026-11-20 12", "a.gz", with_member(103, '"n": ' + '{"n": ' * 2000 + "1" + "}" * 2000), "kept"),
    ("2026-11-20 12", "a.gz", with_member(104, f'"n": {"[" * 2000}{"]" * 1999}'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(105, f'"n": 0{"7" * 1001}'), "malformed"),
    # A byte order mark at the start of a line is not part of it, whether or not the line is the first of its object.
    ("2026-11-20 12", "bom.gz", "\ufeff" + impression(110, NOON), "kept"),
    ("2026-11-20 12", "bom.gz", impression(111, NOON), "kept"),
    ("2026-11-20 12", "bom.gz", "\ufeff" + impression(112, NOON), "kept"),
    ("2026-11-20 12", "bom.gz", "\ufeff\ufeff" + impression(113, NOON), "kept"),
    ("2026-11-20 12", "bom.gz", "\ufeff", "blank"),
    ("2026-11-20 12", "bom.gz", "\ufeff \r", "blank"),
    ("2026-11-20 12", "bom.gz", " \ufeff" + impression(114, NOON), "malformed"),
    ("2026-11-20 12", "bom.gz", impression(115, NOON) + "\ufeff", "malformed"),
    ("2026-11-20 12", "bom.gz", impression(116, NOON).replace(", ", ",\ufeff", 1), "malformed"),
    ("2026-11-20 12", "bom.gz", with_member(117, '"\ufeff": "\ufeff"'), "kept"),
    ("2026-11-20 12", "two-boms.gz", "\ufeff\ufeff" + impression(118, NOON), "kept"),
    ("2026-11-20 12", "blank-bom.gz", "\ufeff", "blank"),
    ("2026-11-20 12", "wide.gz", impression(119, NOON).encode("utf-16"), "malformed"),
    # Bytes that are not UTF-8, anywhere. U+FFFD, by which readers replace them, is a character like any other.
    ("2026-11-20 12", "a.gz", with_member(120, '"note": "ü"').encode("latin-1"), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(121, '"ü": 1').encode("latin-1"), "malformed"),
    ("2026-11-20 12", "a.gz", impression(122, NOON).encode() + b"\xff", "malformed"),
    ("2026-11-20 12", "a.gz", b"\xfe\xff" + impression(123, NOON).encode(), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(124, '"note": "?"').encode().replace(b"?", b"\xc0\xaf"), "malformed"),
    (
        "2026-11-20 12",
        "a.gz",
        with_member(125, '"note": "?"').encode().replace(b"?", b"\xed\xa0\xbe\xed\xb6\x80"),
        "malformed",
    ),
    ("2026-11-20 12", "a.gz", with_member(126, '"note": "?"').encode().replace(b"?", b"\xf4\x90\x80\x80"), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(127, '"note": "?"').encode().replace(b"?", b"\xf0\x9f\xa6"), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(128, '"note": "{\ufffd}"'), "kept"),
    ("2026-11-20 12", "a.gz", with_member(129, '"note": "\\ufffd \uffff \U0010ffff"'), "kept"),
    ("2026-11-20 12", "a.gz", b"\xef\xbb", "malformed"),
    # Half a surrogate pair is not a character, in a value, a name or deeper. `\\u` is not an escape.
    ("2026-11-20 12", "a.gz", with_member(130, r'"note": "cut \ud83e"'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(131, r'"note": "\uDD80 cut"'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(132, r'"note": "\udd80\ud83e"'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(133, r'"note": "\ud83e\ud83e\udd80"'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(134, r'"note": "\ud83e \udd80"'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(135, r'"note": "\ud83e\\udd80"'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(136, r'"\ud83e": 1'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(137, r'"n": [{"a": ["\ud83e"]}]'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(138, r'"note": "\ud83e", "more": "\udd80"'), "malformed"),
    (
        "2026-11-20 12",
        "a.gz",
        with_member(139, r'"note": "\uD83E\udD80 \\ud83e \\\\udd80 \\\ud83e\udd80 \ud7ff \ue000"'),
        "kept",
    ),
    # The last of several members with the same name counts.
    ("2026-11-20 12", "a.gz", with_member(140, f'"ad_id": "{OTHER_AD}"'), "kept"),
    ("2026-11-20 12", "a.gz", with_member(141, f'"impression_id": "{own_id(142)}"'), "kept"),
    ("2026-11-20 12", "b.gz", impression(142, NOON), "repeats"),
    ("2026-11-20 12", "b.gz", impression(141, NOON), "kept"),
    ("2026-11-20 12", "a.gz", with_member(143, '"occurred_at": "2026-11-20 13:00:00.000"'), "kept"),
    ("2026-11-20 12", "a.gz", with_member(144, '"ad_id": null'), "missing ad_id"),
    ("2026-11-20 12", "a.gz", with_member(145, '"ad_id": 7'), "invalid ad_id"),
    ("2026-11-20 12", "a.gz", with_member(146, '"occurred_at": {}'), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", with_member(147, '"occurred_at": "2026-11-20 14:00:00"'), "early"),
    ("2026-11-20 12", "a.gz", with_member(148, '"n": 1, "n": 2, "": 3, "": 4'), "kept"),
    ("2026-11-20 12", "a.gz", impression(149, NOON, n={"ad_id": 7, "impression_id": None}), "kept"),
    ("2026-11-20 12", "a.gz", impression(150, NOON).replace("ad_id", r"ad\u005fid"), "kept"),
    # No events.
    ("2026-11-20 12", "a.gz", "", "blank"),
    ("2026-11-20 12", "a.gz", " \t\r", "blank"),
    ("2026-11-20 12", "a.gz", "\f\v", "blank"),
    ("2026-11-20 12", "a.gz", "\u00a0", "malformed"),
    ("2026-11-20 12", "a.gz", "\x1c", "malformed"),
    ("2026-11-20 12", "a.gz", "\u2028", "malformed"),
    ("2026-11-20 12", "a.gz", "\0", "malformed"),
    ("2026-11-20 12", "a.gz", "\0" + GOOD, "malformed"),
    ("2026-11-20 12", "a.gz", GOOD + "\0", "malformed"),
    ("2026-11-20 12", "a.gz", GOOD + ',"e":' + GOOD, "malformed"),
    ("2026-11-20 12", "a.gz", GOOD + ',"e":1', "malformed"),
    ("2026-11-20 12", "a.gz", GOOD + '},{"e":' + GOOD, "malformed"),
    ("2026-11-20 12", "a.gz", '"e":' + GOOD, "malformed"),
    ("2026-11-20 12", "a.gz", "{" + GOOD + "}", "malformed"),
    ("2026-11-20 12", "a.gz", with_member(151, '"n": [1,]'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(152, '"n": NaN'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(153, '"n": -Infinity'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(154, '"n": 1,'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(155, '"n": +1'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(156, '"n": .5'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(157, '"n": 5.'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(158, '"n": 1e'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(159, '"n": 0x7'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(160, '"n": True'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(161, "n: 1"), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(162, '"n" 1'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(163, '"n": "\t"'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(164, '"n": "\0"'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(165, '"n": "\x7f\x80"'), "kept"),
    ("2026-11-20 12", "a.gz", with_member(166, r'"n": "\x41"'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(167, r'"n": "\u00g0"'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(168, r'"n": "\"'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(169, '"n": 1 /* none */'), "malformed"),
    ("2026-11-20 12", "a.gz", impression(170, NOON) + " // none", "malformed"),
    ("2026-11-20 12", "a.gz", with_member(171, r'"n": "\/\b\f\n\r\t\u0000\u007F"'), "kept"),
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
    # White space that JSON does not allow.
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
    ("2026-11-20 12", "a.gz", impression(75, NOON, ad_id="\u0660" + AD[1:]), "invalid ad_id"),
    ("2026-11-20 12", "a.gz", impression(76, 1763640000), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(77, ""), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(78, "2026-11-20"), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(79, "2026-11-20T12:00:00.000Z"), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(80, "2026-11-20 12:00:00.000 "), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(81, "2026-02-30 12:00:00.000"), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(82, "2026-11-20 24:00:00.000"), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(83, "2026-11-20 11:59:60.000"), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(84, "2026-11-20 12:00:00.0001"), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(85, "2026-11-20 12:00:00."), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(86, "2026-11-20 12:00"), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(87, "0000-11-20 12:00:00"), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(88, "0001-01-01 00:00:00"), "late"),
    ("2026-11-20 12", "a.gz", impression(89, "2025-02-29 12:00:00"), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(90, "٢٠٢٦-11-20 12:00:00"), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(91, NOON + "\0"), "invalid occurred_at"),
    ("2026-11-20 12", "a.gz", impression(92, NOON, ad_id=AD + "\0"), "invalid ad_id"),
    ("2026-11-20 12", "a.gz", impression(93, NOON, ad_id=" " + AD), "invalid ad_id"),
    # Escapes in names are decoded; half a pair may be written in capitals.
    ("2026-11-20 12", "a.gz", with_member(180, r'"ad\u005fid": null'), "missing ad_id"),
    ("2026-11-20 12", "a.gz", with_member(181, r'"ad_id\u0000": null'), "kept"),
    ("2026-11-20 12", "a.gz", with_member(182, r'"note": "\uDBFF"'), "malformed"),
    # More than any writer produces: byte order marks, carriage returns, digits of an exponent, bytes in a line, levels.
    ("2026-11-20 12", "a.gz", "\ufeff" * 1000 + impression(183, NOON), "kept"),
    ("2026-11-20 12", "a.gz", "\ufeff\r\r" + impression(184, NOON) + "\r\r", "kept"),
    ("2026-11-20 12", "a.gz", with_member(185, f'"n": [1e{"9" * 300}, {"9" * 400}E-{"9" * 9}, -0e+0]'), "kept"),
    ("2026-11-20 12", "a.gz", with_member(186, f'"note": "{"x" * 1_200_000}"'), "kept"),
    ("2026-11-20 12", "a.gz", with_member(187, f'"n": {"[" * 8000}{"]" * 8000}'), "kept"),
    # Unicode's blanks are characters in text, and not white space between tokens.
    ("2026-11-20 12", "a.gz", with_member(188, '"note": "\u2028\u2029\u0085\u00a0\u3000\ufeff"'), "kept"),
    ("2026-11-20 12", "a.gz", with_member(189, '"n":\u00a01'), "malformed"),
    ("2026-11-20 12", "a.gz", with_member(190, '"n":1\u2028'), "malformed"),
    ("2026-11-20 12", "a.gz", "\u3000" + impression(191, NOON), "malformed"),
    ("2026-11-20 12", "a.gz", impression(192, NOON) + "\u0085", "malformed"),
]

# The copy in the first object is kept, by the bytes of the object's real name, which is neither decoded nor a pattern.
ODD_NAMES = [
    ("2026-11-20 12", name, impression(number, NOON), "kept" if place == 0 else "repeats")
    for number, names in enumerate(
        [
            ["a b.gz", "a!b.gz"],
            ["a+b.gz", "a-b.gz"],
            ["a b.gz", "a%20b.gz", "a+b.gz"],
            ["a%21b.gz", "a+b.gz"],
            ["a%2Fb.gz", "a%b.gz", "a%zz.gz", "a%é.gz"],
            ["a#b.gz", "a$b.gz", "a&b.gz"],
            ["10:15:30.gz", "10;15.gz"],
            ["a:b.gz", "a=b.gz", "aÄ.gz", "aü.gz", "a\uffff.gz", "a🦀.gz"],
            ["B.gz", "a.gz"],
            ["[a].gz", "a*.gz", "a?.gz", "b^.gz", "{a,b}.gz"],
        ],
        start=200,
    )
    for place, name in enumerate(names)
]

FATES = ("kept", "repeats", "late")
