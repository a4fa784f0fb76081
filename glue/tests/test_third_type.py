"""A third type, of another group, with columns of every type: the jobs and scripts find it in the catalog."""

import base64
import gzip
import hashlib
import json
from datetime import date

import pytest

import erase
import ledger
import nasty
import nasty_orders
import put_raw
import undelivered
from erasure import impression, places, run_erase
from etl_runs import ledger as books_of
from etl_runs import run_etl
from fakes import Catalog, Counted, FolderBucket
from lake import erased
from lake.registry import event_groups
from lake.table import event_tables
from ledger_runs import BALANCED, NO_LINES, NOW, printed, published, run_ledger
from ledger_runs import DAY as LEDGER_DAY
from raw_errors import record
from support.spark import BUCKET, deployed_tables

DAY = "2026-11-20"
DAY_PATH = "year=2026/month=11/day=20"
RAW = f"raw/shop/orders/{DAY_PATH}/hour=12/a.gz"
ORDERS = nasty_orders.catalog_table("dataless", f"{BUCKET}data")
order = nasty_orders.order


def raw_lines(warehouse, folder: str = "shop/orders") -> list[str]:
    files = sorted(warehouse.folder.glob(f"data/raw/{folder}/**/*.gz"))
    return [line for path in files for line in gzip.decompress(path.read_bytes()).decode().splitlines()]


def put_orders(warehouse, *lines: str) -> None:
    warehouse.put_lines("orders", [(f"{DAY} 12", "a.gz", line) for line in lines])


def own_ids(warehouse) -> list[str]:
    return [row[0] for row in warehouse.rows("orders")]


# --- the catalog ---


def test_each_table_with_an_own_id_is_one_of_events_and_its_location_names_its_group(orders):
    tables = {table.name: table for table in event_tables(orders.spark, orders.database)}
    assert {name: table.raw for name, table in tables.items()} == {
        "clicks": "raw/ad/clicks", "impressions": "raw/ad/impressions", "orders": "raw/shop/orders",
    }  # fmt: skip
    assert tables["orders"].erase == ("coupon_id", "note", "quantity")
    assert event_groups(Catalog(ORDERS), "dataless") == {"clicks": "ad", "impressions": "ad", "orders": "shop"}


@pytest.mark.parametrize(
    "location", ["s3://b/data/lake/orders/", "s3://b/data/lake/shop/order/", "s3://b/data/other/shop/orders"]
)
def test_a_table_that_is_elsewhere_is_refused(location):
    table = ORDERS | {"StorageDescriptor": ORDERS["StorageDescriptor"] | {"Location": location}}
    with pytest.raises(ValueError, match="a table of events must be at …/lake/<group>/orders/"):
        event_groups(Catalog(table), "dataless")


def test_a_database_without_tables_of_events_is_the_wrong_one():
    catalog = Catalog()
    catalog.tables = [table for table in deployed_tables("dataless") if table["Name"] in ("ledger", "rejected")]
    with pytest.raises(ValueError, match="dataless has no table of events"):
        event_groups(catalog, "dataless")


# --- the ledger ---


def test_the_ledger_checks_the_books_of_every_type(orders, cloudwatch, capsys):
    with pytest.raises(ledger.BooksDontBalance, match="orders: no row: run the ETL of the day"):
        run_ledger(orders, impressions=BALANCED, clicks=NO_LINES)
    (call,) = cloudwatch.calls
    unbalanced = {
        table: value for (name, table), (value, _) in published(call["MetricData"]).items() if name == "Unbalanced"
    }
    assert unbalanced == {"impressions": 0, "clicks": 0, "orders": 1}


def test_the_books_of_a_third_type_are_published(orders, cloudwatch, capsys):
    run_ledger(orders, impressions=BALANCED, clicks=NO_LINES, orders=BALANCED)
    assert [line["table"] for line in printed(capsys)] == ["clicks", "impressions", "orders"]
    (call,) = cloudwatch.calls
    assert published(call["MetricData"])["Kept", "orders"] == (6, LEDGER_DAY)


def test_real_time_counts_of_a_type_are_found_by_its_name():
    counted = Counted(OrderItems=[7.0], MalformedOrderItems=[1.0], Orders=[100.0])
    (found,) = ledger.divergence(counted, "N", "w", {"order_items": {"raw": 10}}, LEDGER_DAY, NOW)
    assert found["Value"] == pytest.approx(20)


# --- the erasure ---

VALUE = 'Ödön "7" \\ / 🦀\t'
ASCII, PLAIN = json.dumps(VALUE), json.dumps(VALUE, ensure_ascii=False)


@pytest.mark.parametrize(
    "line",
    [
        '{"note": %s}' % ASCII,
        '{"a": [{}], "note" :\t%s}' % PLAIN,
        '{"note": "\\u00D6d\\u00F6n \\"7\\" \\\\ / \\uD83E\\uDD80\\u0009"}',
        '{"\\u006eote": %s}' % PLAIN.replace("/", "\\/").replace("\\t", "\\u0009"),
        '{"note": 1, "note": %s, "note": null}' % PLAIN,
        # Not JSON: it is unknown whose member it is.
        '{"items": [{"note": %s}]' % PLAIN,
        '"note": %s' % ASCII,
        '[{"note": %s}]' % PLAIN,
        "\ufeff\ufeff" + '{"note": %s}' % PLAIN,
    ],
)
def test_a_line_has_the_member_with_escapes_or_without(line):
    assert erased.member_finder("note", VALUE)(line.encode())


@pytest.mark.parametrize(
    "line",
    [
        '{"note": %s}' % PLAIN.lower(),
        '{"note": %s}' % json.dumps(VALUE + " ", ensure_ascii=False),
        '{"notes": %s}' % PLAIN,
        '{"title": %s, "note": "x"}' % PLAIN,
        '{"items": [{"note": %s}]}' % PLAIN,
        '{"note": {"note": %s}}' % ASCII,
        '{"text": %s}' % json.dumps('"note": ' + PLAIN),
        "",
    ],
)
def test_a_line_without_the_member_does_not_have_it(line):
    assert not erased.member_finder("note", VALUE)(line.encode())


@pytest.mark.parametrize(
    ("line", "holds"),
    [
        ('{"quantity": 7}', True),
        ('{"quantity":7}', True),
        ('{"quantity": 7.0}', True),
        ('{"quantity": "7"}', True),
        ('{"quantity": 7', True),
        ('{"quantity": 77}', False),
        ('{"quantity": 7.5}', False),
        ('{"quantity": 7e1}', False),
        ('{"quantity": -7}', False),
        ('{"quantity": [7]}', False),
        ('{"items": [{"quantity": 7}], "quantity": 3}', False),
        (f'{{"quantity": 7, "deep": {"[" * 5000}{"]" * 5000}, "long": {"9" * 5000}}}', True),
    ],
)
def test_a_number_is_that_number_however_it_is_written(line, holds):
    assert erased.member_finder("quantity", "7")(line.encode()) == holds


def digest(folder) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def test_only_the_customer_is_erased_by_a_text(orders, dynamodb, capsys, monkeypatch):
    monkeypatch.setattr(erase, "yesterday", lambda: date(2026, 11, 24))
    held = [
        order(1, note=VALUE), order(2, f'"note": {PLAIN}', quantity=7), order(1, note=VALUE),
        order(3, '"total": "x"', note=VALUE), order(4, note=VALUE)[:-1],
    ]  # fmt: skip
    others = [
        order(11, note=VALUE.lower()), order(12, items=[{"sku": VALUE}]), order(13, tags=[VALUE]), order(14),
        order(15, note=f'"note": {PLAIN}'), order(16, '"total": "x"', note="other"), order(17, note=VALUE + "!")[:-1],
    ]  # fmt: skip
    put_orders(orders, *held, *others)
    # Another type has such a member too, and its events are not erased.
    orders.put_lines("impressions", [(f"{DAY} 12", "a.gz", impression(nasty.own_id(1), nasty.AD, note=VALUE))])
    run_etl(orders, DAY)
    run_etl(orders, DAY, table="orders")
    dynamodb.items = {(nasty.AD, DAY)}
    before, books = digest(orders.folder), books_of(orders, "orders")[DAY]
    assert (books["kept"], books["repeats"], books["rejected"]) == (7, 1, 4)

    planned = run_erase(orders, capsys, "--by", f"note={VALUE}")
    assert digest(orders.folder) == before
    assert (planned["kind"], planned["rerun"]) == ("note", {"from": DAY, "to": "2026-11-24"})
    assert VALUE not in str(planned), "a receipt stays in the job's log"
    assert places(planned) == {
        ("raw", RAW, 5),
        ("orders", f"{DAY_PATH}/arrived={DAY}", 2),
        ("rejected", f"table_name=orders/{DAY_PATH}", 2),
    }
    done = run_erase(orders, capsys, "--by", f"note={VALUE}", "--dry_run", "false")
    assert done == planned | {"dry_run": False}
    assert raw_lines(orders) == others
    assert own_ids(orders) == [nasty.own_id(number) for number in range(11, 16)]
    assert sorted(row[2] for row in orders.rows("rejected")) == sorted(others[-2:])
    assert len(orders.rows("impressions")) == 1 and len(raw_lines(orders, "ad/impressions")) == 1
    assert dynamodb.items == {(nasty.AD, DAY)}
    assert not list(orders.folder.glob("data/erasing/*"))
    assert run_erase(orders, capsys, "--by", f"note={VALUE}")["places"] == []
    run_etl(orders, DAY, table="orders")
    assert books_of(orders, "orders")[DAY]["kept"] == 5


def test_a_run_of_the_etl_that_died_is_erased_by_the_values_of_its_rows_and_lines(orders, dynamodb, capsys):
    put_orders(orders, order(1, quantity=7), order(2, quantity=8), order(3, '"total": "x"', quantity=9))
    run_etl(orders, DAY, table="orders")
    arrived = orders.folder / f"data/lake/shop/orders/arrived={DAY}"
    table = {"reason": "invalid total", "file_name": "a.gz", "line": order(3, '"total": "x"', quantity=9)}
    dead = f"{arrived}/run-29991231T000000-00000001"
    schema = "quantity bigint, _aside struct<reason: string, file_name: string, line: string>"
    aside = orders.spark.createDataFrame([(None, tuple(table.values()))], schema)
    aside.write.orc(f"file://{dead}/event_day=rejected")
    orders.spark.createDataFrame([(8, None)], schema).write.orc(f"file://{dead}/event_day=2026-11-20")

    def dead_runs(quantity: int) -> list[int]:
        found = run_erase(orders, capsys, "--by", f"quantity={quantity}")["places"]
        return [place["count"] for place in found if place["place"] == "dead run"]

    assert (dead_runs(7), dead_runs(8), dead_runs(9)) == ([], [1], [1])


def test_a_number_is_erased_where_the_field_has_it(orders, dynamodb, capsys):
    items = [{"sku": "a", "quantity": 7}]
    put_orders(
        orders, order(1, quantity=7), order(2, quantity=77), order(3, items=items), order(4, quantity=7.0), order(5)
    )
    run_etl(orders, DAY, table="orders")
    receipt = run_erase(orders, capsys, "--by", "quantity=7", "--dry_run", "false")
    # 7.0 is not a whole number: it is null in the lake, but still counts as 7.
    assert places(receipt) == {("raw", RAW, 2), ("orders", f"{DAY_PATH}/arrived={DAY}", 1)}
    assert raw_lines(orders) == [order(2, quantity=77), order(3, items=items), order(5)]
    assert own_ids(orders) == [nasty.own_id(number) for number in (2, 3, 4, 5)]


COUPON = "c0000000-0000-4000-8000-00000000000c"


def test_an_id_is_erased_wherever_it_is(orders, dynamodb, capsys):
    lines = [
        order(1, coupon_id=COUPON.upper()), order(2, note=f"with {COUPON}"), order(3, items=[{"sku": COUPON}]),
        order(4, tags=["x", COUPON]), order(5, more={"coupon": COUPON}), order(6, coupon_id=nasty.OTHER_AD), order(7, f'"total": "{COUPON}"'),
    ]  # fmt: skip
    put_orders(orders, *lines)
    orders.put_lines("impressions", [(f"{DAY} 12", "a.gz", impression(COUPON, nasty.AD))])
    run_etl(orders, DAY)
    run_etl(orders, DAY, table="orders")
    keys = {"year": "2026", "month": "11", "day": "20"}
    orders.insert("ad_traffic", [{"ad_id": COUPON, "impressions": 1, "clicks": 0} | keys])
    dynamodb.items = {(COUPON, DAY)}
    receipt = run_erase(orders, capsys, "--by", f"coupon_id={COUPON.upper()}", "--dry_run", "false")
    assert receipt["kind"] == "coupon_id" and COUPON not in str(receipt).lower()
    assert places(receipt) == {
        ("raw", RAW, 6),
        ("raw", RAW.replace("shop/orders", "ad/impressions"), 1),
        ("orders", f"{DAY_PATH}/arrived={DAY}", 4),
        ("impressions", f"{DAY_PATH}/arrived={DAY}", 1),
        ("rejected", f"table_name=orders/{DAY_PATH}", 1),
    }
    assert raw_lines(orders) == [lines[5]]
    # A member without a column is in raw only.
    assert own_ids(orders) == [nasty.own_id(5), nasty.own_id(6)]
    # Not an ad's field, so nothing derived from ads has it.
    assert dynamodb.items == {(COUPON, DAY)} and len(orders.rows("ad_traffic")) == 1


def test_an_ad_is_erased_by_its_field_as_by_its_option(warehouse, dynamodb, capsys):
    warehouse.spark.sql(f"ALTER TABLE {warehouse.database}.impressions SET TBLPROPERTIES ('event.erase' = 'ad_id')")
    warehouse.put_lines("impressions", [(f"{DAY} 12", "a.gz", impression(nasty.own_id(1), nasty.AD))])
    run_etl(warehouse, DAY)
    keys = {"year": "2026", "month": "11", "day": "20"}
    warehouse.insert("ad_traffic", [{"ad_id": nasty.AD, "impressions": 1, "clicks": 0} | keys])
    dynamodb.items = {(nasty.AD, DAY)}
    by_option = run_erase(warehouse, capsys, "--ad", nasty.AD)
    by_field = run_erase(warehouse, capsys, "--by", f"ad_id={nasty.AD}")
    assert by_field == by_option | {"kind": "ad_id"}
    assert {place["place"] for place in by_field["places"]} == {"raw", "impressions", "ad_traffic", "dynamodb"}


@pytest.mark.parametrize(
    ("by", "problem"),
    [
        ("coupon=7", "coupon is not a field by which events are erased: it must be one of .*coupon_id, note, quantity"),
        ("coupon_id=7", "this is not a value of coupon_id: it must be a UUID"),
        ("quantity=many", "this is not a value of quantity: it must be a whole number"),
        ("quantity=07", "this is not a value of quantity: it must be a whole number"),
    ],
)
def test_values_that_no_event_can_have_are_refused(orders, dynamodb, capsys, by, problem):
    with pytest.raises(ValueError, match=problem):
        run_erase(orders, capsys, "--by", by)


# --- what Firehose set aside ---


def test_lines_of_a_third_type_are_taken_back_into_its_group(orders, capsys, monkeypatch):
    error = orders.folder / f"data/raw-errors/orders/processing-failed/{DAY_PATH}/hour=12/a"
    error.parent.mkdir(parents=True)
    error.write_bytes(record(f"{DAY} 12:00:00", order(1), order(2)))
    run_etl(orders, DAY, table="orders")
    assert books_of(orders, "orders")[DAY]["undelivered"] == 2
    clients = {"s3": FolderBucket(orders.folder), "glue": Catalog(ORDERS)}
    monkeypatch.setattr(undelivered.boto3, "client", clients.get)
    capsys.readouterr()
    assert undelivered.main(["undelivered.py", "--bucket", "b", "--database", "dataless", "--day", DAY]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["lines"] == {"clicks": 0, "impressions": 0, "orders": 2}
    assert [key.rpartition("/")[0] for key in report["objects"]] == [f"data/raw/shop/orders/{DAY_PATH}/hour=12"]
    run_etl(orders, DAY, table="orders")
    assert books_of(orders, "orders")[DAY] == {
        "raw": 2, "kept": 2, "repeats": 0, "rejected": 0, "late": 0, "stored": 2, "undelivered": 0,
    }  # fmt: skip


def test_an_erasure_by_a_field_reaches_what_was_set_aside(orders, dynamodb, capsys):
    for table in ("orders", "impressions"):
        error = orders.folder / f"data/raw-errors/{table}/processing-failed/{DAY_PATH}/hour=12/a"
        error.parent.mkdir(parents=True)
        error.write_bytes(record(f"{DAY} 12:00:00", order(1, note=VALUE), order(2)))
    receipt = run_erase(orders, capsys, "--by", f"note={VALUE}", "--dry_run", "false")
    assert places(receipt) == {("raw", f"raw-errors/orders/processing-failed/{DAY_PATH}/hour=12/a", 1)}
    (left,) = error.parents[6].glob("orders/**/a")
    assert base64.b64decode(json.loads(left.read_bytes())["rawData"]).decode() == order(2) + "\n"


# --- a replay ---


class Bucket(FolderBucket):
    """What `put_raw.py` asks for."""

    def paginate(self, Bucket, Prefix):
        for page in super().paginate(Bucket, Prefix):
            yield {"Contents": [one | {"ETag": self.etag(one["Key"])} for one in page.get("Contents", [])]}

    def etag(self, key: str) -> str:
        return hashlib.md5((self.folder / key).read_bytes()).hexdigest()

    def put_object(self, Bucket, Key, Body):
        super().put_object(Bucket, Key, Body.read())


def test_a_rejected_order_that_was_corrected_is_kept_once_however_often_it_is_replayed(orders, tmp_path):
    put_orders(orders, order(1), order(2, '"total": "x"'))
    run_etl(orders, DAY, table="orders")
    ((reason, source, line, *_),) = orders.rows("rejected")
    assert (reason, source) == ("invalid total", RAW)
    corrected = tmp_path / source.removeprefix("raw/")
    corrected.parent.mkdir(parents=True)
    corrected.with_name("replay-1.gz").write_bytes(gzip.compress(line.replace('"x"', "2.50").encode() + b"\n", mtime=0))
    stored = [put_raw.put(Bucket(orders.folder), "b", tmp_path, ["ad/clicks", "shop/orders"]) for _ in range(2)]
    assert [(len(one["keys"]), one["unchanged"]) for one in stored] == [(1, 0), (0, 1)]
    run_etl(orders, DAY, table="orders")
    assert own_ids(orders) == [nasty.own_id(1), nasty.own_id(2)]
    books = books_of(orders, "orders")[DAY]
    assert (books["raw"], books["kept"], books["rejected"]) == (3, 2, 1)
