use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime};
use uuid::Uuid;

use super::*;
use crate::config::Config;
use crate::day::DAY;
use crate::plan::part_of_users;

fn config(more: &str) -> Config {
    let text = "\
Duration: 10m
Ads: {Count: 50}
Users: {Count: 200, ClickthroughProbability: 0.3, ViewFrequency: 1s, ViewVariance: 250ms, ConsiderDuration: 5s, \
ConsiderVariance: 2s}
";
    Config::parse("config.yaml", &format!("{text}{more}")).unwrap()
}

fn identity(event: &Event) -> (Table, Uuid) {
    (event.table, event.id)
}

fn day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, 1).unwrap()
}

fn plan(more: &str, seed: u64, schedule: Schedule) -> Arc<Plan> {
    Arc::new(Plan::new(&config(more), seed, schedule, Vec::new()))
}

fn of_day(more: &str, seed: u64, impressions: u64) -> Vec<Planned> {
    plan(more, seed, Schedule::Day { day: day(), impressions, rate: None }).all_traffic().collect()
}

fn live(more: &str, until: Option<u64>, impressions: Option<u64>, rate: Option<f64>) -> Vec<Planned> {
    let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let until = until.map(Duration::from_secs);
    plan(more, 1, Schedule::Live { start, until, impressions, rate }).all_traffic().collect()
}

fn fresh(planned: &[Planned], table: Table) -> Vec<Planned> {
    planned.iter().filter(|p| p.event.table == table && p.event.kind == Kind::Fresh).copied().collect()
}

#[test]
fn a_day_has_exactly_the_requested_impressions_and_only_its_own_events() {
    for impressions in [0, 1, 7, 199, 200, 201, 20_000] {
        let events = of_day("", 3, impressions);
        assert_eq!(fresh(&events, Table::Impressions).len() as u64, impressions);
        let midnight = day().and_time(NaiveTime::MIN).and_utc().timestamp_millis();
        assert!(events.iter().all(|p| (midnight..midnight + 86_400_000).contains(&p.event.occurred_at)));
        assert!(events.is_sorted_by_key(|p| p.at));
    }
}

#[test]
fn a_click_follows_its_impression_and_shows_its_ad() {
    for consider in ["5s", "20h"] {
        let text = format!("Bots: {{Share: 0.2, ClickthroughProbability: 0.9, ConsiderDuration: {consider}}}\n");
        let mut shown = BTreeMap::new();
        for Planned { event, .. } in of_day(&text, 3, 5_000) {
            match event.table {
                Table::Impressions => assert!(shown.insert(event.id, event).is_none()),
                Table::Clicks => {
                    let impression: &Event = &shown[&event.impression];
                    assert!(event.occurred_at > impression.occurred_at);
                    assert_eq!(event.ad, impression.ad);
                }
                Table::Other(_) => panic!("unexpected event: {event:?}"),
            }
        }
    }
}

#[test]
fn the_same_seed_and_day_give_the_same_events_whatever_the_parts() {
    let whole = of_day("Repeats: {Share: 0.1}\nMalformed: {Share: 0.1}\nBots: {Share: 0.1}\n", 5, 3_000);
    for parts in [2, 3, 64, 200] {
        let plan = plan(
            "Repeats: {Share: 0.1}\nMalformed: {Share: 0.1}\nBots: {Share: 0.1}\n",
            5,
            Schedule::Day { day: day(), impressions: 3_000, rate: None },
        );
        let text = |p: &Planned| format!("{} {:?}", p.at, p.event);
        let mut split: Vec<String> =
            (0..parts).flat_map(|part| plan.traffic(part_of_users(200, part, parts))).map(|p| text(&p)).collect();
        let mut whole: Vec<String> = whole.iter().map(text).collect();
        split.sort_unstable();
        whole.sort_unstable();
        assert_eq!(split, whole);
    }
}

#[test]
fn another_seed_or_day_gives_other_events() {
    let ids = |seed, day| -> BTreeSet<Uuid> {
        plan("", seed, Schedule::Day { day, impressions: 1_000, rate: None })
            .all_traffic()
            .map(|p| p.event.id)
            .collect()
    };
    let all = [ids(1, day()), ids(2, day()), ids(1, day().succ_opt().unwrap())];
    assert_eq!(all.iter().flatten().collect::<BTreeSet<_>>().len(), all.iter().map(BTreeSet::len).sum::<usize>());
}

/// The number of clicks on 100,000 views is within 4.5 standard deviations of the expected value.
#[test]
fn clickthrough_matches_the_configuration() {
    let events = of_day("", 8, 100_000);
    let clicks = fresh(&events, Table::Clicks).len() as f64;
    let deviation = (100_000.0_f64 * 0.3 * 0.7).sqrt();
    assert!((clicks - 30_000.0).abs() < 4.5 * deviation, "{clicks}");
}

/// Kolmogorov–Smirnov test: the greatest distance between the distribution of the sample and the uniform one over
/// middle ± variance is below the 99.99 % point, 2.23 / √n.
fn assert_even(mut sample: Vec<f64>, middle: f64, variance: f64) {
    assert!(sample.len() > 1_000);
    sample.sort_unstable_by(f64::total_cmp);
    let n = sample.len() as f64;
    let distance = sample
        .iter()
        .enumerate()
        .map(|(i, x)| {
            let expected = ((x - (middle - variance)) / (2.0 * variance)).clamp(0.0, 1.0);
            (i as f64 / n - expected).abs().max(((i + 1) as f64 / n - expected).abs())
        })
        .fold(0.0, f64::max);
    assert!(distance < 2.23 / n.sqrt(), "{distance} of {n} around {middle} ± {variance}");
}

/// The view times of each user. The ids of the views depend on the key of the user.
fn times_by_user(plan: &Plan, events: &[Planned]) -> Vec<Vec<u64>> {
    let mut at: BTreeMap<Uuid, u64> = BTreeMap::new();
    for p in fresh(events, Table::Impressions) {
        at.insert(p.event.id, p.at);
    }
    (0..plan.users())
        .map(|user| {
            (0..)
                .map_while(|view| {
                    let mut stream = plan.user(user).child(view).stream();
                    plan.gap(&mut stream);
                    plan.types.ads.draw(&mut stream);
                    at.get(&stream.uuid()).copied()
                })
                .collect()
        })
        .collect()
}

#[test]
fn live_users_view_and_click_in_the_times_of_the_configuration() {
    let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let schedule = Schedule::Live { start, until: Some(Duration::from_secs(60)), impressions: None, rate: None };
    let plan = plan("", 1, schedule);
    let events: Vec<Planned> = plan.all_traffic().collect();
    let users = times_by_user(&plan, &events);
    assert_eq!(users.iter().map(Vec::len).sum::<usize>(), fresh(&events, Table::Impressions).len());
    let gaps = users.iter().flat_map(|times| times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6));
    assert_even(gaps.collect(), 1.0, 0.25);
    let first = users.iter().map(|times| times[0] as f64 / 1e6).collect::<Vec<_>>();
    assert!(first.iter().all(|&at| at < 1.0));

    let mut shown = BTreeMap::new();
    for p in fresh(&events, Table::Impressions) {
        shown.insert(p.event.id, p.at);
    }
    let considered = fresh(&events, Table::Clicks);
    assert_even(considered.iter().map(|p| (p.at - shown[&p.event.impression]) as f64 / 1e6).collect(), 5.0, 2.0);
    assert!(events.iter().all(|p| p.due == p.at));
}

#[test]
fn the_views_of_a_day_keep_the_proportions_of_the_configuration() {
    let plan = plan("", 1, Schedule::Day { day: day(), impressions: 20_000, rate: None });
    let events: Vec<Planned> = plan.all_traffic().collect();
    let users = times_by_user(&plan, &events);
    assert!(users.iter().all(|times| times.len() == 100));
    // With 100 views a day, the gap is 864 s ± 25 %. Scaling each user's day to fit changes it by less than the bound.
    let gaps = users.iter().flat_map(|times| times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6));
    let gaps: Vec<f64> = gaps.collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    assert!((mean - 864.0).abs() < 3.0, "{mean}");
    assert!((variance.sqrt() - 216.0 / 3.0_f64.sqrt()).abs() < 3.0, "{}", variance.sqrt());
}

#[test]
fn the_hours_of_a_day_follow_its_shape() {
    let weights: Vec<u32> = (1..=24).collect();
    let events = of_day(&format!("Day: {{Shape: {weights:?}}}\n"), 2, 50_000);
    let mut hours = [0.0_f64; 24];
    for p in fresh(&events, Table::Impressions) {
        hours[(p.at / (3_600 * SECOND)) as usize] += 1.0;
    }
    let chi2: f64 = hours
        .iter()
        .zip(&weights)
        .map(|(&seen, &weight)| {
            let expected = 50_000.0 * f64::from(weight) / 300.0;
            (seen - expected).powi(2) / expected
        })
        .sum();
    // The 99.99 % point at 23 degrees of freedom.
    assert!(chi2 < 57.07, "χ² = {chi2}");
}

#[test]
fn a_live_run_ends_by_time_or_by_number_and_its_clicks_still_follow() {
    let by_time = live("", Some(30), None, None);
    assert!(fresh(&by_time, Table::Impressions).iter().all(|p| p.at < 30 * SECOND));
    assert!(by_time.last().unwrap().at > 30 * SECOND);
    let expected = 200.0 * 30.0;
    assert!((fresh(&by_time, Table::Impressions).len() as f64 - expected).abs() < 200.0);
    let by_number = live("", None, Some(5_000), None);
    assert_eq!(fresh(&by_number, Table::Impressions), fresh(&by_time, Table::Impressions)[..5_000]);
    assert_eq!(live("", Some(30), Some(10), None).iter().filter(|p| p.event.table == Table::Impressions).count(), 10);
}

#[test]
fn a_rate_spaces_impressions_evenly_and_leaves_the_time_to_consider() {
    let events = live("", Some(10), None, Some(1_000.0));
    let impressions = fresh(&events, Table::Impressions);
    assert_eq!(impressions.len(), 10_000);
    assert!(impressions.windows(2).all(|pair| pair[1].due - pair[0].due == 1_000));
    let mut shown = BTreeMap::new();
    for p in &impressions {
        shown.insert(p.event.id, p.at);
    }
    let considered: Vec<f64> =
        fresh(&events, Table::Clicks).iter().map(|p| (p.at - shown[&p.event.impression]) as f64 / 1e6).collect();
    assert_even(considered, 5.0, 2.0);
}

#[test]
fn a_day_can_be_sent_at_a_rate() {
    let plan = plan("", 1, Schedule::Day { day: day(), impressions: 1_000, rate: Some(100.0) });
    let events: Vec<Planned> = plan.all_traffic().collect();
    assert!(events.is_sorted_by_key(|p| p.due));
    assert_eq!(fresh(&events, Table::Impressions)[999].due, 9_990_000);
}

#[test]
fn shares_add_events_and_leave_the_fresh_ids_unchanged() {
    let plain = of_day("", 4, 20_000);
    let more = of_day("Repeats: {Share: 0.1}\nMalformed: {Share: 0.05}\nLate: {Share: 0.2, By: 26h}\n", 4, 20_000);
    let ids = |events: &[Planned]| -> Vec<(Table, Uuid)> {
        events.iter().filter(|p| p.event.kind == Kind::Fresh).map(|p| identity(&p.event)).collect()
    };
    assert_eq!(ids(&plain), ids(&more));
    let count = |wanted: fn(&Event) -> bool| more.iter().filter(|p| wanted(&p.event)).count() as f64;
    let near = |seen: f64, n: f64, p: f64| (seen - n * p).abs() < 4.5 * (n * p * (1.0 - p)).sqrt();
    assert!(near(count(|e| e.kind == Kind::Repeat), plain.len() as f64, 0.1));
    assert!(near(count(|e| matches!(e.kind, Kind::Malformed(_))), plain.len() as f64, 0.05));
    assert!(near(count(|e| e.kind == Kind::Fresh && e.late && e.table == Table::Impressions), 20_000.0, 0.2));
    // Late events occurred 26 hours earlier. A repeat is identical to its original.
    let mut originals = BTreeMap::new();
    for p in &more {
        let midnight = day().and_time(NaiveTime::MIN).and_utc().timestamp_millis();
        let delay = if p.event.late { 26 * 3_600_000 } else { 0 };
        if p.event.kind == Kind::Fresh {
            assert_eq!(p.event.occurred_at, midnight + (p.at / 1_000) as i64 - delay);
            originals.insert(identity(&p.event), *p);
        } else if p.event.kind == Kind::Repeat {
            let original = originals[&identity(&p.event)];
            assert_eq!(Event { kind: Kind::Fresh, ..p.event }, original.event);
            assert!(p.at > original.at);
        }
    }
}

#[test]
fn bots_click_at_once() {
    let events = of_day("Bots: {Share: 0.25, ClickthroughProbability: 1, ConsiderDuration: 20ms}\n", 6, 20_000);
    let by_bots = fresh(&events, Table::Impressions).iter().filter(|p| p.event.bot).count();
    let mut shown = BTreeMap::new();
    for p in fresh(&events, Table::Impressions) {
        shown.insert(p.event.id, p.at);
    }
    let clicks: Vec<Planned> = fresh(&events, Table::Clicks).into_iter().filter(|p| p.event.bot).collect();
    assert_eq!(clicks.len(), by_bots);
    assert!(by_bots > 3_000 && by_bots < 7_000, "{by_bots}");
    assert!(clicks.iter().all(|p| p.at - shown[&p.event.impression] == 20_000 || p.at == DAY - 1_000));
}
