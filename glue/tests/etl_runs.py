"""Runs the ETL, and reads what it wrote."""

import json
import random
import uuid
from collections import Counter
from datetime import datetime, timedelta

import etl
import expectation
import nasty
from support.spark import ROOT, raw_objects

# Every arrival day of the nasty input, in order.
NASTY_DAYS = sorted({hour[:10] for hour, *_ in nasty.LINES})


BYTE_ORDER_MARK = "\ufeff".encode()


BOOKS = ("raw", "kept", "repeats", "rejected", "late", "stored", "undelivered")


def run_etl(
    warehouse, *days: str, table: str = "impressions", lookback_days: int = nasty.LOOKBACK_DAYS, file_mb: int = 64
) -> None:
    for day in days:
        arguments = {
            "table": table,
            "day": day,
            "database": warehouse.database,
            "data_path": warehouse.data_path,
            "lookback_days": str(lookback_days),
            "sql": f"file://{ROOT}/glue/sql",
            "file_mb": str(file_mb),
        }
        etl.main(["etl.py", *(part for name, value in arguments.items() for part in (f"--{name}", value))])


def ledger(warehouse, table: str = "impressions") -> dict[str, dict[str, int]]:
    names = [name for name, _ in warehouse.schema("ledger")]
    rows = [dict(zip(names, row, strict=True)) for row in warehouse.rows("ledger")]
    return {
        "-".join((row["year"], row["month"], row["day"])): {name: row[name] for name in BOOKS}
        for row in rows
        if row["table_name"] == table
    }


def everything(warehouse) -> dict[str, list[tuple]]:
    """All rows that the job writes; the ledger's without times."""
    tables = {table: warehouse.rows(table) for table in ("impressions", "clicks", "rejected")}
    return tables | {"ledger": [ledger(warehouse, table) for table in ("impressions", "clicks")]}


def expected_ledger(books: dict[str, Counter]) -> dict[str, dict[str, int]]:
    names = ("raw", "kept", "repeats", "rejected", "late")
    return {
        day: {name: counts[name] for name in names} | {"stored": counts["kept"], "undelivered": 0}
        for day, counts in books.items()
    }


def rejected_bytes(warehouse) -> list[tuple]:
    """The rows of `rejected`, with lines as bytes: not all are text."""
    rows = warehouse.spark.table(f"{warehouse.database}.rejected").selectExpr(
        "reason", "source", "CAST(line AS binary) AS line", "table_name", "year", "month", "day"
    )
    return sorted(((row[0], row[1], bytes(row[2]), *row[3:]) for row in rows.collect()), key=repr)


def expected_rejected(table: dict, lines) -> list[tuple]:
    rows = []
    for decided in expectation.fates(table, lines, nasty.LOOKBACK_DAYS):
        if decided.reason:
            hour, name, line, *_ = decided.record
            content = (line.encode() if isinstance(line, str) else line).removeprefix(BYTE_ORDER_MARK)
            folder = "raw/ad/{}/year={}/month={}/day={}/hour={}/".format(
                table["name"], *hour.replace(" ", "-").split("-")
            )
            rows.append((decided.reason, folder + name, content, table["name"], *hour[:10].split("-")))
    return sorted(rows, key=repr)


def random_lines(table: dict, seed: str, days: int) -> list[tuple]:
    chance = random.Random(seed)
    start = datetime(2026, 11, 18)
    lines = []
    for _ in range(500):
        event = {name: f"{chance.randrange(90):08d}-0000-4000-8000-000000000000" for name in table["uuid"]}
        arrived = start + timedelta(days=chance.randrange(days), hours=chance.choice([0, 1, 12, 22, 23]))
        occurred = arrived + timedelta(
            seconds=chance.choice([-1, 1, 3599]) * chance.randrange(1, 80)
            - chance.choice([0, 0, 0, 3600, 86400, 2 * 86400, 3 * 86400])
        )
        event["occurred_at"] = f"{occurred:%Y-%m-%d %H:%M:%S}.{chance.randrange(1000):03d}"
        line = json.dumps(event)
        lines.append(
            (f"{arrived:%Y-%m-%d %H}", f"{chance.randrange(2)}.gz", line[:-1] if chance.random() < 0.02 else line)
        )
    return lines


def partitions(warehouse, table: str = "impressions") -> list[str]:
    return [row[0] for row in warehouse.spark.sql(f"SHOW PARTITIONS {warehouse.database}.{table}").collect()]


def run_folders(warehouse, table: str = "impressions", day: str = "2026-11-20") -> list[str]:
    """The runs of an arrival day that have files of rows."""
    folder = warehouse.folder / f"data/lake/ad/{table}/arrived={day}"
    return sorted({path.relative_to(folder).parts[0] for path in folder.rglob("*.orc")})


def put(warehouse, table: str, lines) -> None:
    for (hour, name), content in raw_objects(lines).items():
        warehouse.put_raw(table, hour, name, content)


def put_events_of_many_ads(warehouse, events: int, files: int) -> None:
    """Half of the ads share their first 8, 16 or 24 digits with another; half of the events are equal in ad and time,
    half of these in the first 16 digits of their ids.
    """
    chance = random.Random(1)
    ads = [some_id(f"ad {number}") for number in range(50)]
    for number, shared in zip(range(25), [9, 19, 28] * 9, strict=False):
        ads[number] = ads[number + 25][:shared] + ads[number][shared:]
    lines = []
    for number in range(events):
        second = chance.randrange(14 * 3600) if number % 2 else 0
        occurred_at = f"2026-11-20 {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{number % 2:03}"
        ad = chance.choice(ads) if number % 2 else ads[0]
        lines.append({"impression_id": id_of(number), "ad_id": ad, "occurred_at": occurred_at})
    texts = [json.dumps(line, separators=(",", ":")) for line in lines]
    warehouse.put_lines(
        "impressions", [("2026-11-20 12", f"{number % files}.gz", text) for number, text in enumerate(texts)]
    )


def id_of(number: int) -> str:
    return some_id(f"impression {number}") if number % 4 else nasty.own_id(number)


def some_id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def check_lake_files(warehouse, events: int, count: int) -> None:
    """The events are in this many files; each is sorted by ad, time and own id, in groups of 2,500 rows and zstd blocks
    of 64 KiB."""
    files = list(warehouse.folder.glob("data/lake/ad/impressions/**/*.orc"))
    assert len(files) == count and all(file.name.endswith(".zstd.orc") for file in files)
    ids = []
    for file in files:
        rows = warehouse.spark.read.orc(f"file://{file}").coalesce(1).collect()
        keys = [(row.ad_id, row.occurred_at, row.impression_id) for row in rows]
        assert keys == sorted(keys) and len({ad for ad, _, _ in keys}) == 50
        ids += [row.impression_id for row in rows]
        reader = orc_reader(warehouse.spark, file)
        assert (reader.getRowIndexStride(), reader.getCompressionSize()) == (2500, 65536)
    assert sorted(ids) == sorted(id_of(number) for number in range(events))


def orc_reader(spark, file):
    orc, hadoop = spark._jvm.org.apache.orc.OrcFile, spark._jvm.org.apache.hadoop
    return orc.createReader(hadoop.fs.Path(f"file://{file}"), orc.readerOptions(hadoop.conf.Configuration()))


def flags(arguments: dict[str, str]) -> list[str]:
    return ["etl.py", *(part for name, value in arguments.items() for part in (f"--{name}", value))]
