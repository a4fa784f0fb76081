"""The rows to compare with the journal are those of the live files, one line each."""

import gzip

import pytest

import rows

CLICK = "timestamp '2026-11-20 10:00:00'"


def save(spark, folder, sql):
    spark.sql(sql).coalesce(1).write.orc(f"file://{folder}")


@pytest.fixture
def data(spark, tmp_path):
    data = tmp_path / "data"
    impressions = data / "lake/ad/impressions/arrived=2026-11-20"
    # A replaced run, the live one with an id twice, and a killed one.
    for run, ids in [
        ("run-20261121T000000-a", "'old'"),
        ("run-20261122T000000-b", "'i1', 'i2', 'i2'"),
        ("run-20261123T000000-c", "'torn'"),
    ]:
        folder = impressions / run / "event_day=2026-11-20"
        save(spark, folder, f"SELECT explode(array({ids})) AS impression_id, 'ad' AS ad_id")
        (folder / "_SUCCESS").unlink()
    for run in ("run-20261121T000000-a", "run-20261122T000000-b"):
        (impressions / run / "_SUCCESS").touch()
    lake = data / "lake/ad"
    for day, ad, click in [("20", "a", CLICK), ("20", "b", "CAST(null AS timestamp)"), ("21", "a", CLICK)]:
        # The last run of each day counts: that of ad b was replaced.
        folder = lake / f"advertising/year=2026/month=11/day={day}/run-2026112{1 if ad == 'b' else 2}T000000-{ad}"
        save(spark, folder, f"SELECT 'i{day}' AS impression_id, '{ad}' AS ad_id, {click} AS click_at")
    folder = lake / "ad_traffic/year=2026/month=11/day=20/run-20261121T000000-a"
    save(spark, folder, "SELECT 'a' AS ad_id, 4L AS impressions, 1L AS clicks")
    return data


def lines(folder):
    return sorted(
        line for file in folder.glob("*.csv.gz") for line in gzip.decompress(file.read_bytes()).decode().splitlines()
    )


def test_each_live_row_is_a_line(spark, data, tmp_path):
    out = tmp_path / "out"
    for _ in range(2):
        rows.write(spark, f"file://{data}", str(out), ["ad/impressions:impression_id", "ad/clicks:click_id"])
    assert lines(out / "impressions") == ["i1", "i2", "i2"]
    assert lines(out / "clicks") == []
    assert lines(out / "advertising") == ["i20,a,2026-11-20,1", "i21,a,2026-11-21,1"]
    assert lines(out / "ad_traffic") == ["a,2026-11-20,4,1"]
