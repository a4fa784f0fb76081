"""Runs the erasure, and reads its receipt."""

import json

import erase
import nasty

ID = "abcdef00-0000-4000-8000-00000000000a"


DAY = "2026-11-20"


DAY_PATH = "year=2026/month=11/day=20"


ARRIVED_PATH = f"{DAY_PATH}/arrived={DAY}"


DAY_KEYS = {"year": "2026", "month": "11", "day": "20"}


def arguments(*more: str, database: str = "d", data_path: str = "s3://b/data") -> list[str]:
    """The command line of the job."""
    line = f"erase.py --table_name AdTraffic --lookback_days 3 --attribution_days 1 --database {database}"
    return [*line.split(), "--data_path", data_path, *more]


def impression(event_id: str, ad_id: str, **more) -> str:
    return json.dumps(
        {"impression_id": event_id, "ad_id": ad_id, "occurred_at": f"{DAY} 10:00:00.000", **more}, ensure_ascii=False
    )


HIT, OTHER = impression(ID, nasty.AD).encode() + b"\n", b"other\n"


def run_erase(warehouse, capsys, *more: str) -> dict:
    capsys.readouterr()
    erase.main(arguments(*more, database=warehouse.database, data_path=warehouse.data_path))
    return json.loads(capsys.readouterr().out)


def kill(*_, **__):
    raise KeyboardInterrupt


def places(receipt: dict) -> set[tuple]:
    return {(place["place"], place["name"], place["count"]) for place in receipt["places"]}
