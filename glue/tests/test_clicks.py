"""A click has three ids, its own first; everything else is as with impressions, in either language."""

import expectation
import nasty
from etl_runs import NASTY_DAYS, expected_ledger, expected_rejected, ledger, put, rejected_bytes

OWN_ID = '"click_id": "c1c1c1c1-0000-4000-8000-00000000000C", '


def clicks_of(lines):
    """The nasty impressions as clicks: what was the own id is the click's."""
    old, new = '"impression_id"', f'"impression_id": "{nasty.own_id(7)}", "click_id"'
    for hour, name, line, *_ in lines:
        click = line.replace(old, new, 1) if isinstance(line, str) else line.replace(old.encode(), new.encode(), 1)
        yield hour, name, click


def test_a_click_has_three_ids_and_the_nasty_input_ends_as_with_impressions(warehouse, engines):
    lines = [
        *clicks_of(nasty.LINES),
        ("2026-11-20 12", "ids.gz", nasty.GOOD),
        ("2026-11-20 12", "ids.gz", nasty.GOOD.replace("{", "{" + OWN_ID)),
        ("2026-11-20 12", "ids.gz", nasty.GOOD.replace("{", "{" + OWN_ID.replace("c1c1-", "c1c1"))),
        ("2026-11-20 12", "ids.gz", nasty.GOOD.replace("{", "{" + OWN_ID).replace(nasty.own_id(99), "7")),
    ]
    put(warehouse, "clicks", lines)
    wanted = expectation.lake(expectation.CLICKS, lines, nasty.LOOKBACK_DAYS)
    own = [row for row in wanted if row[0] == "c1c1c1c1-0000-4000-8000-00000000000c"]
    assert [row[1] for row in own] == [nasty.own_id(99)] and len(wanted) > 30
    rejected = expected_rejected(expectation.CLICKS, lines)
    assert {"missing click_id", "invalid click_id", "invalid impression_id", "early"} < {row[0] for row in rejected}
    for run in (engines.python, engines.scala):
        run(*NASTY_DAYS, table="clicks")
        assert warehouse.rows("clicks") == wanted
        assert rejected_bytes(warehouse) == rejected
        assert ledger(warehouse, "clicks") == expected_ledger(
            expectation.books(expectation.CLICKS, lines, nasty.LOOKBACK_DAYS)
        )
