"""What a million events cost on AWS, as the page docs/costs.md.

    python3 tools/costs/costs.py                 print the page
    python3 tools/costs/costs.py --write         write it
    python3 tools/costs/costs.py --measure-gzip  the bytes of an event after gzip, for prices.toml

Prices and assumptions stand in prices.toml beside this file; memory and buffer sizes are read from template.yaml.
"""

import argparse
import gzip
import math
import random
import re
import tomllib
import uuid
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAGE = ROOT / "docs" / "costs.md"

MILLION = 1_000_000
EVENTS_A_SECOND = (1, 100, 10_000)

# Jobs of the nightly state machine for a day: the ETL of two tables, two derivations, the load, the ledger.
JOBS_A_DAY = 6
EVENTS_A_REQUEST = (1, 10, 100, 500)

# Firehose bills records in steps of 5 KB. https://aws.amazon.com/firehose/pricing/
FIREHOSE_STEP_BYTES = 5 * 1024

# The memory that buys a whole vCPU. https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MB_A_VCPU = 1769

# Metrics that the functions publish, and those of the ledger for two tables.
PUBLISHED_METRICS = 3 + 6 * 2

# Count, Latency, IntegrationLatency, 4XXError, 5XXError, for each method that was called.
METRICS_A_METHOD = 5
METHODS = 3


def load():
    return tomllib.loads((HERE / "prices.toml").read_text(encoding="utf-8"))


def read_templates():
    """The templates of what every warehouse has."""
    return "\n".join((ROOT / name).read_text(encoding="utf-8") for name in ("template.yaml", "stacks/dashboards.yaml"))


def from_template(text):
    """Sizes that the template sets: memory of the functions, buffers of the streams, things with a monthly price."""

    def default(parameter):
        return float(re.search(rf"^  {parameter}:\n(?:    .*\n)*?    Default: (\S+)$", text, re.MULTILINE)[1])

    def count(kind):
        return len(re.findall(rf"^    Type: AWS::{kind}$", text, re.MULTILINE))

    return {
        "memory_mb": int(re.search(r"^    MemorySize: (\d+)$", text, re.MULTILINE)[1]),
        "object_mb": default("DeliveryBufferSizeMB"),
        "object_seconds": default("DeliveryBufferIntervalSeconds"),
        "batch_mb": default("MetricsBufferSizeMB"),
        "batch_seconds": default("MetricsBufferIntervalSeconds"),
        "workers": int(default("GlueNumberOfWorkers")),
        "lookback_days": int(default("LookbackDays")),
        "dashboards": count("CloudWatch::Dashboard"),
        "alarm_metrics": alarm_metrics(text),
        "secrets": count("SecretsManager::Secret"),
    }


def alarm_metrics(text):
    """The metrics that alarms watch. An alarm on an expression watches all that go into it, and is billed for each."""
    resources = re.split(r"^  (?=\w+:$)", text, flags=re.MULTILINE)
    alarms = [resource for resource in resources if re.search(r"^    Type: AWS::CloudWatch::Alarm$", resource, re.MULTILINE)]
    return sum(max(1, len(re.findall(r"\bMetricStat:", alarm))) for alarm in alarms)


def firehose_bytes(record_bytes):
    """The bytes that Firehose bills for a record."""
    return math.ceil(record_bytes / FIREHOSE_STEP_BYTES) * FIREHOSE_STEP_BYTES


def capture_ms(assumed, memory_mb, events):
    """Billed milliseconds of an invocation: the wait for Firehose, and the processor time at this memory's share."""
    slope = (assumed["cpu_ms_of_500"] - assumed["cpu_ms_of_1"]) / 499
    cpu_ms = assumed["cpu_ms_of_1"] + slope * (events - 1)
    return math.ceil(assumed["round_trip_ms"] + cpu_ms * MB_A_VCPU / memory_mb)


def flushes(workload, megabytes, seconds):
    """How often a buffer is handed on for a million events: when it is full, or else when its time is over."""
    by_size = MILLION * workload["event_bytes"] / (megabytes * 1024 * 1024)
    by_time = MILLION / workload["events_a_month"] * workload["seconds_a_month"] / seconds
    return max(by_size, by_time)


def costs(data, template, events, one_event_a_record=False):
    """Dollars for a million events sent in requests of this many, by line of the bill."""
    workload, capture, sink = data["workload"], data["capture"], data["metrics_sink"]
    memory_gb = template["memory_mb"] / 1024

    def pay(name, quantity):
        return data["price"][name]["usd"] * quantity / data["price"][name]["units"]

    def invocations(quantity, milliseconds):
        return pay("lambda_request", quantity) + pay("lambda_gb_second", quantity * memory_gb * milliseconds / 1000)

    requests = MILLION / events
    event_bytes = workload["event_bytes"]
    billed = events * firehose_bytes(event_bytes) if one_event_a_record else firehose_bytes(events * event_bytes)
    answer_bytes = capture["answer_header_bytes"] + len('{"failed_count":0,"records":[]}') + events * len('{"failed":false},') - 1
    sinks = flushes(workload, template["batch_mb"], template["batch_seconds"])
    objects = flushes(workload, template["object_mb"], template["object_seconds"])
    log_bytes = requests * (capture["lambda_log_bytes"] + capture["access_log_bytes"]) + sinks * sink["log_bytes"]
    return {
        "API Gateway": pay("api_request", requests),
        "Data transfer out": pay("data_out", requests * answer_bytes),
        "Lambda, capture": invocations(requests, capture_ms(capture, template["memory_mb"], events)),
        "Data Firehose": pay("firehose_gb", requests * billed),
        "Lambda, metrics sink": invocations(sinks, sink["duration_ms"]),
        "S3, PUT": pay("s3_put", objects),
        "S3, a month of raw": pay("s3_gb_month", MILLION * workload["stored_bytes_an_event"]),
        "CloudWatch, metrics": pay("put_metric_data", sinks),
        "CloudWatch, logs": pay("logs_gb", log_bytes),
        "X-Ray": pay("trace", requests * capture["traced_share"]),
    }


def standing(data, template):
    """Dollars a month that do not depend on the number of events."""
    rows = {
        "custom_metric": PUBLISHED_METRICS + METRICS_A_METHOD * METHODS,
        "dashboard": template["dashboards"],
        "alarm_metric": template["alarm_metrics"],
        "secret": template["secrets"],
    }
    return {data["price"][name]["what"]: (count, count * data["price"][name]["usd"]) for name, count in rows.items()}


def month(data, template, events_a_second):
    """Dollars a month at a steady rate, by line of the bill."""
    workload = data["workload"]
    events = events_a_second * workload["seconds_a_month"]
    at_rate = data | {"workload": workload | {"events_a_month": events}}
    lines = {
        line: amount * events / MILLION for line, amount in costs(at_rate, template, workload["events_a_request"]).items()
    }
    days = workload["seconds_a_month"] / 86400
    runs = JOBS_A_DAY * template["lookback_days"] * days
    lines["Glue, a minute a run (at least)"] = runs * template["workers"] * data["price"]["glue_dpu_hour"]["usd"] / 60
    writes = workload["ads_a_day"] * template["lookback_days"] * days
    lines["DynamoDB, writes (at most)"] = writes * data["price"]["dynamodb_write"]["usd"] / data["price"]["dynamodb_write"]["units"]
    lines["what does not depend on events"] = sum(amount for _, amount in standing(data, template).values())
    return lines


def usd(amount, digits=4):
    return f"{amount:.{digits}f}"


def table(header, rows):
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])


def page(data, template):
    workload, capture = data["workload"], data["capture"]
    ours = {events: costs(data, template, events) for events in EVENTS_A_REQUEST}
    theirs = {events: costs(data, template, events, one_event_a_record=True) for events in EVENTS_A_REQUEST}

    header = ["a million events, in requests of", *(str(events) for events in EVENTS_A_REQUEST)]
    bill = [[line, *(usd(ours[events][line]) for events in EVENTS_A_REQUEST)] for line in ours[1]]
    bill.append(["**all**", *(f"**{usd(sum(ours[events].values()))}**" for events in EVENTS_A_REQUEST)])
    bill.append(["all, with one event a record", *(usd(sum(theirs[events].values())) for events in EVENTS_A_REQUEST)])

    firehose = []
    for name, one_by_one in [("events of a request in a record", False), ("one event a record", True)]:
        results = theirs if one_by_one else ours
        ratios = [
            (firehose_bytes(workload["event_bytes"]) / workload["event_bytes"])
            if one_by_one
            else firehose_bytes(events * workload["event_bytes"]) / (events * workload["event_bytes"])
            for events in EVENTS_A_REQUEST
        ]
        firehose.append([f"{name}: USD", *(usd(results[events]["Data Firehose"]) for events in EVENTS_A_REQUEST)])
        firehose.append([f"{name}: bytes billed a byte", *(f"{ratio:.2f}" for ratio in ratios)])

    rates = {rate: month(data, template, rate) for rate in EVENTS_A_SECOND}
    rate_rows = [[line, *(usd(rates[rate][line], 2) for rate in EVENTS_A_SECOND)] for line in rates[1]]
    rate_rows.append(["**all**", *(f"**{usd(sum(rates[rate].values()), 2)}**" for rate in EVENTS_A_SECOND)])
    durations = ", ".join(
        f"{capture_ms(capture, template['memory_mb'], events)} ms for {events}" for events in EVENTS_A_REQUEST
    )
    months = standing(data, template)
    month_rows = [[what, str(count), usd(amount, 2)] for what, (count, amount) in months.items()]
    month_rows.append(["**all**", "", f"**{usd(sum(amount for _, amount in months.values()), 2)}**"])
    glue_minute = template["workers"] * data["price"]["glue_dpu_hour"]["usd"] / 60
    prices = [
        [price["what"], f"{price['usd']:.10f}".rstrip("0").rstrip("."), price["per"], price["confidence"], price["source"]]
        for price in data["price"].values()
    ]
    price_table = table(["price", "USD", "per", "confidence", "source"], prices).replace(
        "| --- | ---: | ---: | ---: | ---: |", "| --- | ---: | --- | --- | --- |"
    )
    return f"""# What it costs

Written by `python3 tools/costs/costs.py --write` from `tools/costs/prices.toml` and `template.yaml`. Do not edit it here: a test
compares this page with what the program prints.

List prices of {data["region"]} as of {data["date"]}, in US dollars, without free tiers. None of it was read off a bill.

## A million events

{table(header, bill)}

What a client sends in one request decides: at {EVENTS_A_REQUEST[-1]} events a request a million events cost a
{sum(ours[1].values()) / sum(ours[EVENTS_A_REQUEST[-1]].values()):.0f}th of what they cost one by one. The last line is the same warehouse with one event a record, as the 2019
original wrote them; it changes the line of Data Firehose, which rounds each record up to 5 KB:

{table(header, firehose)}

## A month

At a steady rate, {workload["events_a_request"]} events a request and {workload["ads_a_day"]:,} ads with traffic on a day; storage is that of the first month.

{table(["events a second", *(f"{rate:,}" for rate in EVENTS_A_SECOND)], rate_rows)}

The nightly jobs are billed for a minute at least, and that is what stands here: {JOBS_A_DAY} jobs for each of {template["lookback_days"]} days. How long they take for
{EVENTS_A_SECOND[-1] * 86400 // MILLION} million events a day was not tried, for want of an account; expect this line to grow and raise `GlueNumberOfWorkers`. Writes to
DynamoDB are those of rows that changed, so fewer than said. The optional parts are in [redshift.md](redshift.md) and
[data-pipeline.md](data-pipeline.md).

## What is assumed

- An event is a line of {workload["event_bytes"]} bytes (an impression), {workload["stored_bytes_an_event"]} after gzip.
- {workload["events_a_month"] // MILLION} million events a month, evenly spread. That fills the buffers of the delivery stream so far that it hands
  {flushes(workload, template["batch_mb"], template["batch_seconds"]):,.0f} batches of a million events to the metrics sink and writes {flushes(workload, template["object_mb"], template["object_seconds"]):,.0f} objects. With fewer events a month these lines grow, with
  more they shrink.
- Functions have {template["memory_mb"]} MB on arm64. Capture is billed {durations} events: {capture["round_trip_ms"]} ms of waiting for Firehose, and the
  processor time at that memory's share of a vCPU. Starts of new instances are left out; they are a few in a thousand.
- The metrics sink is billed {data["metrics_sink"]["duration_ms"]} ms a batch.
- An invocation logs {capture["lambda_log_bytes"]} bytes, a request {capture["access_log_bytes"]}. X-Ray records {capture["traced_share"]:.0%} of the requests.
- Storage is for raw events, for a month. The lake takes about as much again.

## Each month, however many events

{table(["", "count", "USD"], month_rows)}

A month without any data has no metrics to pay. A Glue job costs {usd(glue_minute)} a minute ({template["workers"]} workers), and is billed for one minute at
least.

## Prices

{price_table}

`high`: AWS's own page or price data was read. `medium`: read in a secondary source, or an old copy. `low`: from memory. Stored copies
were read, not the live pages.
"""


def measure_gzip():
    """Bytes an event of 100,000 impressions at 10,000 ads, a millisecond apart, as Firehose compresses an object."""
    generator = random.Random(1)
    new_id = lambda: uuid.UUID(int=generator.getrandbits(128), version=4)
    ads = [new_id() for _ in range(10_000)]
    lines = [
        f'{{"impression_id":"{new_id()}","ad_id":"{generator.choice(ads)}","occurred_at":"2026-11-21 08:{at // 60_000:02}:{at // 1000 % 60:02}.{at % 1000:03}"}}\n'
        for at in range(100_000)
    ]
    return len(gzip.compress("".join(lines).encode())) / len(lines)


def main():
    parser = argparse.ArgumentParser(description="Writes docs/costs.md from the price list.")
    parser.add_argument("--write", action="store_true", help="write docs/costs.md instead of printing it")
    parser.add_argument("--measure-gzip", action="store_true", help="print the bytes of an event after gzip")
    arguments = parser.parse_args()
    if arguments.measure_gzip:
        print(f"{measure_gzip():.1f}")
        return
    text = page(load(), from_template(read_templates()))
    if arguments.write:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
