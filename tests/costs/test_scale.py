"""Scale and costs of a night in docs/lake.md are the program's output, and its figures match calculations by hand."""

import json
import re

import pytest

import costs
import event_types
import scale
import sources
from templates import ROOT

PARAMETERS = scale.read_parameters()
SCALE = {
    "etl_cpu_seconds": 40,
    "derive_cpu_seconds": 11,
    "busy_share": 0.5,
    "minutes": 30,
    "worker_vcpus": 4,
    "worker_disk_gb": 44,
    "shuffle_bytes_an_event": 100,
    "peak": 2,
    "api_requests_a_second": 10_000,
    "firehose_mib_a_second": 5,
    "firehose_mib_a_second_elsewhere": 1,
}
DATA = costs.load() | {"scale": SCALE}


def test_the_section_is_what_the_program_prints():
    page = (ROOT / "docs" / "lake.md").read_text(encoding="utf-8")
    assert page == scale.replace(
        page, scale.section(costs.load(), scale.read_parameters(), len(event_types.names()))
    ), "run python3 tools/costs/scale.py --write"


def test_the_defaults_match_the_template():
    found = {
        "LookbackDays": 3,
        "AttributionDays": 1,
        "ETLNumberOfWorkers": 2,
        "GlueNumberOfWorkers": 2,
        "GlueTimeoutMinutes": 120,
    }
    assert found | {"AthenaScanLimitBytes": 10 * 2**30} == PARAMETERS


def test_a_small_night_is_one_minute_per_run():
    # A million events: 40 s on 2 vCPUs are 20 s, billed as a minute. 2 ETLs, a ledger check and 3 jobs for 5 days:
    # 18 minutes of 2 DPUs at 0.44.
    night = scale.night(DATA, PARAMETERS, 10**6, 2)
    assert (night["etl_workers"], night["other_workers"], night["etl_minutes"]) == (2, 2, 1)
    assert night["usd"] == pytest.approx(18 * 2 / 60 * 0.44)
    # One ETL, 3 jobs for 5 days and the ledger check: 17 minutes.
    assert night["minutes"] == 17


def test_a_large_night():
    # A thousand million events: 40,000 s of CPU. In 30 minutes, the 4 vCPUs of a worker do 3,600 s: 12 executors (11.1)
    # and a driver, 27.8 minutes. An event day takes 11,000 s: 4 executors (3.06) and a driver, 22.9 minutes.
    night = scale.night(DATA, PARAMETERS, 10**9, 2)
    assert (night["etl_workers"], night["other_workers"]) == (13, 5)
    assert night["etl_minutes"] == pytest.approx(27.78, abs=0.01)
    # 13 x 27.78, 2 for the other table, 2 for the ledger, and 5 days x 5 workers x (22.92 + 2) minutes:
    # 988.0 DPU-minutes.
    assert night["usd"] == pytest.approx(7.246, abs=0.001)


def test_each_other_type_adds_one_minute_of_etl():
    two, three, four = (scale.night(DATA, PARAMETERS, 10**9, types) for types in (2, 3, 4))
    # A minute of two workers.
    assert [three["usd"] - two["usd"], four["usd"] - three["usd"]] == pytest.approx([2 / 60 * 0.44] * 2)
    # The ETL jobs of the other types run in parallel, after the derived tables.
    assert three["minutes"] - two["minutes"] == pytest.approx(1) and four["minutes"] == three["minutes"]


def test_limits_by_hand():
    found = {
        name.split(",")[0]: limit for name, limit in scale.limits(DATA, PARAMETERS).items() if "Timeout" not in name
    }
    assert found["`AthenaScanLimitBytes`"] == pytest.approx(10_737_418_240 / 49)
    # A day has as many events as 43,200 s like its busiest second. API Gateway: x 10,000 requests. Firehose:
    # x 1,048,576 bytes, with 144 per event.
    assert found["API Gateway"] == 432_000_000
    firehose = scale.limits(DATA, PARAMETERS)["Firehose, bytes per second of a stream, in most Regions"]
    assert firehose == pytest.approx(314_572_800)
    # 44 GB of the only executor, 100 bytes per event.
    assert found["disk of the ETL's executors"] == 440_000_000
    # 7,200 s on 2 vCPUs are 14,400 s of CPU: 360 million events at 40 s per million.
    timeouts = [limit for name, limit in scale.limits(DATA, PARAMETERS).items() if "Timeout" in name]
    assert timeouts == [360_000_000, pytest.approx(14_400 / 11 * 1e6)]


def test_the_first_limit_is_the_lowest():
    limits = scale.limits(DATA, PARAMETERS)
    assert list(limits.values()) == sorted(limits.values())
    first, reached = next(iter(limits.items()))
    assert scale.nearest(DATA, PARAMETERS, reached) == first
    assert scale.nearest(DATA, PARAMETERS, reached / 4) == "nothing: 25.0% of the first limit"


def test_a_night_of_the_program_matches_the_state_machine():
    states = json.loads((ROOT / "pipeline" / "daily.asl.json").read_text(encoding="utf-8"))["States"]
    found = {
        name: len(set(re.findall(r'"JobName": "', json.dumps(states[name]))))
        for name in ("Fill the lake", "Check the ledgers")
    }
    assert found == {"Fill the lake": 1, "Check the ledgers": 1}
    # An ETL job for each event type.
    etl = states["Fill the lake"]["ItemProcessor"]["States"]["ETL"]
    assert (
        etl["Type"] == "Map"
        and etl["Items"] == "{% $ads %}"
        and sources.read()["arrival_jobs"] == len(event_types.names()) + 1
    )
    # The jobs for advertising, ad traffic and its load. Redshift is optional.
    derived = re.findall(r'"JobName": "\$\{(\w+)\}"', json.dumps(states["Derive"]))
    assert [name for name in derived if not name.startswith("Redshift")] == [
        "AdvertisingJob",
        "AdTrafficJob",
        "AdTrafficLoadJob",
    ]


def test_a_page_without_the_section_is_refused():
    with pytest.raises(ValueError, match="must have one"):
        scale.replace("# The lake\n\n## Tables\n", "text\n")


def test_only_the_section_is_replaced():
    page = "# Lake\n\n## Scale and costs\n\nold\n\nolder\n\n## Next\n\nkept\n"
    assert scale.replace(page, "new\n") == "# Lake\n\n## Scale and costs\n\nnew\n\n## Next\n\nkept\n"
    assert scale.replace("## Scale and costs\n\nold\n", "new\n") == "## Scale and costs\n\nnew\n\n"
