import json

import pytest
from pyspark.sql import Row

import load_ad_traffic


class Table:
    """A DynamoDB client that stores items, hands back as unprocessed what the script says, and remembers batches."""

    def __init__(self, unprocessed_counts=()):
        self.unprocessed_counts = list(unprocessed_counts)
        self.items, self.batches = {}, []

    def batch_write_item(self, RequestItems):
        ((name, requests),) = RequestItems.items()
        self.batches.append(len(requests))
        refused = self.unprocessed_counts.pop(0) if self.unprocessed_counts else 0
        for request in requests[refused:]:
            item = request["PutRequest"]["Item"]
            self.items[item["ad_id"]["S"], item["day"]["S"]] = item
        return {"UnprocessedItems": {name: requests[:refused]} if refused else {}}


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self):
        self.now = 0.0
        self.sleeps = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.sleeps.append(seconds)
        self.now += seconds


def items(count: int) -> list[dict]:
    return [
        load_ad_traffic.to_item(Row(ad_id=f"ad-{number}", day="2026-11-20", impressions=number, clicks=0))
        for number in range(count)
    ]


def write(table, count, write_rate=0.0):
    clock = Clock()
    written = load_ad_traffic.write_items(table, "AdTraffic", iter(items(count)), write_rate, clock.sleep, clock)
    return written, clock


def test_an_item_has_the_keys_and_numbers_of_its_row():
    row = Row(ad_id="a", day="2026-11-20", impressions=12345678901, clicks=0)
    assert load_ad_traffic.to_item(row) == {
        "ad_id": {"S": "a"},
        "day": {"S": "2026-11-20"},
        "impressions": {"N": "12345678901"},
        "clicks": {"N": "0"},
    }


@pytest.mark.parametrize(("count", "batches"), [(0, []), (1, [1]), (25, [25]), (26, [25, 1]), (51, [25, 25, 1])])
def test_batches_are_at_most_25_items(count, batches):
    table = Table()
    assert write(table, count)[0] == count
    assert table.batches == batches
    assert len(table.items) == count


def test_only_unprocessed_items_are_sent_again_after_a_wait():
    table = Table(unprocessed_counts=[10, 3, 0, 0])
    written, clock = write(table, 30)
    assert written == 30
    assert table.batches == [25, 10, 3, 5]
    assert len(table.items) == 30
    assert len(clock.sleeps) == 2


def test_waits_grow_and_have_an_upper_limit(monkeypatch):
    monkeypatch.setattr(load_ad_traffic.random, "uniform", lambda low, high: high)
    table = Table(unprocessed_counts=[1] * (load_ad_traffic.MAX_ATTEMPTS - 1))
    _, clock = write(table, 1)
    assert clock.sleeps[:3] == [0.1, 0.2, 0.4]
    assert clock.sleeps == sorted(clock.sleeps)
    assert clock.sleeps[-1] == load_ad_traffic.MAX_WAIT_SECONDS


def test_items_that_stay_unprocessed_fail_the_job():
    table = Table(unprocessed_counts=[7] * 100)
    with pytest.raises(load_ad_traffic.NotStored, match="7 items of AdTraffic"):
        write(table, 25)
    assert len(table.batches) == load_ad_traffic.MAX_ATTEMPTS


def test_the_write_rate_is_kept():
    _, clock = write(Table(), 1000, write_rate=100.0)
    assert clock.now == pytest.approx((1000 - 25) / 100)
    _, unlimited = write(Table(), 1000)
    assert unlimited.now == 0


def test_transform_takes_the_rows_of_the_day(spark):
    rows = [("a", 2, 1, "2026", "11", "20"), ("b", 1, 0, "2026", "11", "21"), ("c", 1, 0, "2026", "10", "20")]
    frame = spark.createDataFrame(rows, "ad_id string, impressions bigint, clicks bigint, year string, month string, day string")
    result = load_ad_traffic.transform(frame, "2026-11-20")
    assert result.dtypes == [("ad_id", "string"), ("day", "string"), ("impressions", "bigint"), ("clicks", "bigint")]
    assert [tuple(row) for row in result.collect()] == [("a", "2026-11-20", 2, 1)]


def test_the_executors_write_every_row(warehouse, tmp_path, monkeypatch):
    ads = [f"ad-{number}" for number in range(60)]
    day_keys = {"year": "2026", "month": "11", "day": "20"}
    warehouse.insert("ad_traffic", [{"ad_id": ad, "impressions": 3, "clicks": 1} | day_keys for ad in ads])
    stored = tmp_path / "stored"
    stored.mkdir()

    def partition_writer(table_name, region, write_rate):
        def write(rows):
            import uuid

            content = [{"table": table_name, "rate": write_rate} | row.asDict() for row in rows]
            (stored / uuid.uuid4().hex).write_text(json.dumps(content), encoding="utf-8")

        return write

    monkeypatch.setattr(load_ad_traffic, "partition_writer", partition_writer)
    arguments = ["--database", warehouse.database, "--table_name", "AdTraffic", "--day", "2026-11-20", "--write_rate", "50"]
    load_ad_traffic.main(["load_ad_traffic.py", *arguments])
    rows = [row for file in stored.iterdir() for row in json.loads(file.read_text(encoding="utf-8"))]
    assert sorted(row["ad_id"] for row in rows) == sorted(ads)
    assert rows[0] | {"ad_id": ""} == {
        "table": "AdTraffic", "rate": 25.0, "ad_id": "", "day": "2026-11-20", "impressions": 3, "clicks": 1,
    }  # fmt: skip
