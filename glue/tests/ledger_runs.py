"""Runs the check of the books, and reads what it printed and published."""

import json
from datetime import UTC, datetime, timedelta

import ledger

DAY = datetime(2026, 11, 20, tzinfo=UTC)


NOW = datetime(2026, 11, 21, 2, 30, tzinfo=UTC)


FIGURES = ("raw", "kept", "repeats", "rejected", "late", "stored", "undelivered")


LOOKBACK_DAYS = 3


def figures(*values: int, run: str = "2026-11-21 01:00") -> dict:
    """A row of a run of five minutes, as the job reads it."""
    started = datetime.fromisoformat(f"{run}+00:00")
    times = {"started_at": started, "decided_at": started + timedelta(minutes=5)}
    return dict(zip(FIGURES, values, strict=True)) | times


BALANCED = figures(10, 6, 2, 1, 1, 6, 0)


NO_LINES = figures(0, 0, 0, 0, 0, 0, 0)


ARGUMENTS = ["ledger.py", "--stack", "w", "--day", "2026-11-20", "--lookback_days", str(LOOKBACK_DAYS)]


def run_ledger(warehouse, **rows: dict) -> None:
    """Runs the job for 2026-11-20, with these rows of that day and one of clicks of the day before."""
    keys = {"year": "2026", "month": "11"}
    added = [{"table_name": table, **row, **keys, "day": "20"} for table, row in rows.items()]
    added.append({"table_name": "clicks", **figures(0, 0, 0, 0, 0, 0, 0, run="2026-11-20 01:00"), **keys, "day": "19"})
    put_rows(warehouse, added)
    ledger.main([*ARGUMENTS, "--database", warehouse.database])


def put_rows(warehouse, rows: list[dict]) -> None:
    times = ({name: f"{row[name]:%Y-%m-%d %H:%M:%S}" for name in ("started_at", "decided_at")} for row in rows)
    warehouse.insert("ledger", [row | moments for row, moments in zip(rows, times, strict=True)])


def printed(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def published(data: list[dict]) -> dict[tuple[str, str], tuple[float, datetime]]:
    assert all(metric["Unit"] == "Count" for metric in data)
    found = {}
    for metric in data:
        ((table,),) = [[dimension["Value"] for dimension in metric["Dimensions"] if dimension["Name"] == "Table"]]
        found[metric["MetricName"], table] = metric["Value"], metric["Timestamp"]
    assert len(found) == len(data)
    return found
