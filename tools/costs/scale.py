"""How a night grows with the events of a day, as the section "Scale and costs" of docs/lake.md.

    python3 tools/costs/scale.py            print the section
    python3 tools/costs/scale.py --write    write it

Measured and assumed figures are in prices.toml beside this file, under [scale]; sizes and prices come from where costs.py has them.
"""

import argparse
import math
import re
from typing import Any

import costs
import sources
import templates
from event_types import ADS

PAGE = costs.ROOT / "docs" / "lake.md"
TITLE = "Scale and costs"
EVENTS_A_DAY = (10**6, 10**7, 10**8, 10**9)
LEAST_MINUTES = 1
SECONDS_A_DAY = 86400
GB, MIB = 10**9, 2**20


def read_parameters() -> dict[str, int]:
    """Defaults of the parameters that bound a day."""
    declared = templates.read(costs.ROOT / "template.yaml")["Parameters"]
    names = (
        "LookbackDays",
        "AttributionDays",
        "ETLNumberOfWorkers",
        "GlueNumberOfWorkers",
        "GlueTimeoutMinutes",
        "AthenaScanLimitBytes",
    )
    return {name: int(declared[name]["Default"]) for name in names}


def executor_vcpus(scale: dict[str, Any], workers: int) -> float:
    """The vCPUs at work. One worker is the driver's."""
    return (workers - 1) * scale["worker_vcpus"] * scale["busy_share"]


def minutes_of(scale: dict[str, Any], cpu_seconds: float, workers: int) -> float:
    return cpu_seconds / executor_vcpus(scale, workers) / 60


def workers_for(scale: dict[str, Any], cpu_seconds: float, least: int) -> int:
    """The fewest workers with which the work ends in time."""
    needed = cpu_seconds / (scale["minutes"] * 60 * scale["worker_vcpus"] * scale["busy_share"])
    return max(least, math.ceil(needed) + 1)


def night(data: costs.Data, parameters: dict[str, int], events: int, types: int) -> dict[str, float]:
    """Workers, minutes and dollars of a night with so many events, all of one of so many event types."""
    scale, price = data["scale"], data["price"]["glue_dpu_hour"]["usd"]
    etl_cpu, derive_cpu = (events / costs.MILLION * scale[name] for name in ("etl_cpu_seconds", "derive_cpu_seconds"))
    etl_workers = workers_for(scale, etl_cpu, parameters["ETLNumberOfWorkers"])
    other_workers = workers_for(scale, derive_cpu, parameters["GlueNumberOfWorkers"])
    etl_minutes = max(LEAST_MINUTES, minutes_of(scale, etl_cpu, etl_workers))
    # advertising has the work; ad_traffic adds up its rows, and the load writes a row an ad.
    derive_minutes = max(LEAST_MINUTES, minutes_of(scale, derive_cpu, other_workers))
    days = sources.touched_days(parameters["LookbackDays"], parameters["AttributionDays"])
    etl_dpu_minutes = etl_workers * etl_minutes + (types - 1) * parameters["ETLNumberOfWorkers"] * LEAST_MINUTES
    ledger_dpu_minutes = 2 * LEAST_MINUTES
    derive_dpu_minutes = days * other_workers * (derive_minutes + 2 * LEAST_MINUTES)
    return {
        "etl_workers": etl_workers,
        "other_workers": other_workers,
        "etl_minutes": etl_minutes,
        # Day by day, as PipelineParallelDays 1 has it.
        # Types of which nothing is derived come after that, all at once.
        "minutes": etl_minutes
        + days * (derive_minutes + 2 * LEAST_MINUTES)
        + LEAST_MINUTES * (2 if types > len(ADS) else 1),
        "usd": (etl_dpu_minutes + ledger_dpu_minutes + derive_dpu_minutes) / 60 * price,
    }


def limits(data: costs.Data, parameters: dict[str, int]) -> dict[str, float]:
    """What runs out as events grow, with the template's defaults: the limit, and the events a day that reach it."""
    scale, workload = data["scale"], data["workload"]
    an_even_day = SECONDS_A_DAY / scale["peak"]

    def firehose(mib: float) -> float:
        return mib * MIB / workload["event_bytes"] * an_even_day

    def job(cpu_seconds: float, workers: int) -> float:
        return parameters["GlueTimeoutMinutes"] * 60 * executor_vcpus(scale, workers) / cpu_seconds * costs.MILLION

    executors = parameters["ETLNumberOfWorkers"] - 1
    found = {
        "`AthenaScanLimitBytes`, for a query over a whole day of raw": parameters["AthenaScanLimitBytes"]
        / workload["stored_bytes_an_event"],
        "Firehose, bytes per second of a stream, in most Regions": firehose(scale["firehose_mib_a_second_elsewhere"]),
        "Firehose, the same in us-east-1, us-west-2 and eu-west-1": firehose(scale["firehose_mib_a_second"]),
        "`GlueTimeoutMinutes`, the ETL with the default `ETLNumberOfWorkers`": job(
            scale["etl_cpu_seconds"], parameters["ETLNumberOfWorkers"]
        ),
        "`GlueTimeoutMinutes`, advertising with the default `GlueNumberOfWorkers`": job(
            scale["derive_cpu_seconds"], parameters["GlueNumberOfWorkers"]
        ),
        "API Gateway, requests per second, with one event per request": scale["api_requests_a_second"] * an_even_day,
        "disk of the ETL's executors, with the default `ETLNumberOfWorkers`": executors
        * scale["worker_disk_gb"]
        * GB
        / scale["shuffle_bytes_an_event"],
    }
    return dict(sorted(found.items(), key=lambda one: one[1]))


def millions(events: float) -> str:
    return f"{events / costs.MILLION:,.0f}"


def nearest(data: costs.Data, parameters: dict[str, int], events: float) -> str:
    """The limit that so many events reach first, or how far they are from it."""
    name, limit = next(iter(limits(data, parameters).items()))
    if events >= limit:
        return name
    return f"nothing: {events / limit:.1%} of the first limit"


def section(data: costs.Data, parameters: dict[str, int], types: int) -> str:
    scale = data["scale"]
    days = sources.touched_days(parameters["LookbackDays"], parameters["AttributionDays"])
    rows = []
    for events in EVENTS_A_DAY:
        one = night(data, parameters, events, types)
        workers = f"{one['etl_workers']} / {one['other_workers']}"
        figures = [f"{one['etl_minutes']:.0f}", f"{one['minutes']:.0f}", f"{one['usd']:.2f}"]
        rows.append([millions(events), nearest(data, parameters, events), workers, *figures])
    computed = """**Computed, not run:** nothing here was measured on AWS. The tables are written by `python3 tools/costs/scale.py --write` from
        `tools/costs/prices.toml`, and a test compares them with what the program prints."""
    header = [
        "million events per day",
        "first limit",
        "workers, ETL / others",
        "minutes, ETL",
        "minutes, night",
        "USD per night",
    ]
    nights = f"""Workers are G.1X (`ETLNumberOfWorkers`, `GlueNumberOfWorkers`), as many as needed for the ETL and for each event day's
        queries to end in {scale["minutes"]} minutes, and at least {parameters["ETLNumberOfWorkers"]}. A night is the ETL of all {types} event types
        and the ledger check of the day that arrived, then advertising, ad traffic and the load of the {days} event days that it touched, one
        day after the other. All events are assumed to be of one table; each other run costs the one minute that Glue bills at least.
        Spark's start on Glue, which is not billed, comes on top of the minutes."""
    reached = [[name, millions(limit)] for name, limit in limits(data, parameters).items()]
    first = """With the template's defaults, these limits are reached in this order:"""
    assumed = costs.bullets(
        f"""A million events take {scale["etl_cpu_seconds"]} s of CPU in the ETL, a million impressions of an event day
        {scale["derive_cpu_seconds"]} s in what is derived (two laptop cores, [how](../glue/bench/README.md)).""",
        f"""On average {scale["busy_share"]:.0%} of the executors' vCPUs work, at the speed of those cores. One worker of a job is the
        driver's.""",
        f"""The busiest second has {scale["peak"]} times the events of an even day. An event is {data["workload"]["event_bytes"]} bytes,
        {data["workload"]["stored_bytes_an_event"]} in raw, and takes {scale["shuffle_bytes_an_event"]} on disk while Spark sorts by id; a
        worker has {scale["worker_disk_gb"]} GB of free disk.""",
        f"""A DPU-hour is {data["price"]["glue_dpu_hour"]["usd"]:.2f} USD. [costs.md](costs.md) has the rest of the bill.""",
    )
    parts = [
        costs.paragraph(computed),
        costs.table(header, rows).replace("| --- | ---: | ---: |", "| ---: | --- | ---: |", 1),
        costs.paragraph(nights),
        costs.paragraph(first),
        costs.table(["limit", "million events per day"], reached),
        costs.paragraph("What is assumed:"),
        assumed,
    ]
    return "\n\n".join(parts) + "\n"


def replace(page: str, text: str) -> str:
    """The page with this text in the section, which ends where the next one begins."""
    pattern = rf"(^## {TITLE}\n\n).*?(?=^## |\Z)"
    found, count = re.subn(pattern, lambda match: f"{match[1]}{text}\n", page, flags=re.MULTILINE | re.DOTALL)
    if count != 1:
        raise ValueError(f"{PAGE} has {count} sections called {TITLE}: it must have one")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=f'Writes "{TITLE}" of docs/lake.md.')
    parser.add_argument("--write", action="store_true", help="write docs/lake.md instead of printing the section")
    arguments = parser.parse_args()
    text = section(costs.load(), read_parameters(), len(sources.sizes()))
    if arguments.write:
        PAGE.write_text(replace(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
