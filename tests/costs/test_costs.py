"""The cost page is the output of its program, and the program's figures match calculations by hand."""

import sys

import pytest

import costs
import event_types
import sources
from templates import ROOT

DATA = costs.load()
TEMPLATE = sources.read()


def test_the_page_is_what_the_program_prints():
    page = (ROOT / "docs" / "costs.md").read_text(encoding="utf-8")
    assert page == costs.page(DATA, TEMPLATE, sources.sizes()), "run python3 tools/costs/costs.py --write"


def test_a_share_is_written_as_a_fraction():
    page = (ROOT / "docs" / "costs.md").read_text(encoding="utf-8")
    assert "cost 1/132 of\nwhat they cost one by one" in page


def test_an_event_has_the_assumed_size():
    line = '{"impression_id":"0192d3c4-9a5b-7c6d-8e7f-001122334455","ad_id":"fc91623b-7c70-42a6-829b-29b0eb3d61de",'
    line += '"occurred_at":"2026-11-20 11:59:58.000"}\n'
    assert len(line) == DATA["workload"]["event_bytes"] == sources.sizes()["impressions"]


def test_each_event_type_has_a_size_and_a_row():
    sizes = sources.sizes()
    assert list(sizes) == event_types.names()
    # A click has one more id: a key of 13 letters and an id of 36, in quotes, with a colon and a comma. The key of the
    # other id is 5 letters shorter.
    assert sizes["clicks"] - sizes["impressions"] == (len("impression_id") + 36 + 6) - (
        len("impression_id") - len("click_id")
    )
    section = costs.section_types(DATA, TEMPLATE, sizes)
    for event_type in sizes:
        assert f"| `{event_type}` | {sizes[event_type]} |" in section


def test_the_bill_of_a_type_by_hand():
    # 432 bytes are three times an impression: 147 after gzip, and 67.5 in the lake. No tables are derived from them.
    lines = costs.costs(costs.of_type(DATA, "orders", 432), TEMPLATE, 500)
    assert lines["S3, a month of raw"] == pytest.approx(0.023 * 147e6 / 2**30)
    assert lines["S3, a month of the lake"] == pytest.approx(0.023 * 67.5e6 / 2**30)
    # 216,000 bytes are 42.2 steps of 5 KB.
    assert lines["Data Firehose"] == pytest.approx(0.029 * 2000 * 43 * 5120 / 2**30)
    ads = costs.costs(costs.of_type(DATA, "impressions", 144), TEMPLATE, 500)
    assert ads == costs.costs(DATA, TEMPLATE, 500)


@pytest.mark.parametrize(("record", "billed"), [(1, 5120), (5120, 5120), (5121, 10240), (500 * 144, 15 * 5120)])
def test_firehose_rounds_each_record_up_to_5_kb(record, billed):
    assert costs.firehose_bytes(record) == billed


def test_the_figures_by_hand():
    one = costs.costs(DATA, TEMPLATE, 1)
    assert one["API Gateway"] == pytest.approx(3.50)
    assert one["Data Firehose"] == pytest.approx(0.029 * 5120e6 / 2**30)
    many = costs.costs(DATA, TEMPLATE, 500)
    assert many["API Gateway"] == pytest.approx(0.007)
    assert many["Data Firehose"] == pytest.approx(0.029 * 2000 * 15 * 5120 / 2**30)
    one_a_record = costs.costs(DATA, TEMPLATE, 500, one_event_a_record=True)
    assert one_a_record["Data Firehose"] == pytest.approx(one["Data Firehose"])
    assert {line for line in many if many[line] != one_a_record[line]} == {"Data Firehose"}


def test_an_alarm_on_an_expression_is_billed_for_each_metric_in_it():
    simple = {"MetricName": "Errors"}
    of_two = {
        "Metrics": [
            {"Id": "share", "Expression": "100 * a / b"},
            {"Id": "a", "MetricStat": {"Period": 60}},
            {"Id": "b", "MetricStat": {}},
        ]
    }
    assert [sources.alarm_metrics(one) for one in (simple, of_two)] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch", "5"], "--batch needs --rate"),
        (["--rate", "0"], "--rate must be more than 0"),
        (["--rate", "0", "--batch", "5"], "--rate must be more than 0"),
        (["--rate", "1", "--batch", "0"], "--batch must be 1 or more"),
    ],
)
def test_arguments_that_define_no_month_are_refused(monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(sys, "argv", ["costs.py", *arguments])
    with pytest.raises(SystemExit) as end:
        costs.main()
    assert end.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.endswith(f"error: {message}\n")


def test_a_month_at_a_rate_and_a_batch_is_printed(monkeypatch, capsys):
    gateways = []
    for batch in ([], ["--batch", "1"]):
        monkeypatch.setattr(sys, "argv", ["costs.py", "--rate", "1", *batch])
        costs.main()
        (line,) = [one for one in capsys.readouterr().out.splitlines() if one.startswith("| API Gateway |")]
        gateways.append(line)
    # 2,628,000 requests a month at 3.50 USD per million, and a hundredth of that.
    assert gateways == ["| API Gateway | 0.09 |", "| API Gateway | 9.20 |"]


def test_each_price_names_its_source():
    for name, price in DATA["price"].items():
        assert price["confidence"] in ("high", "medium", "low") and price["source"], name
