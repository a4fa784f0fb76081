"""Runs at the same time: of one day, and of neighbours."""

import threading
import time

import etl
import expectation
import nasty
from etl_runs import ledger, put
from lake import session
from support.spark import ROOT

DAY, NEXT = "2026-11-20", "2026-11-21"


def run_at_once(warehouse, *days: str) -> tuple[list[Exception | None], list[dict]]:
    """Runs the days in separate sessions, like jobs; returns their exceptions, and what a reader saw."""
    raised: list[Exception | None] = [None] * len(days)

    def run(place: int, day: str) -> None:
        spark = warehouse.spark.newSession()
        for name, value in (session.SETTINGS | etl.SETTINGS).items():
            spark.conf.set(name, value)
        given = {"table": "impressions", "day": day, "database": warehouse.database, "data_path": warehouse.data_path}
        given |= {"lookback_days": str(nasty.LOOKBACK_DAYS), "sql": f"file://{ROOT}/glue/sql"}
        try:
            etl.run(
                spark,
                etl.parse_arguments(
                    ["etl.py", *(part for item in given.items() for part in (f"--{item[0]}", item[1]))]
                ),
            )
        except Exception as error:
            raised[place] = error

    threads = [threading.Thread(target=run, args=item) for item in enumerate(days)]
    for thread in threads:
        thread.start()
    seen = []
    while any(thread.is_alive() for thread in threads):
        seen.append(read(warehouse))
        time.sleep(0.2)
    for thread in threads:
        thread.join()
    return raised, [rows for rows in seen if rows is not None]


def read(warehouse) -> dict[str, list] | None:
    """The ids by event day, as a reader of the catalog sees them now; None if files vanished meanwhile."""
    try:
        warehouse.spark.catalog.refreshTable("dataless.impressions")
        rows = (
            warehouse.spark.table("dataless.impressions")
            .select("year", "month", "day", "arrived", "impression_id")
            .collect()
        )
    except Exception as error:
        assert "FileNotFound" in str(error) or "does not exist" in str(error) or "FILE_NOT_EXIST" in str(error), error
        return None
    found: dict[tuple, list] = {}
    for *keys, own_id in map(tuple, rows):
        found.setdefault(tuple(keys), []).append(own_id)
    return {keys: sorted(ids) for keys, ids in found.items()}


def lines_of(*days: str) -> list[tuple]:
    return [line for line in nasty.LINES if line[0][:10] in days]


def expected(lines) -> dict[tuple, list]:
    found: dict[tuple, list] = {}
    for row in expectation.lake(expectation.IMPRESSIONS, lines, nasty.LOOKBACK_DAYS):
        found.setdefault(row[4:], []).append(row[0])
    return {keys: sorted(ids) for keys, ids in found.items()}


def check_books(warehouse, lines, *days: str) -> None:
    books = expectation.books(expectation.IMPRESSIONS, lines, nasty.LOOKBACK_DAYS)
    for day in days:
        row = ledger(warehouse)[day]
        assert {name: row[name] for name in books[day]} == dict(books[day])
        assert row["stored"] == row["kept"]


def test_of_two_runs_of_a_day_each_partition_is_one_or_the_other_and_the_books_close(warehouse):
    lines = lines_of(DAY)
    put(warehouse, "impressions", lines)
    raised, seen = run_at_once(warehouse, DAY, DAY)
    whole = expected(lines)
    for rows in seen:
        assert all(ids == whole[keys] for keys, ids in rows.items())
    assert None in raised, raised
    assert read(warehouse) == whole
    # One may have failed while the other replaced the files that it counted. Then the day has the other one's books.
    check_books(warehouse, lines, DAY)
    assert run_at_once(warehouse, DAY)[0] == [None]
    assert read(warehouse) == whole
    check_books(warehouse, lines, DAY)


def test_of_neighbours_that_ran_at_once_the_later_is_stale_and_right_when_it_runs_again(warehouse):
    lines = lines_of(DAY, NEXT)
    put(warehouse, "impressions", lines)
    raised, seen = run_at_once(warehouse, DAY, NEXT)
    assert raised == [None, None]
    whole = expected(lines)
    for rows in seen:
        assert all(ids == whole[keys] for keys, ids in rows.items() if keys[3] == DAY)
    times = {row.day: row for row in warehouse.spark.table("dataless.ledger").collect()}
    assert times["20"].decided_at > times["21"].started_at
    assert run_at_once(warehouse, NEXT)[0] == [None]
    assert read(warehouse) == whole
    check_books(warehouse, lines, DAY, NEXT)
    assert ledger(warehouse).keys() == {DAY, NEXT}
