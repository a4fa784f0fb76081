//! Compares the distributions of the output with those of the configuration, at a fixed seed. The bounds are the
//! 99.99 % points of the statistics, taken from tables. A correct program fails at one seed in ten thousand, but not at
//! this one.

#![allow(clippy::unwrap_used, reason = "all of this is part of tests")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use common::{DAY, loadgen};
use flate2::read::GzDecoder;
use serde_json::Value;

const IMPRESSIONS: f64 = 60_000.0;
const ADS: usize = 40;
const SHAPE: [f64; 24] = [
    3.0, 2.0, 1.0, 1.0, 1.0, 2.0, 4.0, 7.0, 9.0, 10.0, 10.0, 11.0, 12.0, 11.0, 10.0, 10.0, 11.0, 12.0, 14.0, 15.0,
    15.0, 13.0, 9.0, 5.0,
];
/// χ² at 2, 23 and 39 degrees of freedom.
const CHI2_2: f64 = 18.42;
const CHI2_23: f64 = 57.07;
const CHI2_39: f64 = 80.65;

/// The events in the generated files.
struct Traffic {
    ads: Vec<String>,
    impressions: BTreeMap<String, Value>,
    clicks: Vec<Value>,
    /// Lines that are not events.
    malformed: Vec<Value>,
    /// Lines with the id of an earlier line.
    repeats: usize,
}

static TRAFFIC: LazyLock<Traffic> = LazyLock::new(traffic);

fn lines(folder: &Path) -> Vec<Value> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            lines.extend(self::lines(&path));
        } else {
            let text = std::io::read_to_string(GzDecoder::new(std::fs::File::open(path).unwrap())).unwrap();
            lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        }
    }
    lines
}

fn traffic() -> Traffic {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    let text = format!(
        "Duration: 1m\nAds: {{Count: {ADS}, ZipfExponent: 0.8}}\nUsers: {{Count: 300, ClickthroughProbability: 0.3, \
         ViewFrequency: 1s, ViewVariance: 250ms, ConsiderDuration: 5s, ConsiderVariance: 2s}}\n\
         Repeats: {{Share: 0.1}}\nMalformed: {{Share: 0.1}}\nDay: {{Shape: {SHAPE:?}}}\n"
    );
    std::fs::write(&config, text).unwrap();
    let (config, out) = (config.display().to_string(), folder.path().join("out"));
    let arguments = ["files", "-c", &config, "--day", DAY, "--seed", "20260301", "--impressions", "60000", "--out"];
    assert!(loadgen(&arguments).arg(&out).output().unwrap().status.success());
    let ads = String::from_utf8(loadgen(&["ads", "-c", &config]).output().unwrap().stdout).unwrap();

    let mut traffic = Traffic {
        ads: ads.lines().map(str::to_owned).collect(),
        impressions: BTreeMap::new(),
        clicks: Vec::new(),
        malformed: Vec::new(),
        repeats: 0,
    };
    let is_whole = |event: &Value, own: &str| {
        event["ad_id"].is_string() && event[own].as_str().unwrap().len() == 36 && event["occurred_at"] != "yesterday"
    };
    for event in lines(&out.join("data/raw/ad/impressions")) {
        if !is_whole(&event, "impression_id") {
            traffic.malformed.push(event);
        } else if traffic.impressions.insert(event["impression_id"].as_str().unwrap().to_owned(), event).is_some() {
            traffic.repeats += 1;
        }
    }
    let mut clicks = BTreeMap::new();
    for event in lines(&out.join("data/raw/ad/clicks")) {
        if !is_whole(&event, "click_id") {
            traffic.malformed.push(event);
        } else if clicks.insert(event["click_id"].as_str().unwrap().to_owned(), event).is_some() {
            traffic.repeats += 1;
        }
    }
    traffic.clicks = clicks.into_values().collect();
    traffic
}

/// Milliseconds since midnight.
fn time(event: &Value) -> f64 {
    let text = event["occurred_at"].as_str().unwrap();
    let number = |range: std::ops::Range<usize>| text[range].parse::<f64>().unwrap();
    ((number(11..13) * 60.0 + number(14..16)) * 60.0 + number(17..19)) * 1_000.0 + number(20..23)
}

fn chi2(seen: &[f64], expected: &[f64]) -> f64 {
    seen.iter().zip(expected).map(|(seen, expected)| (seen - expected).powi(2) / expected).sum()
}

/// The distance in standard deviations of a binomial distribution. The two-sided 99.99 % point is 3.89.
fn deviations(seen: f64, of: f64, probability: f64) -> f64 {
    (seen - of * probability).abs() / (of * probability * (1.0 - probability)).sqrt()
}

fn ad(event: &Value) -> usize {
    TRAFFIC.ads.iter().position(|ad| event["ad_id"] == **ad).unwrap()
}

fn hour(event: &Value) -> usize {
    (time(event) / 3_600_000.0) as usize
}

/// The impression that was clicked.
fn clicked(click: &Value) -> &Value {
    &TRAFFIC.impressions[click["impression_id"].as_str().unwrap()]
}

/// The number of events in each of `count` groups.
fn by_group<'e>(events: impl Iterator<Item = &'e Value>, group: fn(&Value) -> usize, count: usize) -> Vec<f64> {
    let mut counts = vec![0.0; count];
    for event in events {
        counts[group(event)] += 1.0;
    }
    counts
}

#[test]
fn the_popularity_of_ads_follows_the_zipf_exponent() {
    assert_eq!(TRAFFIC.impressions.len() as f64, IMPRESSIONS);
    let zipf: Vec<f64> = (1..=ADS).map(|rank| (rank as f64).powf(-0.8)).collect();
    let total: f64 = zipf.iter().sum();
    let expected: Vec<f64> = zipf.iter().map(|weight| IMPRESSIONS * weight / total).collect();
    let popularity = chi2(&by_group(TRAFFIC.impressions.values(), ad, ADS), &expected);
    assert!(popularity < CHI2_39, "χ² = {popularity}");
}

#[test]
fn impressions_are_distributed_over_the_hours_by_the_shape_of_the_day() {
    let total: f64 = SHAPE.iter().sum();
    let expected = SHAPE.map(|weight| IMPRESSIONS * weight / total);
    let hours = chi2(&by_group(TRAFFIC.impressions.values(), hour, 24), &expected);
    assert!(hours < CHI2_23, "χ² = {hours}");
}

#[test]
fn the_share_of_clicked_impressions_is_the_clickthrough_probability() {
    let clickthrough = deviations(TRAFFIC.clicks.len() as f64, IMPRESSIONS, 0.3);
    assert!(clickthrough < 3.89, "{clickthrough} standard deviations");
}

#[test]
fn whether_an_impression_is_clicked_depends_neither_on_its_ad_nor_on_its_hour() {
    let rate = TRAFFIC.clicks.len() as f64 / IMPRESSIONS;
    for (name, group, count, bound) in
        [("ads", ad as fn(&Value) -> usize, ADS, CHI2_39), ("hours", hour as fn(&Value) -> usize, 24, CHI2_23)]
    {
        let seen = by_group(TRAFFIC.impressions.values(), group, count);
        let with_click = by_group(TRAFFIC.clicks.iter().map(clicked), group, count);
        let without: Vec<f64> = seen.iter().zip(&with_click).map(|(seen, clicked)| seen - clicked).collect();
        let of_clicked = chi2(&with_click, &seen.iter().map(|seen| seen * rate).collect::<Vec<_>>());
        let of_others = chi2(&without, &seen.iter().map(|seen| seen * (1.0 - rate)).collect::<Vec<_>>());
        assert!(of_clicked + of_others < bound, "clicks by {name}: χ² = {}", of_clicked + of_others);
    }
}

/// Kolmogorov–Smirnov test, with a 99.99 % point of 2.23 / √n. The last seconds of the day are left out, because a
/// click is on the same day as its impression. Times are truncated to milliseconds.
#[test]
fn the_time_to_consider_is_uniform_within_its_variance() {
    let times = TRAFFIC.clicks.iter().map(|click| (time(clicked(click)), time(click)));
    let mut considered: Vec<f64> =
        times.filter(|(shown, _)| *shown < 86_400_000.0 - 7_001.0).map(|(shown, clicked)| clicked - shown).collect();
    considered.sort_unstable_by(f64::total_cmp);
    let n = considered.len() as f64;
    assert!(n > 15_000.0 && considered[0] >= 2_999.0 && considered[considered.len() - 1] <= 7_001.0);
    let distance = |(index, time): (usize, &f64)| {
        let expected = ((time - 3_000.0) / 4_000.0).clamp(0.0, 1.0);
        (index as f64 / n - expected).abs().max(((index + 1) as f64 / n - expected).abs())
    };
    let distance = considered.iter().enumerate().map(distance).fold(0.0, f64::max);
    assert!(distance < 2.23 / n.sqrt(), "{distance}");
}

#[test]
fn repeats_and_malformed_events_have_their_shares() {
    let well_formed = IMPRESSIONS + TRAFFIC.clicks.len() as f64;
    for (name, count) in [("repeats", TRAFFIC.repeats), ("malformed", TRAFFIC.malformed.len())] {
        let distance = deviations(count as f64, well_formed, 0.1);
        assert!(distance < 3.89, "{name}: {distance} standard deviations");
    }
}

#[test]
fn all_defects_are_equally_frequent() {
    let defect = |event: &Value| {
        if event["ad_id"].is_null() { 0 } else { 1 + usize::from(event["occurred_at"] == "yesterday") }
    };
    let defects = by_group(TRAFFIC.malformed.iter(), defect, 3);
    let even = [TRAFFIC.malformed.len() as f64 / 3.0; 3];
    assert!(chi2(&defects, &even) < CHI2_2, "{defects:?}");
}
