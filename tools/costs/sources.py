"""Inputs of the cost page from the sources: sizes, buffers, and the number of billed resources in a default warehouse.

The templates are read with their conditions and the stacks below them, as the defaults of the parameters decide.
"""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "delivery"))
SIZES = ROOT / "tools" / "costs" / "sizes.json"

from account.template import Resource, Template  # noqa: E402

STACK_NAME = "dataless"

# What the nightly state machine (pipeline/daily.asl.json) runs: once for the day that arrived, with an ETL for each event type, and for
# each event day that it touched. By the ends of the jobs' names.
ETL_JOB, LEDGER_JOB = "-python-etl", "ledger"
DERIVING_JOBS = ("advertising", "ad-traffic", "ad-traffic-load")

METHOD = r"^    (?:get|put|post|delete|options|head|patch|x-amazon-apigateway-any-method):$"


def read(root: Path = ROOT) -> dict[str, Any]:
    """What a warehouse with default parameters has: its templates, the API, the ledger job."""
    template = Template(root / "template.yaml", {}, {"AWS::StackName": STACK_NAME})
    api, ledger = ((root / path).read_text(encoding="utf-8") for path in ("api.yaml", "glue/ledger.py"))
    return from_template(template, api, ledger)


def sizes() -> dict[str, int]:
    """Bytes of a raw line by event type. `cargo dataless events sync` writes them from the schemas."""
    return json.loads(SIZES.read_text(encoding="utf-8"))


def from_template(template: Template, api: str = "", ledger: str = "") -> dict[str, Any]:
    resources = list(template.resources())

    def default(parameter: str) -> float:
        return float(template.parameter(parameter))

    def of(kind: str) -> list[Resource]:
        return [one for one in resources if one.type == f"AWS::{kind}"]

    # Each event type has one.
    types = len(of("KinesisFirehose::DeliveryStream"))
    jobs = {one.value("Name").removeprefix(f"{STACK_NAME}-"): one for one in of("Glue::Job")}
    touched = touched_days(int(default("LookbackDays")), int(default("AttributionDays")))
    nightly = {name: job for name, job in jobs.items() if is_nightly(name)}
    runs = {name: touched if name in DERIVING_JOBS else 1 for name in nightly}
    profiles = {name: glue_metrics(job.properties["DefaultArguments"], workers(job)) for name, job in nightly.items()}
    return {
        "memory_mb": template.content["Globals"]["Function"]["MemorySize"],
        "object_mb": default("DeliveryBufferSizeMB"),
        "object_seconds": default("DeliveryBufferIntervalSeconds"),
        "batch_mb": default("MetricsBufferSizeMB"),
        "batch_seconds": default("MetricsBufferIntervalSeconds"),
        "workers": int(default("GlueNumberOfWorkers")),
        "touched_days": touched,
        "arrival_jobs": sum(name not in DERIVING_JOBS for name in nightly),
        "runs_a_night": sum(runs.values()),
        "workers_a_night": sum(runs[name] * workers(job) for name, job in nightly.items()),
        "lake_version_days": lake_version_days(of("S3::Bucket")) or int(default("NoncurrentVersionDays")),
        "types": types,
        "methods": len(re.findall(METHOD, api, re.MULTILINE)),
        "ledger_metrics": ledger_metrics(ledger, types),
        "glue_metrics": sum(profiles.values()),
        "glue_metrics_of_runs": sum(runs[name] * count for name, count in profiles.items()),
        "job_metrics": sum(job_metrics(job.properties) for job in nightly.values()),
        "dashboards": len(of("CloudWatch::Dashboard")),
        "alarm_metrics": sum(alarm_metrics(one.properties) for one in of("CloudWatch::Alarm")),
        "secrets": len(of("SecretsManager::Secret")),
    }


def is_nightly(name: str) -> bool:
    return name.endswith(ETL_JOB) or name == LEDGER_JOB or name in DERIVING_JOBS


def touched_days(lookback_days: int, attribution_days: int) -> int:
    """The event days of a night: those that an arriving event may have, tomorrow's clocks left out, and those before
    them, whose impressions may still be clicked."""
    return lookback_days + 1 + attribution_days


def workers(job: Resource) -> int:
    # Only jobs in tests lack it.
    return int(job.value("NumberOfWorkers") or 2)


def glue_metrics(arguments: dict[str, Any], workers: int) -> int:
    """The metrics that a run of a Glue job publishes, by its arguments.

    With --enable-metrics: 9 sums, the disk and 2 counts of executors; heap (share and bytes), S3 (read and written) and CPU for the
    driver, for each executor and for all. Streaming jobs have more.
    https://docs.aws.amazon.com/glue/latest/dg/monitoring-awsglue-with-cloudwatch-metrics.html
    With --enable-observability-metrics: 2 of skew, the success, the workers' use; 9 of memory and 3 of disk for the driver and for
    all. Those of throughput, which short runs lack, are left out.
    https://docs.aws.amazon.com/glue/latest/dg/monitor-observability.html
    """
    profile = 9 + 1 + 2 + 5 * (workers + 1) if "--enable-metrics" in arguments else 0
    observability = 2 + 1 + 1 + 2 * (9 + 3) if "--enable-observability-metrics" in arguments else 0
    return profile + observability


def job_metrics(job: dict[str, Any]) -> int:
    """The metrics that glue/lake/measure.py publishes of a job that imports it: time, rows (the ledger has none) and failures."""
    if "/lake.zip" not in json.dumps(job["DefaultArguments"]):
        return 0
    return 2 if "/glue/ledger.py" in json.dumps(job["Command"]) else 3


def alarm_metrics(alarm: dict[str, Any]) -> int:
    """The metrics that an alarm watches. One on an expression watches all that go into it, and is billed for each."""
    return max(1, sum("MetricStat" in one for one in alarm.get("Metrics", [])))


def lake_version_days(buckets: Iterable[Resource]) -> int | None:
    """Days that replaced files of the lake are kept by their own lifecycle rule, or None."""
    rules = [rule for one in buckets for rule in one.properties.get("LifecycleConfiguration", {}).get("Rules", [])]
    return min(
        (rule["NoncurrentVersionExpiration"]["NoncurrentDays"] for rule in rules if rule.get("Prefix") == "data/lake/"),
        default=None,
    )


def ledger_metrics(text: str, types: int) -> int:
    """The metrics that the ledger job publishes, for so many tables."""
    figures = re.search(r"^METRICS = \{(.*?)\}", text, re.MULTILINE | re.DOTALL)
    names = {*re.findall(r'"(\w+)":', figures[1] if figures else ""), *re.findall(r'\bmetric\((?:\w+, )*"(\w+)"', text)}
    return types * len(names)
