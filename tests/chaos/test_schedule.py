"""The times of faults, and schedules that are refused."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from botocore.exceptions import ConnectionClosedError

import schedule
from faulty import PROXY, PYTHON, always, client


def is_cut(proxy):
    try:
        client("dynamodb", proxy.url).list_tables()
    except ConnectionClosedError:
        return True
    return False


def test_no_fault_occurs_before_the_start_file_exists(upstream, start):
    proxy = start(always("cut"), begin=False)
    assert not is_cut(proxy)
    proxy.begin()
    assert is_cut(proxy)


@pytest.fixture
def written(tmp_path):
    """Returns a function that writes a schedule to a file. The schedule began the given number of seconds ago."""

    def write(*periods, seed=0, kinds=schedule.KINDS, seconds_ago=0.0):
        path = tmp_path / "schedule.json"
        path.write_text(json.dumps(periods))
        mark = Path(f"{path}.start")
        mark.touch()
        os.utime(mark, (time.time() - seconds_ago,) * 2)
        return schedule.Schedule(path, seed, kinds)

    return write


def test_a_period_begins_and_ends_on_time_in_any_process(written):
    period = {**always("cut"), "at": 100, "seconds": 100}
    drawn = [written(period, seconds_ago=seconds).draw("s3", "GetObject/1") for seconds in (250, 150, 50)]
    assert [draw and draw.fault for draw in drawn] == [None, "cut", None]
    assert 150 <= drawn[1].at < 160


def test_a_fault_hits_its_target_only(upstream, start):
    proxy = start(always("cut", "firehose"))
    assert not is_cut(proxy)
    with pytest.raises(ConnectionClosedError):
        client("firehose", proxy.url).list_delivery_streams()


def test_the_seed_decides_which_requests_are_hit(written):
    half = {**always("cut"), "share": 0.5}

    def hits(seed):
        drawing = written(half, seed=seed)
        return [drawing.draw("s3", f"GetObject/{number}") is not None for number in range(200)]

    assert hits(7) == hits(7)
    assert hits(7) != hits(8)
    # With random seeds, fewer than 70 or more than 130 hits would occur once in 40,000 times. The seed is fixed.
    assert 70 <= sum(hits(7)) <= 130


def test_a_request_that_is_not_an_aws_call_is_forwarded(upstream, start):
    proxy = start(always("cut"))
    upstream.answers = lambda request: (200, {}, b"alive")
    printed = subprocess.run(
        ["python3", "-c", f"import urllib.request as r; print(r.urlopen('{proxy.url}/health').read())"],
        env={"no_proxy": "*", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout.strip() == "b'alive'"
    assert proxy.faults() == []


def test_a_missing_upstream_is_logged_and_the_connection_is_cut(upstream, start):
    proxy = start()
    upstream.server.shutdown()
    upstream.server.server_close()
    assert is_cut(proxy)
    [line] = proxy.faults()
    assert (line["fault"], line["operation"], line["forwarded"]) == ("upstream-gone", "ListTables", False)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "is not JSON"),
        ("{}", "must be a list of periods"),
        ('["cut"]', "period 0 of the schedule"),
        ('[{"at": 0, "seconds": 1, "fault": "fire", "share": 1, "target": "any"}]', '"fault" must be one of throttle,'),
        ('[{"at": 0, "seconds": 1, "fault": "cut", "share": 1, "target": "sqs"}]', '"target" must be one of firehose,'),
        (
            '[{"at": 0, "seconds": 1, "fault": "cut", "share": 2, "target": "any"}]',
            '"share" must be a number from 0 to 1, not 2',
        ),
        (
            '[{"at": -1, "seconds": 1, "fault": "cut", "share": 1, "target": "any"}]',
            '"at" must be a number of at least 0, not -1',
        ),
        ('[{"at": 0, "seconds": true, "fault": "cut", "share": 1, "target": "any"}]', '"seconds" must be a number'),
        ('[{"at": 0, "seconds": NaN, "fault": "cut", "share": 1, "target": "any"}]', '"seconds" must be a number'),
        ('[{"at": 0, "seconds": 1, "share": 1, "target": "any"}]', '"fault" is missing'),
        ('[{"at": 0, "seconds": 1, "fault": "cut", "share": 1, "target": "any", "oft": 1}]', '"oft" is not known'),
        (
            '[{"at": 0, "seconds": 1, "fault": "partial-batch", "share": 1, "target": "s3"}]',
            '"target" must be one of firehose, dynamodb,',
        ),
        (None, "failed to read the schedule"),
    ],
)
def test_an_invalid_schedule_is_refused(tmp_path, text, complaint):
    path = tmp_path / "schedule.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(schedule.ScheduleError) as caught:
        schedule.read(path)
    assert complaint in str(caught.value)


def test_the_proxy_exits_if_the_schedule_is_invalid(tmp_path):
    path = tmp_path / "schedule.json"
    path.write_text('[{"at": 0, "seconds": 1, "fault": "fire", "share": 1, "target": "any"}]')
    command = [
        PYTHON,
        PROXY,
        "--listen",
        "0",
        "--upstream",
        "http://127.0.0.1:1",
        "--schedule",
        path,
        "--log",
        tmp_path / "log",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f'proxy: period 0 of the schedule {path}: "fault" must be one of throttle,')


def test_each_fault_is_drawn_from_its_own_share(written):
    periods = [{**always("cut"), "share": 0}, {**always("throttle", "s3"), "share": 1}, always("redeliver", "lambda")]

    def drawn(target, kinds=schedule.KINDS):
        draw = written(*periods, kinds=kinds).draw(target, "Operation/1")
        return draw and draw.fault

    assert drawn("s3") == "throttle"
    assert drawn("dynamodb") is None
    assert drawn("lambda") == "redeliver"
    # The proxy ignores faults that only the emulator can inject.
    assert drawn("lambda", schedule.ON_THE_WAY) is None
