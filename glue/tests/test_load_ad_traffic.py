import json
import shutil

import pytest
from pyspark.sql import Row

import load_ad_traffic

DAY = "2026-11-20"


class Table:
    """A DynamoDB client that stores items, returns those of its script as unprocessed, and records batches."""

    def __init__(self, unprocessed_counts=()):
        self.unprocessed_counts = list(unprocessed_counts)
        self.items, self.batches = {}, []

    def batch_write_item(self, RequestItems):
        ((name, requests),) = RequestItems.items()
        self.batches.append(len(requests))
        refused = self.unprocessed_counts.pop(0) if self.unprocessed_counts else 0
        for request in requests[refused:]:
            if "DeleteRequest" in request:
                key = request["DeleteRequest"]["Key"]
                self.items.pop((key["ad_id"]["S"], key["day"]["S"]), None)
            else:
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


def requests(count: int) -> list[dict]:
    return [
        load_ad_traffic.to_request(Row(ad_id=f"ad-{number}", impressions=number, clicks=0), DAY)
        for number in range(count)
    ]


def write(table, count, write_rate=0.0):
    clock = Clock()
    written = load_ad_traffic.write_requests(table, "AdTraffic", iter(requests(count)), write_rate, clock.sleep, clock)
    return written, clock


def test_an_item_has_the_keys_and_numbers_of_its_row():
    assert load_ad_traffic.to_request(Row(ad_id="a", impressions=12345678901, clicks=0), DAY) == {
        "PutRequest": {
            "Item": {"ad_id": {"S": "a"}, "day": {"S": DAY}, "impressions": {"N": "12345678901"}, "clicks": {"N": "0"}}
        }
    }


def test_a_row_without_numbers_is_a_deletion_by_key():
    assert load_ad_traffic.to_request(Row(ad_id="a", impressions=None, clicks=None), DAY) == {
        "DeleteRequest": {"Key": {"ad_id": {"S": "a"}, "day": {"S": DAY}}}
    }


@pytest.mark.parametrize(("count", "batches"), [(0, []), (1, [1]), (25, [25]), (26, [25, 1]), (51, [25, 25, 1])])
def test_batches_are_at_most_25_items(count, batches):
    table = Table()
    assert write(table, count)[0] == (count, 0)
    assert table.batches == batches
    assert len(table.items) == count


def test_only_unprocessed_items_are_sent_again_after_a_wait():
    table = Table(unprocessed_counts=[10, 3, 0, 0])
    written, clock = write(table, 30)
    assert written == (30, 0)
    assert table.batches == [25, 10, 3, 5]
    assert len(table.items) == 30
    assert len(clock.sleeps) == 2


def test_half_an_answer_says_nothing_of_any_item():
    table = Table(unprocessed_counts=[10, 0])
    whole = table.batch_write_item
    answers = iter([{"ResponseMetadata": {"HTTPStatusCode": 200}}])

    def cut_once(**arguments):
        answer = whole(**arguments)
        return next(answers, answer)

    table.batch_write_item = cut_once
    assert write(table, 25)[0] == (25, 0)
    # Ten were not processed, but the answer was lost: all 25 are sent again.
    assert table.batches == [25, 25]
    assert len(table.items) == 25


def test_puts_and_deletions_share_batches_and_are_counted_apart():
    table = Table(unprocessed_counts=[2])
    write(table, 3)
    gone = load_ad_traffic.to_request(Row(ad_id="ad-1", impressions=None, clicks=None), DAY)
    clock = Clock()
    assert load_ad_traffic.write_requests(table, "AdTraffic", [gone, *requests(1)], 0, clock.sleep, clock) == (1, 1)
    assert sorted(ad for ad, _ in table.items) == ["ad-0", "ad-2"]


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


@pytest.mark.parametrize("wrong", [["--write_rate", "-1"], ["--full", "yes"], ["--day", "20.11.2026"]])
def test_bad_arguments_are_refused(wrong):
    arguments = ["--database", "d", "--table_name", "t", "--day", DAY, "--data_path", "s3://b/data/"]
    assert load_ad_traffic.parse_arguments(["job.py", *arguments]).data_path == "s3://b/data"
    with pytest.raises(ValueError):
        load_ad_traffic.parse_arguments(["job.py", *arguments, *wrong])


def test_what_is_written_is_what_no_manifest_or_not_every_manifest_agrees_on(spark):
    """Two manifests: of a load that ended, and of one that was killed, so that its items may be there or not."""
    loaded = [("same", 1, 0), ("changed", 1, 0), ("killed-changed", 1, 0), ("gone", 1, 0), ("back", 1, 0)]
    killed = [("same", 1, 0), ("changed", 1, 0), ("killed-changed", 2, 0), ("killed-new", 5, 5), ("killed-gone", 1, 0)]
    wanted = [
        ("same", 1, 0),
        ("changed", 1, 1),
        ("killed-changed", 1, 0),
        ("killed-new", 5, 5),
        ("back", 1, 0),
        ("new", 9, 9),
    ]

    def frame(rows):
        return spark.createDataFrame(rows, load_ad_traffic.ITEMS_SCHEMA)

    def written(earlier, manifests):
        changes = load_ad_traffic.transform(frame(wanted), frame(earlier), manifests)
        assert changes.dtypes == frame([]).dtypes
        return sorted(map(tuple, changes.collect()))

    deletions = [("gone", None, None), ("killed-gone", None, None)]
    assert written(loaded + killed, 2) == sorted([row for row in wanted if row[0] != "same"] + deletions)
    assert written(loaded + killed, None) == sorted(wanted + deletions)
    assert written([], None) == sorted(wanted)


class Loads:
    """Runs the job on a warehouse; each run's requests are kept in a file per executor, and done in `items`."""

    def __init__(self, warehouse, folder, monkeypatch):
        self.warehouse, self.folder = warehouse, folder
        self.items: dict[str, tuple[int, int]] = {}
        self.table_id = "first-table"
        self.dies = False
        monkeypatch.setattr(load_ad_traffic.boto3, "client", lambda *_: self)
        monkeypatch.setattr(load_ad_traffic, "partition_writer", self.partition_writer)

    def describe_table(self, TableName):
        return {"Table": {"TableId": self.table_id}}

    def partition_writer(self, table_name, region, day, write_rate):
        folder, dies = str(self.folder), self.dies
        assert (table_name, day, write_rate) == ("AdTraffic", DAY, 25.0)

        def write(rows):
            import json
            import pathlib
            import uuid

            content = [row.asDict() for row in rows]
            (pathlib.Path(folder) / uuid.uuid4().hex).write_text(json.dumps(content), encoding="utf-8")
            # Not earlier: Spark ends the other tasks as soon as one has failed.
            if dies and any(row["ad_id"] == "mistake" for row in content):
                raise RuntimeError("killed")
            puts = sum(row["impressions"] is not None for row in content)
            yield puts, len(content) - puts

        return write

    def load(self, *more: str) -> int:
        """Runs the job and does what it asked for; returns how many items that were."""
        arguments = ["--database", self.warehouse.database, "--table_name", "AdTraffic", "--day", DAY]
        arguments += ["--data_path", self.warehouse.data_path, "--write_rate", "50", *more]
        try:
            load_ad_traffic.main(["load_ad_traffic.py", *arguments])
        finally:
            rows = {row["ad_id"]: row for file in self.folder.iterdir() for row in json.loads(file.read_text("utf-8"))}
            for file in self.folder.iterdir():
                file.unlink()
            for ad, row in rows.items():
                if row["impressions"] is None:
                    self.items.pop(ad, None)
                else:
                    self.items[ad] = row["impressions"], row["clicks"]
        return len(rows)

    def set_traffic(self, rows: dict[str, tuple[int, int]]) -> None:
        shutil.rmtree(self.warehouse.folder / "data/lake/ad/ad_traffic", ignore_errors=True)
        keys = dict(zip(("year", "month", "day"), DAY.split("-"), strict=True))
        content = [
            {"ad_id": ad, "impressions": shown, "clicks": clicked} | keys for ad, (shown, clicked) in rows.items()
        ]
        self.warehouse.insert(
            "ad_traffic", [*content, {"ad_id": "of-another-day", "impressions": 1, "clicks": 0} | keys | {"day": "19"}]
        )


def test_loads_leave_the_days_items_and_no_others_whatever_dies(warehouse, tmp_path, monkeypatch, capsys):
    stored = tmp_path / "stored"
    stored.mkdir()
    loads = Loads(warehouse, stored, monkeypatch)
    traffic = {f"ad-{number}": (3, 1) for number in range(40)}
    loads.set_traffic(traffic)
    assert loads.load() == 40
    assert loads.items == traffic
    assert json.loads(capsys.readouterr().out) == {"table": "AdTraffic", "day": DAY, "put": 40, "deleted": 0}
    (warehouse.folder / "data/loaded/ad_traffic/first-table/year=2026/month=11/day=20/run-1_$folder$").touch()
    assert loads.load() == 0

    # Killed after it had put a new ad that the corrected day does not have.
    loads.set_traffic(traffic | {"ad-0": (4, 1), "mistake": (1, 1)})
    loads.dies = True
    with pytest.raises(Exception, match="killed"):
        loads.load()
    assert "mistake" in loads.items
    loads.dies = False
    del traffic["ad-1"]
    loads.set_traffic(traffic)
    assert loads.load() == 3
    assert loads.items == traffic
    assert len(list(warehouse.folder.glob("data/loaded/ad_traffic/first-table/*/*/*/run-*-*"))) == 1

    # Someone else wrote to the table; then it was recreated.
    loads.items.clear()
    assert loads.load("--full", "true") == 39
    loads.items.clear()
    loads.table_id = "second-table"
    assert loads.load() == 39
    assert loads.items == traffic


def test_select_items_takes_the_rows_of_the_day(spark):
    rows = [("a", 2, 1, "2026", "11", "20"), ("b", 1, 0, "2026", "11", "21"), ("c", 1, 0, "2026", "10", "20")]
    frame = spark.createDataFrame(
        rows, "ad_id string, impressions bigint, clicks bigint, year string, month string, day string"
    )
    assert [tuple(row) for row in load_ad_traffic.select_items(frame, DAY).collect()] == [("a", 2, 1)]
