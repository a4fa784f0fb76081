"""Faults of Firehose in the emulator of a local warehouse: the calls of the sink, and the stored objects."""

import base64
import datetime
import json
import re
import time

import pytest

import undelivered
from emulator import Emulator
from faulty import always


def lines(objects):
    return sorted(objects.values())


def until(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen within a minute")


@pytest.fixture
def emulator(tmp_path):
    started = []

    def start(*schedule):
        started.append(Emulator(tmp_path, list(schedule)))
        started[0].deploy()
        return started[0]

    yield start
    for emulator in started:
        emulator.end()


def test_a_redelivered_batch_is_counted_twice_and_stored_once(emulator):
    emulator = emulator(always("redeliver", "lambda"))
    emulator.put(b"before\n")
    assert len(emulator.calls()) == 1
    emulator.begin()
    records = [f"{number}\n".encode() for number in range(8)]
    ids = emulator.put(*records)
    calls = emulator.calls()[1:]
    assert len(calls) == 16
    by_record = {}
    for call in calls:
        [record] = call["records"]
        by_record.setdefault(record["recordId"], []).append((base64.b64decode(record["data"]), call["instance"]))
    # Both calls have the same record with the same id. Some pairs of calls ran in two instances.
    assert {record_id: {data for data, _ in pair} for record_id, pair in by_record.items()} == {
        record_id: {data} for record_id, data in zip(ids, records, strict=True)
    }
    assert {len(pair) for pair in by_record.values()} == {2}
    met_two = {record_id for record_id, ((_, first), (_, second)) in by_record.items() if first != second}
    faults = emulator.faults()
    assert [fault["ids"] for fault in faults] == [[record_id] for record_id in ids]
    another = {fault["ids"][0] for fault in faults if fault["instance"] == "another"}
    assert 0 < len(another) < 8
    assert another <= met_two
    assert lines(emulator.objects("raw/")) == sorted([b"before\n", *records])


def test_undelivered_records_are_stored_as_firehose_writes_them(emulator):
    emulator = emulator(always("sink-refused", "lambda"))
    emulator.begin()
    emulator.put(b"a\nb\n")
    assert emulator.calls() == []
    assert emulator.objects("raw/") == {}
    [(key, content)] = emulator.objects().items()
    assert re.fullmatch(
        r"raw-errors/processing-failed/year=\d{4}/month=\d\d/day=\d\d/hour=\d\d/warehouse-impressions-1-.+", key
    )
    record = json.loads(content)
    assert base64.b64decode(record.pop("rawData")) == b"a\nb\n"
    arrival = record.pop("arrivalTimestamp")
    assert abs(arrival / 1000 - time.time()) < 60
    assert record == {
        "attemptsMade": 301,
        "errorCode": "Lambda.InvokeLimitExceeded",
        "errorMessage": "The Lambda concurrency limit is exceeded.",
        "attemptEndingTimestamp": arrival,
        "lambdaArn": "arn:aws:lambda:us-east-1:000000000000:function:sink",
    }
    assert [fault["key"] for fault in emulator.faults()] == [key]
    # An operator's `replay` restores the lines to the hour of their arrival.
    hour = datetime.datetime.fromtimestamp(arrival / 1000, datetime.UTC).replace(minute=0, second=0, microsecond=0)
    assert undelivered.lines_by_hour(key, content) == {hour: [b"a\n", b"b\n"]}


def test_records_are_reordered_and_none_is_lost(emulator):
    emulator = emulator(always("reorder", "lambda", delay=3))
    emulator.begin()
    records = [f"{number}\n".encode() for number in range(10)]
    for record in records:
        emulator.put(record)
    until(lambda: len(emulator.calls()) == 10 and not emulator.held())
    order = [base64.b64decode(call["records"][0]["data"]) for call in emulator.calls()]
    assert order != records
    assert sorted(order) == records
    assert lines(emulator.objects("raw/")) == records
    assert {fault["fault"] for fault in emulator.faults()} == {"reorder"}


def test_held_records_survive_a_killed_emulator(emulator):
    emulator = emulator({**always("reorder", "lambda", delay=3600), "share": 1})
    # The emulator saves the state of the stream only at a regular exit.
    emulator.end(15)
    emulator.start()
    emulator.begin()
    emulator.put(b"kept\n")
    assert emulator.objects("raw/") == {}
    emulator.end()
    [held] = emulator.held()
    held.rename(held.with_name("0-" + held.name.partition("-")[2]))
    emulator.start()
    until(lambda: not emulator.held())
    assert lines(emulator.objects("raw/")) == [b"kept\n"]


def test_the_time_of_arrival_follows_the_offset(emulator):
    emulator = emulator()
    now = datetime.datetime.now(datetime.UTC)
    emulator.put(b"today\n")
    # At any time of day, an offset of a day and a second leads to another date.
    days = {
        b"tomorrow\n": datetime.timedelta(days=1, seconds=1),
        b"yesterday\n": -datetime.timedelta(days=1, seconds=1),
    }
    for record, offset in days.items():
        emulator.offset.write_text(str(offset.total_seconds()))
        emulator.put(record)
    emulator.offset.unlink()
    emulator.put(b"today again\n")

    def partitions(moment):
        return moment.strftime("raw/year=%Y/month=%m/day=%d/hour=%H/")

    later = datetime.datetime.now(datetime.UTC)
    expected = {b"today\n": datetime.timedelta(), **days, b"today again\n": datetime.timedelta()}
    stored = {content: key for key, content in emulator.objects("raw/").items()}
    assert stored.keys() == expected.keys()
    for record, offset in expected.items():
        # The hour can change while the test runs.
        assert stored[record].startswith((partitions(now + offset), partitions(later + offset))), (
            record,
            stored[record],
        )
    stamps = [call["records"][0]["approximateArrivalTimestamp"] / 1000 for call in emulator.calls()]
    assert [round((stamp - now.timestamp()) / 86400) for stamp in stamps] == [0, 1, -1, 0]
