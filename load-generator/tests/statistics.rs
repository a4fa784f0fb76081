//! What comes out of the binary against what the configuration says, with a fixed seed. The bounds are the 99.99 % points
//! of the statistics, from tables: a right program fails with one seed in ten thousand, and this is not that one.

#![allow(clippy::unwrap_used, reason = "all of this is part of tests")]

mod common;

use common::{DAY, loadgen};
use flate2::read::GzDecoder;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

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

/// An event of the files: its own id, and what else it has.
struct Traffic {
    ads: Vec<String>,
    impressions: BTreeMap<String, Value>,
    clicks: Vec<Value>,
    /// Lines that are no events.
    malformed: Vec<Value>,
    /// Lines of an id that was there before.
    repeats: usize,
}

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

/// In standard deviations of a binomial distribution: 3.89 is its 99.99 % point on both sides.
fn deviations(seen: f64, of: f64, probability: f64) -> f64 {
    (seen - of * probability).abs() / (of * probability * (1.0 - probability)).sqrt()
}

#[test]
fn what_is_written_is_distributed_as_the_configuration_says() {
    let traffic = traffic();
    let clicks = traffic.clicks.len() as f64;
    assert_eq!(traffic.impressions.len() as f64, IMPRESSIONS);

    let ad = |event: &Value| traffic.ads.iter().position(|ad| event["ad_id"] == **ad).unwrap();
    let mut by_ad = vec![0.0; ADS];
    let mut by_hour = vec![0.0; 24];
    for event in traffic.impressions.values() {
        by_ad[ad(event)] += 1.0;
        by_hour[(time(event) / 3_600_000.0) as usize] += 1.0;
    }
    let zipf: Vec<f64> = (1..=ADS).map(|rank| (rank as f64).powf(-0.8)).collect();
    let total: f64 = zipf.iter().sum();
    let popularity = chi2(&by_ad, &zipf.iter().map(|weight| IMPRESSIONS * weight / total).collect::<Vec<_>>());
    assert!(popularity < CHI2_39, "popularity: χ² = {popularity}");
    let weights: f64 = SHAPE.iter().sum();
    let hours = chi2(&by_hour, &SHAPE.map(|weight| IMPRESSIONS * weight / weights));
    assert!(hours < CHI2_23, "hours: χ² = {hours}");

    // Whether a view is clicked depends neither on its ad nor on its hour.
    let clickthrough = deviations(clicks, IMPRESSIONS, 0.3);
    assert!(clickthrough < 3.89, "clickthrough: {clickthrough} standard deviations");
    for (what, seen, group, bound) in [
        ("ads", &by_ad, &ad as &dyn Fn(&Value) -> usize, CHI2_39),
        ("hours", &by_hour, &|event: &Value| (time(event) / 3_600_000.0) as usize, CHI2_23),
    ] {
        let mut clicked = vec![0.0; seen.len()];
        for click in &traffic.clicks {
            clicked[group(&traffic.impressions[click["impression_id"].as_str().unwrap()])] += 1.0;
        }
        let rate = clicks / IMPRESSIONS;
        let of_clicked = chi2(&clicked, &seen.iter().map(|seen| seen * rate).collect::<Vec<_>>());
        let of_others = chi2(
            &seen.iter().zip(&clicked).map(|(seen, clicked)| seen - clicked).collect::<Vec<_>>(),
            &seen.iter().map(|seen| seen * (1.0 - rate)).collect::<Vec<_>>(),
        );
        assert!(of_clicked + of_others < bound, "clicks by {what}: χ² = {}", of_clicked + of_others);
    }

    // Kolmogorov and Smirnov: 5 ± 2 s to consider, evenly; their 99.99 % point is 2.23 / √n. The last seconds of the day
    // are left out, as a click is of the same day as its impression; times are cut to milliseconds.
    let mut considered: Vec<f64> = traffic
        .clicks
        .iter()
        .map(|click| (time(&traffic.impressions[click["impression_id"].as_str().unwrap()]), time(click)))
        .filter(|(shown, _)| *shown < 86_400_000.0 - 7_001.0)
        .map(|(shown, clicked)| clicked - shown)
        .collect();
    considered.sort_unstable_by(f64::total_cmp);
    let n = considered.len() as f64;
    assert!(n > 15_000.0 && considered[0] >= 2_999.0 && considered[considered.len() - 1] <= 7_001.0);
    let distance = |(place, time): (usize, &f64)| {
        let expected = ((time - 3_000.0) / 4_000.0).clamp(0.0, 1.0);
        (place as f64 / n - expected).abs().max(((place + 1) as f64 / n - expected).abs())
    };
    let distance = considered.iter().enumerate().map(distance).fold(0.0, f64::max);
    assert!(distance < 2.23 / n.sqrt(), "time to consider: {distance}");

    // Repeats and malformed events come on top, by chance; each defect is as frequent as the others.
    for (what, count) in [("repeats", traffic.repeats as f64), ("malformed", traffic.malformed.len() as f64)] {
        let distance = deviations(count, IMPRESSIONS + clicks, 0.1);
        assert!(distance < 3.89, "{what}: {distance} standard deviations");
    }
    let mut defects = [0.0; 3];
    for event in &traffic.malformed {
        let defect = if event["ad_id"].is_null() { 0 } else { 1 + usize::from(event["occurred_at"] == "yesterday") };
        defects[defect] += 1.0;
    }
    let even = [traffic.malformed.len() as f64 / 3.0; 3];
    assert!(chi2(&defects, &even) < CHI2_2, "defects: {defects:?}");
}
