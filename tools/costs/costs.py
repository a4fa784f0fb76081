"""What a million events cost on AWS, as the page docs/costs.md.

    python3 tools/costs/costs.py                 print the page
    python3 tools/costs/costs.py --write         write it
    python3 tools/costs/costs.py --rate 50 --batch 1
                                                 print a month of 50 events per second, one per request
    python3 tools/costs/costs.py --measure-gzip  the bytes of an event after gzip, for prices.toml

Prices and assumptions are in prices.toml beside this file. Counts are read from the templates, api.yaml and the ledger
job (sources.py), the sizes of other events than impressions from sizes.json.
"""

import argparse
import gzip
import math
import random
import textwrap
import tomllib
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import sources

# What prices.toml has, and what sources.py reads from the templates, by name.
Data = dict[str, Any]
Figures = dict[str, Any]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAGE = ROOT / "docs" / "costs.md"

MILLION = 1_000_000
EVENTS_A_SECOND = (1, 100, 10_000)

EVENTS_A_REQUEST = (1, 10, 100, 500)

# Firehose bills records in steps of 5 KB. https://aws.amazon.com/firehose/pricing/
FIREHOSE_STEP_BYTES = 5 * 1024

# The memory that buys a whole vCPU. https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MB_A_VCPU = 1769

# That of the events of a type, in every hour that has some. Malformed lines and failures have metrics only when there are some.
METRICS_A_TYPE = 1

# Count, Latency, IntegrationLatency, 4XXError and 5XXError: a request is a sample of each, 0 or 1 for the errors.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
# "Your account is charged for accessing method-level CloudWatch metrics", not for those of the API or the stage.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-stages.html
METRICS_A_METHOD = 5


def load() -> Data:
    return tomllib.loads((HERE / "prices.toml").read_text(encoding="utf-8"))


def firehose_bytes(record_bytes: float) -> int:
    """The bytes that Firehose bills for a record."""
    return math.ceil(record_bytes / FIREHOSE_STEP_BYTES) * FIREHOSE_STEP_BYTES


def capture_ms(assumed: Data, memory_mb: int, events: int) -> int:
    """Billed milliseconds of an invocation: the wait for Firehose, and the processor time at this memory's share."""
    slope = (assumed["cpu_ms_of_500"] - assumed["cpu_ms_of_1"]) / 499
    cpu_ms = assumed["cpu_ms_of_1"] + slope * (events - 1)
    return math.ceil(assumed["round_trip_ms"] + cpu_ms * MB_A_VCPU / memory_mb)


def flushes(workload: Data, megabytes: float, seconds: float) -> float:
    """How often a buffer is handed on for a million events: when it is full, or else when its time is over."""
    by_size = MILLION * workload["event_bytes"] / (megabytes * 1024 * 1024)
    by_time = MILLION / workload["events_a_month"] * workload["seconds_a_month"] / seconds
    return max(by_size, by_time)


def costs(data: Data, template: Figures, events: int, one_event_a_record: bool = False) -> dict[str, float]:
    """Dollars for a million events sent in requests of this many, by line of the bill."""
    workload, capture, sink = data["workload"], data["capture"], data["metrics_sink"]
    memory_gb = template["memory_mb"] / 1024

    def pay(name: str, quantity: float) -> float:
        return data["price"][name]["usd"] * quantity / data["price"][name]["units"]

    def invocations(quantity: float, milliseconds: float) -> float:
        return pay("lambda_request", quantity) + pay("lambda_gb_second", quantity * memory_gb * milliseconds / 1000)

    requests = MILLION / events
    event_bytes = workload["event_bytes"]
    billed = events * firehose_bytes(event_bytes) if one_event_a_record else firehose_bytes(events * event_bytes)
    answer_bytes = (
        capture["answer_header_bytes"] + len('{"failed_count":0,"records":[]}') + events * len('{"failed":false},') - 1
    )
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
        "S3, a month of the lake": pay("s3_gb_month", MILLION * workload["lake_bytes_an_event"]),
        "CloudWatch, metrics": pay("put_metric_data", sinks),
        "CloudWatch, logs": pay("logs_gb", log_bytes),
        "X-Ray": pay("trace", requests * capture["traced_share"]),
    }


def standing(data: Data, template: Figures) -> list[tuple[str, int, float]]:
    """Rows of what does not depend on the number of events: what, how many, dollars a month.

    Metrics are billed for the hours in which they are sent.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_billing.html
    """
    price = {name: one["usd"] for name, one in data["price"].items()}
    workload = data["workload"]
    hours, nights = workload["seconds_a_month"] / 3600, workload["seconds_a_month"] / 86400
    hours_of_nights = nights * workload["hours_a_night"]
    methods = template["methods"] * METRICS_A_METHOD
    streams = template["types"] * METRICS_A_TYPE
    # Each metric of a run is sent twice: under the run's id, which is new each time, and under the id ALL.
    glue = template["glue_metrics"]
    glue_hours = template["glue_metrics_of_runs"] * nights + glue * hours_of_nights

    def metrics(metric_hours: float) -> float:
        return metric_hours / hours * price["custom_metric"]

    return [
        ("metrics of the streams", streams, metrics(streams * hours)),
        ("metrics of the API's methods, at most", methods, metrics(methods * hours)),
        (
            "metrics of the ledger, in the night",
            template["ledger_metrics"],
            metrics(template["ledger_metrics"] * hours_of_nights),
        ),
        (
            "metrics of the jobs, in the night",
            template["job_metrics"],
            metrics(template["job_metrics"] * hours_of_nights),
        ),
        ("metrics of Glue, in the night, at most", glue, metrics(glue_hours)),
        ("metrics that alarms watch", template["alarm_metrics"], template["alarm_metrics"] * price["alarm_metric"]),
        ("dashboards", template["dashboards"], template["dashboards"] * price["dashboard"]),
        ("secrets", template["secrets"], template["secrets"] * price["secret"]),
    ]


def replaced_copies(template: Figures) -> int:
    """How many replaced copies of a day's derived tables S3 keeps at a time.

    A night replaces those of its event days but the newest. S3 ends the days of a version at the midnight (UTC) after, so that a
    night's copies are still there when the next night's come. What the ETL wrote is not replaced.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html
    """
    return (template["touched_days"] - 1) * (template["lake_version_days"] + 1)


def month(data: Data, template: Figures, events_a_second: float) -> dict[str, float]:
    """Dollars a month at a steady rate, by line of the bill."""
    workload = data["workload"]
    events = events_a_second * workload["seconds_a_month"]
    at_rate = data | {"workload": workload | {"events_a_month": events}}
    lines = {
        line: amount * events / MILLION
        for line, amount in costs(at_rate, template, workload["events_a_request"]).items()
    }

    def pay(name: str, quantity: float) -> float:
        return data["price"][name]["usd"] * quantity / data["price"][name]["units"]

    replaced = events_a_second * 86400 * workload["derived_bytes_an_event"] * replaced_copies(template)
    lines["S3, replaced files of the lake"] = pay("s3_gb_month", replaced)
    nights = workload["seconds_a_month"] / 86400
    lines["Glue, at least a minute per run"] = pay("glue_dpu_hour", template["workers_a_night"] * nights / 60)
    lines["DynamoDB, writes (at most)"] = pay(
        "dynamodb_write", workload["ads_a_day"] * template["touched_days"] * nights
    )
    lines["what does not depend on events"] = sum(amount for _, _, amount in standing(data, template))
    return lines


def usd(amount: float, digits: int = 4) -> str:
    return f"{amount:.{digits}f}"


def table(header: list[str], rows: Iterable[list[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])


def paragraph(text: str, indent: str = "") -> str:
    """Words of a page in lines of at most 100 columns."""
    return textwrap.fill(
        " ".join(text.split()), 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def bullets(*texts: str) -> str:
    return "\n".join(paragraph(f"- {text}", "  ") for text in texts)


def section_million(data: Data, template: Figures) -> str:
    workload = data["workload"]
    ours = {events: costs(data, template, events) for events in EVENTS_A_REQUEST}
    theirs = {events: costs(data, template, events, one_event_a_record=True) for events in EVENTS_A_REQUEST}

    header = ["a million events, in requests of", *(str(events) for events in EVENTS_A_REQUEST)]
    bill = [[line, *(usd(ours[events][line]) for events in EVENTS_A_REQUEST)] for line in ours[1]]
    bill.append(["**all**", *(f"**{usd(sum(ours[events].values()))}**" for events in EVENTS_A_REQUEST)])
    bill.append(["all, with one event per record", *(usd(sum(theirs[events].values())) for events in EVENTS_A_REQUEST)])

    firehose = []
    for name, one_by_one in [("many events per record", False), ("one event per record", True)]:
        results = theirs if one_by_one else ours
        ratios = [
            (firehose_bytes(workload["event_bytes"]) / workload["event_bytes"])
            if one_by_one
            else firehose_bytes(events * workload["event_bytes"]) / (events * workload["event_bytes"])
            for events in EVENTS_A_REQUEST
        ]
        firehose.append([f"{name}: USD", *(usd(results[events]["Data Firehose"]) for events in EVENTS_A_REQUEST)])
        firehose.append([f"{name}: bytes billed per byte", *(f"{ratio:.2f}" for ratio in ratios)])
    share = sum(ours[1].values()) / sum(ours[EVENTS_A_REQUEST[-1]].values())
    what_decides = f"""The number of events per request decides: at {EVENTS_A_REQUEST[-1]} events per request, a million events cost
        1/{share:.0f} of what they cost one by one. The last line is the same warehouse with one event per record, as in the 2019
        original. That changes the line of Data Firehose, which rounds each record up to 5 KB:"""
    return f"{table(header, bill)}\n\n{paragraph(what_decides)}\n\n{table(header, firehose)}"


def of_type(data: Data, event_type: str, line_bytes: float) -> Data:
    """The price list and assumptions for events of this type.

    Its lines are taken to shrink as impressions do, in raw and in the lake, and nothing is derived of them.
    """
    workload = data["workload"]
    if event_type == workload["event_type"]:
        return data
    share = line_bytes / workload["event_bytes"]
    in_lake = (workload["lake_bytes_an_event"] - workload["derived_bytes_an_event"]) * share
    stored = workload["stored_bytes_an_event"] * share
    return data | {
        "workload": workload
        | {"event_bytes": line_bytes, "stored_bytes_an_event": stored, "lake_bytes_an_event": in_lake}
    }


def section_types(data: Data, template: Figures, sizes: dict[str, int]) -> str:
    workload = data["workload"]
    rows = []
    for event_type, line_bytes in sizes.items():
        bills = [costs(of_type(data, event_type, line_bytes), template, events) for events in EVENTS_A_REQUEST]
        rows.append([f"`{event_type}`", str(line_bytes), *(usd(sum(bill.values())) for bill in bills)])
    header = ["a million events, in requests of", "bytes", *(str(events) for events in EVENTS_A_REQUEST)]
    measured = f"""Bytes are those of a raw line, on average over random events (`cargo dataless events sample`), which have every length
        that the schema allows: real ones are often shorter. Other lines than `{workload["event_type"]}` are taken to shrink as these
        do, in raw and in the lake, and nothing to be derived of them."""
    return f"{table(header, rows)}\n\n{paragraph(measured)}"


def months(data: Data, template: Figures, rates: Sequence[float]) -> str:
    """A table of a month at each of these rates."""
    lines = {rate: month(data, template, rate) for rate in rates}
    rows = [[line, *(usd(lines[rate][line], 2) for rate in rates)] for line in lines[rates[0]]]
    rows.append(["**all**", *(f"**{usd(sum(lines[rate].values()), 2)}**" for rate in rates)])
    return table(["events per second", *(f"{rate:,g}" for rate in rates)], rows)


def section_month(data: Data, template: Figures) -> str:
    workload = data["workload"]
    above = f"""At a steady rate, with {workload["events_a_request"]} events per request and {workload["ads_a_day"]:,} ads with traffic
        per day; storage is that of the first month. Print your own case with
        `python3 tools/costs/costs.py --rate 50 --batch 1`."""
    below = f"""The nightly jobs are billed for at least a minute, and the table assumes that minute: {template["arrival_jobs"]} runs for the
        arrival day, and {len(sources.DERIVING_JOBS)} for each of the {template["touched_days"]} event days that it touched. How long they take
        for {EVENTS_A_SECOND[-1] * 86400 // MILLION} million events per day was not tried, because no account was available.
        [lake.md](lake.md#scale-and-costs) computes it. Expect this line to grow, and raise `ETLNumberOfWorkers`. Only changed rows
        are written to DynamoDB, so there are fewer writes. A night replaces the derived tables of all its event days except the
        newest, and S3 keeps replaced files for {24 * template["lake_version_days"]} hours and until the following midnight (UTC):
        {replaced_copies(template)} copies of a day. [redshift.md](redshift.md) and [data-pipeline.md](data-pipeline.md) have the
        costs of the optional parts."""
    left_out = """Not included, because each is small or depends on you: preflight requests of browsers (`OPTIONS`), reads from S3 and
        DynamoDB, queries in Athena, steps of the state machine, logs of the Glue jobs, storage of logs, tables and backups, and files
        that Spark renames while it commits, whose versions S3 keeps like replaced ones."""
    return f"{paragraph(above)}\n\n{months(data, template, EVENTS_A_SECOND)}\n\n{paragraph(below)}\n\n{paragraph(left_out)}"


def section_assumed(data: Data, template: Figures) -> str:
    workload, capture, sink = data["workload"], data["capture"], data["metrics_sink"]
    durations = ", ".join(
        f"{capture_ms(capture, template['memory_mb'], events)} ms for {events}" for events in EVENTS_A_REQUEST
    )
    batches = flushes(workload, template["batch_mb"], template["batch_seconds"])
    objects = flushes(workload, template["object_mb"], template["object_seconds"])
    return bullets(
        f"""An event is a line of {workload["event_bytes"]} bytes (an impression), {workload["stored_bytes_an_event"]} after gzip, and takes
        {workload["lake_bytes_an_event"]} in the lake's ORC files.""",
        f"""{workload["events_a_month"] // MILLION} million events per month, evenly spread. The buffers of the delivery stream then
        fill so far that a million events are {batches:,.0f} batches for the metrics sink and {objects:,.0f} objects. With fewer events
        per month these lines grow, with more they shrink.""",
        f"""Functions have {template["memory_mb"]} MB on arm64. Capture is billed {durations} events: {capture["round_trip_ms"]} ms of
        waiting for Firehose, plus the processor time at that memory's share of a vCPU. Cold starts are not included; they are a few in
        a thousand.""",
        f"The metrics sink is billed {sink['duration_ms']} ms per batch.",
        f"""An invocation logs {capture["lambda_log_bytes"]} bytes, a request {capture["access_log_bytes"]}. X-Ray records
        {capture["traced_share"]:.0%} of the requests.""",
        f"""A night's runs touch {workload["hours_a_night"]} clock hours, one run touches one.""",
    )


def section_standing(data: Data, template: Figures) -> str:
    rows = standing(data, template)
    months = [[what, str(count), usd(amount, 2)] for what, count, amount in rows]
    months.append(["**all**", "", f"**{usd(sum(amount for _, _, amount in rows), 2)}**"])
    glue_minute = template["workers"] * data["price"]["glue_dpu_hour"]["usd"] / 60
    hour = data["price"]["custom_metric"]["usd"] / (data["workload"]["seconds_a_month"] / 3600)
    method = METRICS_A_METHOD * data["price"]["custom_metric"]["usd"]
    metrics = f"""CloudWatch bills a metric for each hour in which it is sent ({usd(hour, 5)}), so a month without data costs nothing. A
        method of the API that is called in every hour costs {usd(method, 2)} a month; all {template["methods"]}, including `OPTIONS` and
        the answers to wrong methods, are the maximum. Glue sends each metric of a run under the run's id and under `ALL`, if the job
        asks for it (`--enable-metrics`), has initialised a `GlueContext` and takes long enough. Only the Scala ETL does, and the table
        assumes the Python ETL."""
    glue = f"""A Glue job costs {usd(glue_minute)} a minute ({template["workers"]} workers), and is billed for at least one minute."""
    return f"{table(['', 'count', 'USD'], months)}\n\n{paragraph(metrics)}\n\n{paragraph(glue)}"


def section_prices(data: Data) -> str:
    prices = [
        [
            price["what"],
            f"{price['usd']:.10f}".rstrip("0").rstrip("."),
            price["per"],
            price["confidence"],
            price["source"],
        ]
        for price in data["price"].values()
    ]
    price_table = table(["price", "USD", "per", "confidence", "source"], prices).replace(
        "| --- | ---: | ---: | ---: | ---: |", "| --- | ---: | --- | --- | --- |"
    )
    confidence = """`high`: AWS's own page, or figures made from AWS's price data, were read. `medium`: read in a secondary source, or an
        old copy. `low`: from memory. Stored copies were read, not the live pages."""
    return f"{price_table}\n\n{paragraph(confidence)}"


def page(data: Data, template: Figures, sizes: dict[str, int]) -> str:
    written = """Written by `python3 tools/costs/costs.py --write` from `tools/costs/prices.toml` and the templates. Do not edit it here:
        a test compares this page with what the program prints."""
    dated = f"""List prices of {data["region"]} as of {data["date"]}, in US dollars, without free tiers. None of it comes from a
        bill."""
    sections = {
        "A million events": section_million(data, template),
        "By event type": section_types(data, template, sizes),
        "A month": section_month(data, template),
        "What is assumed": section_assumed(data, template),
        "Each month, however many events": section_standing(data, template),
        "Prices": section_prices(data),
    }
    head = ["# What it costs", paragraph(written), paragraph(dated)]
    return "\n\n".join(head + [f"## {title}\n\n{text}" for title, text in sections.items()]) + "\n"


def measure_gzip() -> float:
    """Bytes an event of 100,000 impressions at 10,000 ads, a millisecond apart, as Firehose compresses an object."""
    generator = random.Random(1)

    def new_id() -> uuid.UUID:
        return uuid.UUID(int=generator.getrandbits(128), version=4)

    ads = [new_id() for _ in range(10_000)]
    lines = [
        f'{{"impression_id":"{new_id()}","ad_id":"{generator.choice(ads)}","occurred_at":"2026-11-21 08:{at // 60_000:02}:{at // 1000 % 60:02}.{at % 1000:03}"}}\n'
        for at in range(100_000)
    ]
    return len(gzip.compress("".join(lines).encode())) / len(lines)


def main() -> None:
    data = load()
    parser = argparse.ArgumentParser(description="Writes docs/costs.md from the price list.")
    parser.add_argument("--write", action="store_true", help="write docs/costs.md instead of printing it")
    parser.add_argument("--rate", type=float, help="print a month of this many events per second")
    parser.add_argument("--batch", type=int, help="events per request, with --rate")
    parser.add_argument("--measure-gzip", action="store_true", help="print the bytes of an event after gzip")
    arguments = parser.parse_args()
    if arguments.batch is not None and arguments.rate is None:
        parser.error("--batch needs --rate")
    if arguments.rate is not None and arguments.rate <= 0:
        parser.error("--rate must be more than 0")
    if arguments.batch is not None and arguments.batch < 1:
        parser.error("--batch must be 1 or more")
    if arguments.measure_gzip:
        print(f"{measure_gzip():.1f}")
        return
    template = sources.read()
    if arguments.rate is not None:
        if arguments.batch is not None:
            data["workload"]["events_a_request"] = arguments.batch
        print(months(data, template, [arguments.rate]))
        return
    text = page(data, template, sources.sizes())
    if arguments.write:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
