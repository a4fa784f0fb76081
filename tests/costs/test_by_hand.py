"""Lines of the cost page against sums worked out by hand, from the prices and the way AWS bills, not from the program's formulas."""

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

# Sums are those of the example's two event types; each type more adds what is written beside its test.
MORE = len(event_types.names()) - 2


def standing(line, template=TEMPLATE):
    [(count, usd)] = [(count, usd) for what, count, usd in costs.standing(DATA, template) if what.startswith(line)]
    return count, usd


def cents(usd):
    return pytest.approx(usd, abs=0.005)


def test_a_month_of_glue():
    # 2 ETLs, 1 ledger and 3 jobs x 5 days are 18 runs x 30 5/12 nights = 547.5, each a minute of 2 DPUs: 18.25 DPU-hours at 0.44.
    # A type more is a run more: 0.446.
    assert costs.month(DATA, TEMPLATE, 1)["Glue, at least a minute per run"] == cents(8.03 + 0.4461 * MORE)


def test_workers_of_the_etl_count_for_its_runs_only():
    # 5 workers in 2 runs, 2 in 16: 42 DPU-minutes x 30 5/12 nights are 21.2917 DPU-hours. A type more is a run
    # of 5 workers: 1.115.
    template = Template(ROOT / "template.yaml", {"ETLNumberOfWorkers": "5"}, {"AWS::StackName": sources.STACK_NAME})
    more = sources.from_template(template)
    assert costs.month(DATA, TEMPLATE | {"workers_a_night": more["workers_a_night"]}, 1)[
        "Glue, at least a minute per run"
    ] == cents(9.368 + 1.1153 * MORE)


def test_a_night_runs_the_jobs_that_the_state_machine_runs():
    states = json.loads((ROOT / "pipeline" / "daily.asl.json").read_text(encoding="utf-8"))["States"]

    def jobs(*names):
        return set(re.findall(r'"JobName": "(.*?)", "Arguments"', "".join(json.dumps(states[name]) for name in names)))

    (etl,) = jobs("Fill the lake")
    # Of each event type, in the language that is configured.
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
    # From LookbackDays + AttributionDays days before the day that arrived up to that day.
    assert "[-(${LookbackDays} + ${AttributionDays}).." in states["Days"]["Assign"]["touched"]
    assert sources.touched_days(3, 1) == 5


def test_writes_to_dynamodb():
    # 10,000 ads x 5 days x 30 5/12 nights = 1.5208 million writes at 0.625.
    assert costs.month(DATA, TEMPLATE, 1)["DynamoDB, writes (at most)"] == cents(0.95)


def test_metrics_of_the_api():
    # POST, OPTIONS and any other method of two beacons; GET, OPTIONS and any other of the traffic: 9 methods, 5 metrics each, at 0.30.
    assert standing("metrics of the API") == (45 + 15 * MORE, cents(13.50 + 4.50 * MORE))


def test_metrics_of_the_streams():
    assert standing("metrics of the streams") == (2 + MORE, cents(0.60 + 0.30 * MORE))


def test_metrics_of_the_ledger():
    # RawLines, Kept, Repeats, Rejected, Late, Unbalanced and RealTimeDivergence of two tables: 14. Sent in 2 of a day's 24 hours: a
    # twelfth of 0.30 each.
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
    # A run on 2 workers. --enable-metrics: bytesRead, elapsedTime, numCompletedStages, numCompletedTasks, numFailedTasks, numKilledTasks,
    # recordsRead, shuffleBytesWritten, shuffleLocalBytesRead (9), diskSpaceUsed_MB (1), numberAllExecutors and
    # numberMaxNeededExecutors (2), and heap.usage, heap.used, read_bytes, write_bytes, cpuSystemLoad (5) of the driver, of the executor
    # and of all (3): 27.
    plain = {"--job-language": "python"}
    profiled = plain | {"--enable-metrics": "true"}
    # --enable-observability-metrics: skewness.stage and skewness.job, succeed.ALL, workerUtilization (4); heap, non-heap and total, each
    # available, used and in percent (9), and disk, available, used and in percent (3), of the driver and of all: 28.
    observed = profiled | {"--enable-observability-metrics": "true"}
    assert [sources.glue_metrics(job, 2) for job in (plain, profiled, observed)] == [0, 27, 55]

    # 6 jobs x 55 = 330. Under ALL in 2 of a day's 24 hours: 330 x 0.30 / 12 = 8.25. Under the ids of 547.5 runs, of 730 hours that a month
    # has, an hour each: 18 x 55 = 990 a night, 55 x 0.30 x 547.5 / 730 = 12.375.
    counted = {"glue_metrics": 330, "glue_metrics_of_runs": 990}
    assert standing("metrics of Glue", TEMPLATE | counted) == (330, cents(20.625))


def test_metrics_that_jobs_publish_of_themselves():
    # 2 ETLs, 2 of HiveQL and the load with time, rows and failures, and the ledger without rows: 5 x 3 + 2 = 17, in 2 of a day's 24
    # hours: 17 x 0.30 / 12 = 0.425.
    assert standing("metrics of the jobs") == (17 + 3 * MORE, cents(0.425 + 0.075 * MORE))
    # None of them asks Glue for its own.
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
    """What is read of a template with these resources."""
    (folder / "template.yaml").write_text(SMALL + resources)
    return Template(folder / "template.yaml", {}, {"AWS::StackName": sources.STACK_NAME})


def test_an_alarm_that_is_not_there_by_default_does_not_count(tmp_path):
    alarms = "  One: { Type: AWS::CloudWatch::Alarm, Properties: {} }\n  Two: { Type: AWS::CloudWatch::Alarm, Condition: HasIt, Properties: {} }\n"
    assert sources.from_template(small(tmp_path, alarms))["alarm_metrics"] == 1


def test_only_the_jobs_of_the_night_count(tmp_path):
    job = "  {0}: {{ Type: AWS::Glue::Job, Properties: {{ Name: !Sub '${{AWS::StackName}}-{1}', DefaultArguments: {{ --enable-metrics: '' }} }} }}\n"
    names = ("ledger", "ad-traffic", "erase", "orders-scala-etl", "orders-python-etl")
    jobs = "".join(job.format(f"Job{number}", name) for number, name in enumerate(names))
    jobs = jobs.replace("} }\n", ", Command: {} } }\n")
    found = sources.from_template(small(tmp_path, jobs))
    # 27 each; ad-traffic runs 5 times.
    assert (found["glue_metrics"], found["runs_a_night"], found["arrival_jobs"]) == (81, 7, 2)


def test_replaced_files_of_the_lake():
    # 100 events a second are 8.64 million a day, 22.5 bytes each of advertising: 0.18105 GiB. A night replaces 4 of its 5 days.
    # Kept for a day and until midnight, 2 nights' worth is there: 8 copies, 1.4484 GiB at 0.023.
    line = "S3, replaced files of the lake"
    assert TEMPLATE["lake_version_days"] == 1
    assert costs.month(DATA, TEMPLATE, 100)[line] == pytest.approx(0.03331, abs=0.00001)
    # Without rules of its own the lake's are kept as long as raw's: 31 nights' worth, 124 copies, 22.450 GiB.
    assert costs.month(DATA, TEMPLATE | {"lake_version_days": 30}, 100)[line] == pytest.approx(0.5164, abs=0.0001)


def test_the_lake_itself():
    # A million rows of 45 bytes: 0.041910 GiB at 0.023.
    assert costs.costs(DATA, TEMPLATE, 1)["S3, a month of the lake"] == pytest.approx(0.000964, abs=0.000001)


def test_a_million_events_one_a_request():
    lines = costs.costs(DATA, TEMPLATE, 1)
    # A million requests: 0.20 for them; 23 ms (20 of waiting, 0.3 of a vCPU at 256 of 1,769 MB is 2.07, rounded up) at a quarter of a GB
    # are 5,750 GB-seconds: 0.076667.
    assert lines["Lambda, capture"] == pytest.approx(0.276667, abs=0.000001)
    # 1,150 bytes of logs each, and 700 for 1,752 batches of the sink: 1,151,226,400 bytes = 1.07216 GiB at 0.50.
    assert lines["CloudWatch, logs"] == pytest.approx(0.53608, abs=0.00001)
    # 5 % of a million traces at 5.00 a million.
    assert lines["X-Ray"] == pytest.approx(0.25)
    # 15 s of 26.28 s that a million events take, at 100 million a month: 1,752 calls at 0.01 a thousand.
    assert lines["CloudWatch, metrics"] == pytest.approx(0.01752)


def test_answers_that_leave_aws():
    # 500 bytes of headers, {"failed_count":0,"records":[]} with its 31 and {"failed":false} with its 16: 547 million bytes are
    # 0.509434 GiB at 0.09. 500 events have 499 commas: 2,000 answers of 9,030 bytes are 0.016820 GiB.
    line = "Data transfer out"
    assert costs.costs(DATA, TEMPLATE, 1)[line] == pytest.approx(0.045849, abs=0.000001)
    assert costs.costs(DATA, TEMPLATE, 500)[line] == pytest.approx(0.001514, abs=0.000001)


def test_the_metrics_sink():
    # A million events of 100 million a month take 26,280 s: 1,752 batches of 15 s at 0.20 a million are 0.000350. 60 ms at a quarter of
    # a GB are 26.28 GB-seconds at 0.0000133334: 0.000350 too.
    assert costs.costs(DATA, TEMPLATE, 1)["Lambda, metrics sink"] == pytest.approx(0.000701, abs=0.000001)


def test_objects_of_raw():
    # 26,280 s are 87.6 buffers of 300 s, more than the 1.1 of 128 MiB; 0.005 a thousand.
    assert costs.costs(DATA, TEMPLATE, 1)["S3, PUT"] == pytest.approx(0.000438, abs=0.0000001)
    # 49 bytes each after gzip: 0.045635 GiB at 0.023.
    assert costs.costs(DATA, TEMPLATE, 1)["S3, a month of raw"] == pytest.approx(0.001050, abs=0.000001)


def test_what_a_warehouse_has_once():
    # The dashboards of operations and of real time at 3.00; the key that page tokens are signed with at 0.40.
    assert standing("dashboards") == (2, cents(6.00))
    assert standing("secrets") == (1, cents(0.40))
    count, usd = standing("metrics that alarms watch")
    assert count > 30 and usd == cents(0.10 * count)


def bill(heading):
    """The first table below a heading of the page: its numbers by line."""
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
        # Each line is rounded by itself.
        assert sum(line[column] for line in lines.values()) == pytest.approx(
            sum_of_page, abs=len(lines) * precision / 2
        )


def test_a_million_events_in_all():
    # One per request: 3.5 + 0.045849 + 0.276667 + 0.138283 + 0.000701 + 0.000438 + 0.001050 + 0.000964 + 0.01752 + 0.53608 + 0.25.
    assert bill("A million events")["all"][0] == 4.7676


def test_single_events_of_browsers():
    # 50 a second are 131.4 million requests a month. API Gateway: 131.4 x 3.50. Lambda: 131.4 x 0.276667. Firehose: 131.4 x 5,120 million
    # bytes = 626.56 GiB at 0.029. X-Ray: 131.4 x 0.25.
    single = DATA | {"workload": DATA["workload"] | {"events_a_request": 1}}
    lines = costs.month(single, TEMPLATE, 50)
    assert lines["API Gateway"] == cents(459.90)
    assert lines["Lambda, capture"] == cents(36.35)
    assert lines["Data Firehose"] == cents(18.17)
    assert lines["X-Ray"] == cents(32.85)


def test_the_command_line_prints_a_case_of_ones_own(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["costs.py", "--rate", "50", "--batch", "1"])
    costs.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| events per second | 50 |"
    assert "| API Gateway | 459.90 |" in lines


def test_what_a_condition_guards_is_not_counted(tmp_path):
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
    # No rule for the lake: its replaced files are kept as long as raw's, 30 days.
    assert found["lake_version_days"] == 30
