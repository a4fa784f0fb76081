"""Pastes the commands of docs/self-guided-demo.md into one shell, except those that the emulator does not support."""

import gzip
import json
import os
import re
import time
from pathlib import Path

import boto3
import pytest

from pasted import Shell, blocks_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = {
    int(heading.split()[1].rstrip(".")): blocks
    for heading, blocks in blocks_of(ROOT / "docs" / "self-guided-demo.md", r"## \d+\. .+").items()
}

# The sections whose blocks the tests paste, in this order.
PASTED = (1, 2, 3, 4, 5, 6, 8, 9)

# Blocks that are not pasted, by their first line, with reasons. `tests/documents` validates the commands of these
# blocks against the AWS models.
NOT_HERE = {
    "cargo dataless doctor --aws": "it checks an AWS account; tests/doctor runs it on moto",
    'aws logs tail /aws-glue/crawlers --log-stream-name-prefix "$STACK-raw" --since 1h': "the emulator's crawlers write no logs",
    'aws logs tail "$(output GlueLogGroups)/output" --since 1h': "Glue jobs write no CloudWatch logs here: Spark runs outside the emulator",
    "sam build": "the emulator has no Redshift; tests/stacks deploys it to moto",
    'aws glue start-job-run --job-name "$(output RedshiftExportJob)" \\': "as above",
    'STATEMENT=$(aws redshift-data execute-statement --cluster-identifier "$STACK" --database warehouse \\': "as above",
    'aws redshift pause-cluster --cluster-identifier "$STACK"': "as above",
    'aws cloudformation delete-stack --stack-name "$STACK"': "other tests use this stack afterwards",
}

# Replacements for a local run. Each replaced text occurs exactly once on the page.
DIFFERENT = {
    "STACK=warehouse": f"STACK={os.environ.get('DATALESS_STACK')}",
    # The API's host name on AWS does not resolve to an emulator.
    "BASE_URL=$(output BaseURL)": f"BASE_URL={os.environ.get('DATALESS_BASE_URL')}",
    "--duration 10m": "--duration 2s",
    "--impressions 1000000": "--impressions 2000",
    "--out /tmp/sample": '--out "$SAMPLE"',
    "aws s3 sync /tmp/sample/data/raw": 'aws s3 sync "$SAMPLE/data/raw"',
}

# The emulator's Athena cannot read ORC. It runs one query. Then `ask` only records the queries of the page, for Spark.
ASK_SPARK = """
test "$(ask 'SELECT 6 * 7 AS answer')" = "SUCCEEDED
answer
42"
ask() { printf '%s\\0' "$1" >>"$ASKED"; }
"""

# Replaces `cargo dataless loadgen` with the load generator that is already built.
PRELUDE = 'cargo() { shift 2; "$DATALESS_LOADGEN" "$@"; }'


def first_line(block):
    return block.splitlines()[0]


class Demo:
    """The reader's shell, and the queries that the commands of the page ran in it."""

    def __init__(self, folder):
        self.folder = folder
        tools = Path(os.environ["DATALESS_SPARK_PYTHON"]).parent
        variables = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "SAMPLE": str(folder / "sample"),
            "ASKED": str(folder / "asked"),
            "LOADGEN_CONFIG": str(ROOT / "load-generator/config.yaml"),
            "LOADGEN_SCHEMAS": str(ROOT / "events"),
        }
        self.shell = Shell(folder, PRELUDE, **variables)
        self.day = time.strftime("%F", time.gmtime())

    def paste(self, number):
        """Pastes the blocks of a section, and returns the output of each."""
        assert number in PASTED
        printed = []
        for block in PAGE[number]:
            if first_line(block) in NOT_HERE:
                continue
            if block.startswith("ask() {"):
                block += ASK_SPARK
            for page, here in DIFFERENT.items():
                block = block.replace(page, here)
            printed.append(self.shell.paste(block))
        if time.strftime("%F", time.gmtime()) != self.day:
            pytest.skip("midnight (UTC) passed: the page's days are another day's")
        return printed

    @property
    def asked(self):
        """Returns the queries recorded so far."""
        return (self.folder / "asked").read_text(encoding="utf-8").split("\0")[:-1]

    def value(self, text):
        return self.shell.paste(f'printf %s "{text}"')


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    demo = Demo(tmp_path_factory.mktemp("demo"))
    yield demo
    demo.shell.close()


def events_of(warehouse, table, ad, day):
    """Returns the ids of an ad's events on a day, from all raw objects of the table."""
    found = set()
    for page in warehouse.s3.get_paginator("list_objects_v2").paginate(
        Bucket=warehouse.bucket, Prefix=f"data/raw/ad/{table}/"
    ):
        for item in page.get("Contents", []):
            content = warehouse.s3.get_object(Bucket=warehouse.bucket, Key=item["Key"])["Body"].read()
            text = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
            lines = [json.loads(line) for line in text.decode().splitlines() if f'"{ad}"' in line]
            found |= {line[f"{table[:-1]}_id"] for line in lines if line["occurred_at"].startswith(day)}
    return found


def test_only_the_valid_event_is_acknowledged(demo):
    demo.paste(1)
    (printed,) = demo.paste(2)
    good, bad = (json.loads(answer) for answer in printed.replace("}{", "}\n{").splitlines())
    assert len(good["records"][0].pop("id")) == 36
    assert good == {"failed_count": 0, "records": [{"failed": False}]}
    assert (bad["failed_count"], bad["records"][0]["error_code"]) == (1, "InvalidId")


def test_both_dashboards_exist_and_the_load_arrives(demo):
    dashboards, report, listed = demo.paste(3)
    names = [url.rpartition("/")[2] for url in dashboards.splitlines()]
    assert len(names) == 2
    for name in names:
        body = boto3.client("cloudwatch").get_dashboard(DashboardName=name)["DashboardBody"]
        assert json.loads(body)["widgets"]
    assert report.splitlines()[-1] == "Complete: every event was acknowledged."
    assert "data/raw/ad/clicks/" in listed and "Total Objects:" in listed


def test_the_raw_crawler_runs(demo):
    (state,) = demo.paste(4)
    assert json.loads(state)[0] in ("RUNNING", "STOPPING", "READY")


def test_each_etl_job_is_started_for_the_day(demo, warehouse):
    glue = boto3.client("glue")
    python, scala = demo.paste(5)
    assert re.search(r'"(STARTING|RUNNING|SUCCEEDED)"', python)
    assert python.count("JobRunId") == scala.count("JobRunId") == 2
    today = demo.value("$TODAY")
    for job in ("ImpressionsPython", "ClicksPython", "ImpressionsScala", "ClicksScala"):
        name = demo.value(f"$(output {job}ETLJob)")
        assert today in [run["Arguments"].get("--day") for run in glue.get_job_runs(JobName=name)["JobRuns"]]
        if "Python" in job:
            # The emulator only records the run, so run the job here.
            warehouse.run_job(name, {"--day": today})


def test_the_queries_find_the_events(demo, warehouse):
    demo.paste(6)
    ledger, count, by_ad, raw = (warehouse.sql(statement) for statement in demo.asked)
    kept = {}
    for table, lines, *fates in ledger:
        assert lines == sum(fates) > 0
        kept[table] = fates[0]
    assert kept.keys() == {"impressions", "clicks"}
    assert count == [[kept["impressions"]]] and kept["impressions"] > 1000
    assert len(by_ad) == 5 and all(len(ad) == 36 and views > 1 for ad, views in by_ad)
    assert raw >= count


def test_a_night_of_sample_data_is_served(demo, warehouse):
    demo.paste(8)
    status, traffic = demo.paste(9)
    assert status == "SUCCEEDED"
    ad, yesterday = demo.value("$AD"), demo.value("$YESTERDAY")
    answer = json.loads(traffic)
    counted = {day["day"]: (day["impressions"], day["clicks"]) for day in answer["days"]}
    impressions = events_of(warehouse, "impressions", ad, yesterday)
    assert len(impressions) > 100
    assert counted[yesterday][0] == len(impressions)
    ((views, clicks),) = warehouse.sql(demo.asked[-1])
    assert views > clicks > 0
    assert 0 < counted[yesterday][1] <= len(events_of(warehouse, "clicks", ad, yesterday))


def test_every_block_is_pasted_or_has_its_reason():
    first_lines = [first_line(block) for blocks in PAGE.values() for block in blocks]
    assert [line for line in NOT_HERE if first_lines.count(line) != 1] == []
    left = {line for number, blocks in PAGE.items() if number not in PASTED for line in map(first_line, blocks)}
    assert left <= NOT_HERE.keys()


def test_replaced_texts_are_on_the_page_once():
    page = "".join(block for blocks in PAGE.values() for block in blocks)
    assert [text for text in DIFFERENT if page.count(text) != 1] == []
