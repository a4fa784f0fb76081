"""Compares lines of the cost page with sums calculated by hand.

The sums follow from the prices and the way AWS bills, not from the program's formulas.
"""

import json
import re
import sys

import pytest

import costs
import event_types
import sources
from account.template import Template
from templates import ROOT

DATA = costs.load()
TEMPLATE = sources.read()

# The sums are for the example's two event types. The comment in a test says what each additional type adds.
MORE = len(event_types.names()) - 2


def standing(line, template=TEMPLATE):
    [(count, usd)] = [(count, usd) for what, count, usd in costs.standing(DATA, template) if what.startswith(line)]
    return count, usd


def cents(usd):
    return pytest.approx(usd, abs=0.005)


def test_a_month_of_glue():
    # 2 ETLs, 1 ledger and 3 jobs x 5 days are 18 runs x 30 5/12 nights = 547.5. Each is a minute of 2 DPUs:
    # 18.25 DPU-hours at 0.44. Each additional type is one more run: 0.446.
    assert costs.month(DATA, TEMPLATE, 1)["Glue, at least a minute per run"] == cents(8.03 + 0.4461 * MORE)


def test_etl_workers_count_only_for_etl_runs():
    # 5 workers in 2 runs, 2 in 16: 42 DPU-minutes x 30 5/12 nights are 21.2917 DPU-hours. Each additional type is one
    # more run of 5 workers: 1.115.
    template = Template(ROOT / "template.yaml", {"ETLNumberOfWorkers": "5"}, {"AWS::StackName": sources.STACK_NAME})
    more = sources.from_template(template)
    assert costs.month(DATA, TEMPLATE | {"workers_a_night": more["workers_a_night"]}, 1)[
        "Glue, at least a minute per run"
    ] == cents(9.368 + 1.1153 * MORE)


def test_a_night_has_the_jobs_of_the_state_machine():
    states = json.loads((ROOT / "pipeline" / "daily.asl.json").read_text(encoding="utf-8"))["States"]

    def jobs(*names):
        return set(re.findall(r'"JobName": "(.*?)", "Arguments"', "".join(json.dumps(states[name]) for name in names)))

    (etl,) = jobs("Fill the lake")
    # The ETL job of each event type, in the configured language.
    assert re.sub(r"\$\{ETLLanguage\}", "python", etl).endswith(f"& '{sources.ETL_JOB}' %}}") and jobs(
        "Fill the lake with other types"
    ) == {etl}
    assert jobs("Check the ledgers") == {"${LedgerJob}"} and sources.LEDGER_JOB == "ledger"
    derived = {
        "${AdvertisingJob}": "advertising",
        "${AdTrafficJob}": "ad-traffic",
        "${AdTrafficLoadJob}": "ad-traffic-load",
    }
    assert {derived[one] for one in jobs("Derive") if "Redshift" not in one} == set(sources.DERIVING_JOBS)
    assert states["Fill the lake"]["Items"] == states["Check the ledgers"]["Items"] == "{% $days %}"
    assert states["Derive"]["Items"] == "{% $touched %}"
    # From LookbackDays + AttributionDays days before the arrival day up to the arrival day.
    assert "[-(${LookbackDays} + ${AttributionDays}).." in states["Days"]["Assign"]["touched"]
    assert sources.touched_days(3, 1) == 5


def test_writes_to_dynamodb():
    # 10,000 ads x 5 days x 30 5/12 nights = 1.5208 million writes at 0.625.
    assert costs.month(DATA, TEMPLATE, 1)["DynamoDB, writes (at most)"] == cents(0.95)


def test_metrics_of_the_api():
    # POST, OPTIONS and any other method of two beacons, and GET, OPTIONS and any other method of the traffic route:
    # 9 methods with 5 metrics each, at 0.30.
    assert standing("metrics of the API") == (45 + 15 * MORE, cents(13.50 + 4.50 * MORE))


def test_metrics_of_the_streams():
    assert standing("metrics of the streams") == (2 + MORE, cents(0.60 + 0.30 * MORE))


def test_metrics_of_the_ledger():
    # RawLines, Kept, Repeats, Rejected, Late, Unbalanced and RealTimeDivergence of two tables: 14. They are sent in 2
    # of a day's 24 hours: a twelfth of 0.30 each.
    ledger = """METRICS = {"RawLines": "raw", "Kept": "kept", "Repeats": "repeats",
    "Rejected": "rejected", "Late": "late"}
data = [metric(stack, "Unbalanced", table, 1, now), metric(stack, name, table, 0, day)]
data.append(metric(stack, "RealTimeDivergence", table, 0.0, now, unit="Percent"))
"""
    count = sources.ledger_metrics(ledger, 2)
    assert count == 14
    assert standing("metrics of the ledger", TEMPLATE | {"ledger_metrics": count}) == (14, cents(0.35))
    assert TEMPLATE["ledger_metrics"] >= 14


def test_metrics_of_glue():
    # A run on 2 workers. --enable-metrics: bytesRead, elapsedTime, numCompletedStages, numCompletedTasks,
    # numFailedTasks, numKilledTasks, recordsRead, shuffleBytesWritten, shuffleLocalBytesRead (9), diskSpaceUsed_MB (1),
    # numberAllExecutors and numberMaxNeededExecutors (2), and heap.usage, heap.used, read_bytes, write_bytes,
    # cpuSystemLoad (5) for the driver, for the executor and for all (3): 27.
    plain = {"--job-language": "python"}
    profiled = plain | {"--enable-metrics": "true"}
    # --enable-observability-metrics: skewness.stage and skewness.job, succeed.ALL, workerUtilization (4). Heap,
    # non-heap and total, each available, used and in percent (9), and disk, available, used and in percent (3), for the
    # driver and for all: 28.
    observed = profiled | {"--enable-observability-metrics": "true"}
    assert [sources.glue_metrics(job, 2) for job in (plain, profiled, observed)] == [0, 27, 55]

    # 6 jobs x 55 = 330. Under ALL in 2 of a day's 24 hours: 330 x 0.30 / 12 = 8.25. Under the ids of 547.5 runs, for
    # one of a month's 730 hours each: 18 x 55 = 990 a night, 55 x 0.30 x 547.5 / 730 = 12.375.
    counted = {"glue_metrics": 330, "glue_metrics_of_runs": 990}
    assert standing("metrics of Glue", TEMPLATE | counted) == (330, cents(20.625))


def test_metrics_that_jobs_publish_themselves():
    # 2 ETLs, 2 HiveQL jobs and the load publish time, rows and failures. The ledger publishes no rows. 5 x 3 + 2 = 17,
    # in 2 of a day's 24 hours: 17 x 0.30 / 12 = 0.425.
    assert standing("metrics of the jobs") == (17 + 3 * MORE, cents(0.425 + 0.075 * MORE))
    # No job enables Glue's own metrics.
    assert standing("metrics of Glue") == (0, 0)


SMALL = """
Parameters:
  AllAtOnce: { Type: String, Default: "" }
  DeliveryBufferSizeMB: { Type: Number, Default: 128 }
  DeliveryBufferIntervalSeconds: { Type: Number, Default: 300 }
  MetricsBufferSizeMB: { Type: Number, Default: 1 }
  MetricsBufferIntervalSeconds: { Type: Number, Default: 15 }
  GlueNumberOfWorkers: { Type: Number, Default: 2 }
  LookbackDays: { Type: Number, Default: 3 }
  AttributionDays: { Type: Number, Default: 1 }
  NoncurrentVersionDays: { Type: Number, Default: 30 }
Conditions:
  HasIt: !Equals [!Ref AllAtOnce, "yes"]
Globals: { Function: { MemorySize: 256 } }
Resources:
"""


def small(folder, resources):
    """Returns a template with these resources."""
    (folder / "template.yaml").write_text(SMALL + resources)
    return Template(folder / "template.yaml", {}, {"AWS::StackName": sources.STACK_NAME})


def test_an_alarm_that_is_off_by_default_does_not_count(tmp_path):
    alarms = "  One: { Type: AWS::CloudWatch::Alarm, Properties: {} }\n  Two: { Type: AWS::CloudWatch::Alarm, Condition: HasIt, Properties: {} }\n"
    assert sources.from_template(small(tmp_path, alarms))["alarm_metrics"] == 1


def test_only_the_jobs_of_the_night_count(tmp_path):
    job = "  {0}: {{ Type: AWS::Glue::Job, Properties: {{ Name: !Sub '${{AWS::StackName}}-{1}', DefaultArguments: {{ --enable-metrics: '' }} }} }}\n"
    names = ("ledger", "ad-traffic", "erase", "orders-scala-etl", "orders-python-etl")
    jobs = "".join(job.format(f"Job{number}", name) for number, name in enumerate(names))
    jobs = jobs.replace("} }\n", ", Command: {} } }\n")
    found = sources.from_template(small(tmp_path, jobs))
    # Three jobs with 27 metrics each. ad-traffic runs 5 times.
    assert (found["glue_metrics"], found["runs_a_night"], found["arrival_jobs"]) == (81, 7, 2)


def test_replaced_files_of_the_lake():
    # 100 events a second are 8.64 million a day, with 22.5 bytes each in advertising: 0.18105 GiB. A night replaces 4
    # of its 5 days. Files are kept for a day and until midnight, so there are files of 2 nights: 8 copies, 1.4484 GiB
    # at 0.023.
    line = "S3, replaced files of the lake"
    assert TEMPLATE["lake_version_days"] == 1
    assert costs.month(DATA, TEMPLATE, 100)[line] == pytest.approx(0.03331, abs=0.00001)
    # Without its own rules, files of the lake are kept as long as raw files: 31 nights, 124 copies, 22.450 GiB.
    assert costs.month(DATA, TEMPLATE | {"lake_version_days": 30}, 100)[line] == pytest.approx(0.5164, abs=0.0001)


def test_the_lake_storage():
    # A million rows of 45 bytes: 0.041910 GiB at 0.023.
    assert costs.costs(DATA, TEMPLATE, 1)["S3, a month of the lake"] == pytest.approx(0.000964, abs=0.000001)


def test_a_million_events_with_one_per_request():
    lines = costs.costs(DATA, TEMPLATE, 1)
    # A million requests cost 0.20. 23 ms each (20 of waiting, and 0.3 of a vCPU at 256 of 1,769 MB is 2.07, rounded up)
    # at a quarter of a GB are 5,750 GB-seconds: 0.076667.
    assert lines["Lambda, capture"] == pytest.approx(0.276667, abs=0.000001)
    # 1,150 bytes of logs for each request, and 700 for each of 1,752 batches of the sink: 1,151,226,400 bytes =
    # 1.07216 GiB at 0.50.
    assert lines["CloudWatch, logs"] == pytest.approx(0.53608, abs=0.00001)
    # 5 % of a million traces at 5.00 per million.
    assert lines["X-Ray"] == pytest.approx(0.25)
    # At 100 million events a month, a million take 26,280 s. That is 1,752 calls, one every 15 s, at 0.01 per thousand.
    assert lines["CloudWatch, metrics"] == pytest.approx(0.01752)


def test_data_transfer_of_responses():
    # 500 bytes of headers, 31 of {"failed_count":0,"records":[]} and 16 of {"failed":false}: 547 million bytes are
    # 0.509434 GiB at 0.09. 500 events have 499 commas: 2,000 answers of 9,030 bytes are 0.016820 GiB.
    line = "Data transfer out"
    assert costs.costs(DATA, TEMPLATE, 1)[line] == pytest.approx(0.045849, abs=0.000001)
    assert costs.costs(DATA, TEMPLATE, 500)[line] == pytest.approx(0.001514, abs=0.000001)


def test_the_metrics_sink():
    # At 100 million events a month, a million take 26,280 s: 1,752 batches of 15 s at 0.20 per million are 0.000350.
    # 60 ms each at a quarter of a GB are 26.28 GB-seconds at 0.0000133334: also 0.000350.
    assert costs.costs(DATA, TEMPLATE, 1)["Lambda, metrics sink"] == pytest.approx(0.000701, abs=0.000001)


def test_objects_of_raw_data():
    # 26,280 s are 87.6 buffers of 300 s. That is more than the 1.1 buffers of 128 MiB. The price is 0.005 per thousand.
    assert costs.costs(DATA, TEMPLATE, 1)["S3, PUT"] == pytest.approx(0.000438, abs=0.0000001)
    # 49 bytes per event after gzip: 0.045635 GiB at 0.023.
    assert costs.costs(DATA, TEMPLATE, 1)["S3, a month of raw"] == pytest.approx(0.001050, abs=0.000001)


def test_what_a_warehouse_has_once():
    # The operations dashboard and the real-time dashboard at 3.00 each, and the signing key of page tokens at 0.40.
    assert standing("dashboards") == (2, cents(6.00))
    assert standing("secrets") == (1, cents(0.40))
    count, usd = standing("metrics that alarms watch")
    assert count > 30 and usd == cents(0.10 * count)


def bill(heading):
    """Returns the numbers of the first table below a heading of the page, by line."""
    page = (ROOT / "docs" / "costs.md").read_text(encoding="utf-8")
    table = page.split(f"## {heading}\n")[1].split("| --- |", 1)[1].split("\n\n")[0]
    rows = (line.strip("| ").split(" | ") for line in table.splitlines()[1:])
    return {cells[0].strip("*"): [float(cell.strip("*")) for cell in cells[1:]] for cells in rows}


@pytest.mark.parametrize(("heading", "precision"), [("A million events", 0.0001), ("A month", 0.01)])
def test_a_bill_adds_up(heading, precision):
    lines = bill(heading)
    total = lines.pop("all")
    lines.pop("all, with one event per record", None)
    assert len(lines) > 10
    for column, sum_of_page in enumerate(total):
        # Each line is rounded separately.
        assert sum(line[column] for line in lines.values()) == pytest.approx(
            sum_of_page, abs=len(lines) * precision / 2
        )


def test_the_total_of_a_million_events():
    # One per request: 3.5 + 0.045849 + 0.276667 + 0.138283 + 0.000701 + 0.000438 + 0.001050 + 0.000964 + 0.01752 + 0.53608 + 0.25.
    assert bill("A million events")["all"][0] == 4.7676


def test_single_events_of_browsers():
    # 50 a second are 131.4 million requests a month. API Gateway: 131.4 x 3.50. Lambda: 131.4 x 0.276667. Firehose:
    # 131.4 x 5,120 million bytes = 626.56 GiB at 0.029. X-Ray: 131.4 x 0.25.
    single = DATA | {"workload": DATA["workload"] | {"events_a_request": 1}}
    lines = costs.month(single, TEMPLATE, 50)
    assert lines["API Gateway"] == cents(459.90)
    assert lines["Lambda, capture"] == cents(36.35)
    assert lines["Data Firehose"] == cents(18.17)
    assert lines["X-Ray"] == cents(32.85)


def test_the_command_line_prints_a_custom_case(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["costs.py", "--rate", "50", "--batch", "1"])
    costs.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| events per second | 50 |"
    assert "| API Gateway | 459.90 |" in lines


def test_resources_with_a_false_condition_are_not_counted(tmp_path):
    root = tmp_path
    (root / "stacks").mkdir()
    (root / "glue").mkdir()
    stack = "  {0}: {{ Type: AWS::CloudFormation::Stack, {1} Properties: {{ TemplateURL: 'stacks/{0}.yaml' }} }}\n"
    small(root, stack.format("Always", "") + stack.format("Again", "") + stack.format("Sometimes", "Condition: HasIt,"))
    made = "Resources:\n  Board: { Type: AWS::CloudWatch::Dashboard, Properties: {} }\n  Bell: { Type: AWS::CloudWatch::Alarm, Properties: {} }\n"
    for name in ("Always", "Again", "Sometimes"):
        (root / "stacks" / f"{name}.yaml").write_text(made)
    (root / "api.yaml").write_text(
        "paths:\n  /a:\n    get:\n      responses: {}\n    options:\n    x-amazon-apigateway-any-method:\n"
    )
    (root / "glue" / "ledger.py").write_text("")
    found = sources.read(root)
    assert (found["dashboards"], found["alarm_metrics"], found["methods"]) == (2, 2, 3)
    # Without a rule for the lake, its replaced files are kept as long as raw files: 30 days.
    assert found["lake_version_days"] == 30
