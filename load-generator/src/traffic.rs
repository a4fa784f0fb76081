//! The simulation: who views and clicks what, and when; and the random events of other types beside it.
//!
//! [`Traffic`] is an iterator over events in the order of their clock. It knows no time but its own: whoever takes
//! the events decides whether to wait for it. A user takes 48 bytes, a click that is being considered 80.

use crate::ads::Ads;
use crate::config::{Bots, Config, Late, Repeats, Users};
use crate::day::{DAY, DayShape, SECOND};
use crate::event::{Defect, Event, Kind, Table};
use crate::random::{Key, Stream};
use crate::types::{REFERRED, Types, Wanted};
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// When events occur.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schedule {
    /// From now on.
    Live {
        /// The moment at which the users' clock starts.
        start: DateTime<Utc>,
        /// Users view until then.
        until: Option<Duration>,
        /// Users make this many impressions and no more.
        impressions: Option<u64>,
        /// The impressions a second of all users together, instead of `ViewFrequency`.
        rate: Option<f64>,
    },
    /// On a day. The users' clock runs as much faster or slower as it takes to fill the day: the times between their
    /// views keep their proportions, and the time to consider stays what it is.
    Day {
        /// The day, in UTC.
        day: NaiveDate,
        /// Users make this many impressions.
        impressions: u64,
        /// Impressions that fall due in a second; without it, all are due at once.
        rate: Option<f64>,
    },
}

/// All that decides which events there are.
#[derive(Debug, Clone)]
pub struct Plan {
    schedule: Schedule,
    seed: u64,
    key: Key,
    /// The moment from which events' clocks count, in milliseconds of Unix time.
    epoch: i64,
    /// The types, with the ads.
    pub types: Arc<Types>,
    /// The seconds over which a live schedule spreads the events of other types.
    length: f64,
    users: Users,
    /// `ViewFrequency` and `ViewVariance` in seconds.
    view: (f64, f64),
    bots: Bots,
    repeats: Repeats,
    late: Late,
    malformed: f64,
    shape: DayShape,
}

impl Plan {
    /// The plan of a configuration, a seed and a schedule, with events of other types.
    pub fn new(config: &Config, seed: u64, schedule: Schedule, others: Vec<Wanted>) -> Self {
        let (day, epoch) = match schedule {
            Schedule::Live { start, .. } => (0, start),
            Schedule::Day { day, .. } => (day.num_days_from_ce() as u64, day.and_time(NaiveTime::MIN).and_utc()),
        };
        let Users { view_frequency, view_variance, .. } = config.users;
        let mut types = Types::new(Ads::new(config.ads.count, config.ads.zipf_exponent), others);
        let mut plan = Self {
            schedule,
            seed,
            key: Key::new(seed).child(day),
            epoch: epoch.timestamp_millis(),
            types: Arc::new(types.clone()),
            length: length(&config.users, schedule),
            users: config.users,
            view: (view_frequency.as_secs_f64(), view_variance.as_secs_f64()),
            bots: config.bots,
            repeats: config.repeats,
            late: config.late,
            malformed: config.malformed,
            shape: config.day.clone(),
        };
        if types.refer() {
            types.refer_to(plan.first_ids());
            plan.types = Arc::new(types);
        }
        plan
    }

    /// The ids of the first events of each table, so that what refers to them refers to events that there are.
    fn first_ids(&self) -> Vec<Vec<String>> {
        let mut ids = vec![Vec::new(); self.types.count()];
        let first = Arc::new(self.clone()).all_traffic().take(REFERRED * ids.len());
        for Planned { event, .. } in first.filter(|planned| planned.event.kind == Kind::Fresh) {
            ids[event.table.index()].push(event.id.to_string());
        }
        ids.iter_mut().for_each(|ids| ids.truncate(REFERRED));
        ids
    }

    /// When events occur.
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// What the random numbers start from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How many impressions to expect, exactly so where the schedule says how many.
    pub fn expected_impressions(&self) -> u64 {
        match self.schedule {
            Schedule::Day { impressions, .. } => impressions,
            Schedule::Live { until, impressions, rate, .. } => {
                let by_time = until.map(|until| match rate {
                    Some(rate) => (until.as_secs_f64() * rate).ceil() as u64,
                    None => usual_impressions(&self.users, until),
                });
                by_time.unwrap_or(u64::MAX).min(impressions.unwrap_or(u64::MAX))
            }
        }
    }

    /// About how many events to expect.
    pub fn expected_events(&self) -> u64 {
        let clicks = self.users.clickthrough_probability * (1.0 - self.bots.share)
            + self.bots.clickthrough_probability * self.bots.share;
        let extra = 1.0 + self.repeats.share + self.malformed;
        let others: u64 = self.types.wanted().map(|(_, count)| count).sum();
        ((self.expected_impressions() as f64 * (1.0 + clicks) + others as f64) * extra) as u64
    }

    /// The events that a part of the users makes, and as large a part of the events of other types.
    ///
    /// All parts of a day together make the same events, however many parts there are. Of a live schedule, which
    /// users share the impressions that are wanted is settled among all of them: it has one part.
    pub fn traffic(self: &Arc<Self>, part: Range<u32>) -> Traffic {
        let mut traffic = Traffic {
            plan: Arc::clone(self),
            views: BinaryHeap::new(),
            others: self.others(&part),
            progress: Vec::new(),
            first_user: part.start,
            pending: BinaryHeap::new(),
            views_made: 0,
            pended: 0,
            due: 0,
        };
        let mut views = Vec::new();
        for user in part {
            match self.schedule {
                Schedule::Live { .. } => {
                    let at = self.phase(user) * self.view.0 * SECOND as f64;
                    views.push(Reverse(View { at: at as u64, user, number: 0 }));
                }
                Schedule::Day { impressions, .. } => {
                    let progress = self.progress(user, impressions);
                    if progress.views > 0 {
                        let at = self.shape.time(progress.share());
                        views.push(Reverse(View { at, user, number: 0 }));
                    }
                    traffic.progress.push(progress);
                }
            }
        }
        traffic.views = BinaryHeap::from(views);
        traffic
    }

    /// The events of all users.
    pub fn all_traffic(self: &Arc<Self>) -> Traffic {
        self.traffic(0..self.users.count)
    }

    /// How many users there are.
    pub fn users(&self) -> u32 {
        self.users.count
    }

    /// The turns of other types' events in a part of the users.
    fn others(&self, part: &Range<u32>) -> BinaryHeap<Reverse<Turn>> {
        let turn = |(other, count): (u16, u64)| {
            let bound = |user: u32| share_of(count, u64::from(user), self.users.count);
            let (number, end) = (bound(part.start), bound(part.end));
            (number < end).then(|| Reverse(Turn { at: self.turn_at(other, number), other, number, end }))
        };
        self.types.wanted().filter_map(turn).collect()
    }

    /// When an event of another type occurs: they are spread like the impressions of a day, else evenly.
    fn turn_at(&self, other: u16, number: u64) -> u64 {
        let share = (number as f64 + 0.5) / self.types.wanted_of(other) as f64;
        match self.schedule {
            Schedule::Day { .. } => self.shape.time(share),
            Schedule::Live { .. } => (share * self.length * SECOND as f64) as u64,
        }
    }

    /// The stream of an event of another type, whose name counts and not its number: that is the command line's.
    fn stream_of(&self, other: u16, number: u64) -> Stream {
        let name = self.types.name(Table::Other(other)).bytes();
        // Users have the children up to 2^32.
        name.fold(self.key.child(u64::MAX), |key, byte| key.child(byte.into())).child(number).stream()
    }

    /// What a clock shows in milliseconds of Unix time, for a late event when it occurred.
    fn occurred_at(&self, at: u64, late: bool) -> i64 {
        let delay = if late { self.late.by.as_millis() as i64 } else { 0 };
        self.epoch + (at / 1_000) as i64 - delay
    }

    fn is_late(&self, stream: &mut Stream) -> bool {
        self.late.share > 0.0 && stream.unit() < self.late.share
    }

    #[inline]
    fn user(&self, user: u32) -> Key {
        self.key.child(u64::from(user))
    }

    /// A number from [0, 1) by which users don't all start at once.
    fn phase(&self, user: u32) -> f64 {
        self.user(user).child(u64::MAX).stream().unit()
    }

    fn is_bot(&self, user: u32) -> bool {
        self.bots.share > 0.0 && self.user(user).child(u64::MAX - 1).stream().unit() < self.bots.share
    }

    /// The time, in seconds, from the view before to this one: the first number of the view's stream.
    #[inline]
    fn gap(&self, stream: &mut Stream) -> f64 {
        let (frequency, variance) = self.view;
        stream.around(frequency, variance)
    }

    /// A user's share of the day's impressions and of its time.
    fn progress(&self, user: u32, impressions: u64) -> Progress {
        let before = |user: u64| share_of(impressions, user, self.users.count);
        let views = before(u64::from(user) + 1) - before(u64::from(user));
        let key = self.user(user);
        let total: f64 = (0..views).map(|view| self.gap(&mut key.child(view).stream())).sum();
        let first = if views > 0 { self.gap(&mut key.child(0).stream()) } else { 0.0 };
        Progress { at: self.phase(user) * first, total, views }
    }
}

/// How many of `count` fall to so many of the users.
fn share_of(count: u64, users: u64, all: u32) -> u64 {
    (u128::from(count) * u128::from(users) / u128::from(all)) as u64
}

/// About how many seconds users view.
fn length(users: &Users, schedule: Schedule) -> f64 {
    let Schedule::Live { until, impressions, rate, .. } = schedule else { return 0.0 };
    let rate = rate.unwrap_or_else(|| f64::from(users.count) / users.view_frequency.as_secs_f64());
    let by_number = impressions.map_or(f64::INFINITY, |impressions| impressions as f64 / rate);
    until.map_or(by_number, |until| until.as_secs_f64().min(by_number))
}

/// The impressions that users make in a time.
pub fn usual_impressions(users: &Users, time: Duration) -> u64 {
    (f64::from(users.count) * time.as_secs_f64() / users.view_frequency.as_secs_f64()).round() as u64
}

/// A user's way through a day.
#[derive(Debug, Clone, Copy)]
struct Progress {
    /// Seconds of the user's clock at the next view.
    at: f64,
    /// Seconds of the user's clock that make the day.
    total: f64,
    /// The views of the day.
    views: u64,
}

impl Progress {
    fn share(&self) -> f64 {
        if self.total > 0.0 { self.at / self.total } else { 0.0 }
    }
}

/// A user's next view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct View {
    at: u64,
    user: u32,
    number: u64,
}

/// The next event of another type, up to the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    at: u64,
    other: u16,
    number: u64,
    end: u64,
}

/// An event that follows from another one, later.
#[derive(Debug, Clone, Copy)]
struct Pending {
    at: u64,
    /// Tells apart what is pending for the same moment.
    number: u64,
    view: u64,
    event: Event,
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Pending {}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pending {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// An event and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// When it's to be sent: microseconds since the start of the run.
    pub due: u64,
    /// When it occurs, or is sent again: microseconds on the schedule's clock, of a day since midnight.
    pub at: u64,
    /// The number of the view that it comes from, counted from 0 in the order of views. Other types have none: it's 0.
    pub view: u64,
    /// The event.
    pub event: Event,
}

/// The events of a plan, or of a part of its users, in the order of their clock.
#[derive(Debug)]
pub struct Traffic {
    plan: Arc<Plan>,
    views: BinaryHeap<Reverse<View>>,
    others: BinaryHeap<Reverse<Turn>>,
    /// Of each user of the part; empty for a live schedule.
    progress: Vec<Progress>,
    first_user: u32,
    pending: BinaryHeap<Reverse<Pending>>,
    views_made: u64,
    pended: u64,
    /// When the last view of a day was due.
    due: u64,
}

impl Iterator for Traffic {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        let view = self.next_view_at();
        let pending = self.pending.peek().map(|Reverse(pending)| pending.at);
        let other = self.others.peek().map(|Reverse(turn)| turn.at);
        let first = [view, pending, other].into_iter().flatten().min()?;
        if pending == Some(first) {
            let Reverse(Pending { at, view, event, .. }) = self.pending.pop()?;
            Some(Planned { due: self.due(at), at, view, event })
        } else if view == Some(first) {
            self.view(first)
        } else {
            self.other()
        }
    }
}

impl Traffic {
    /// When what is no view is to be sent: on a day together with the last view.
    fn due(&self, at: u64) -> u64 {
        if matches!(self.plan.schedule, Schedule::Live { .. }) { at } else { self.due }
    }

    /// When the next view occurs, if there is to be one.
    fn next_view_at(&self) -> Option<u64> {
        let Reverse(view) = self.views.peek()?;
        match self.plan.schedule {
            Schedule::Day { .. } => Some(view.at),
            Schedule::Live { until, impressions, rate, .. } => {
                let at = rate.map_or(view.at, |rate| paced(self.views_made, rate));
                let in_time = until.is_none_or(|until| u128::from(at) < until.as_micros());
                let wanted = impressions.is_none_or(|impressions| self.views_made < impressions);
                (in_time && wanted).then_some(at)
            }
        }
    }

    /// Takes the next view and plans what follows from it.
    fn view(&mut self, at: u64) -> Option<Planned> {
        let plan = Arc::clone(&self.plan);
        let View { user, number, .. } = self.next_view()?;
        let view = self.views_made;
        self.views_made += 1;
        let due = match plan.schedule {
            Schedule::Live { .. } => at,
            Schedule::Day { rate, .. } => rate.map_or(0, |rate| paced(view, rate)),
        };
        self.due = due;

        // What every view draws comes first, so that the views stay the same when a share below is changed.
        let mut stream = plan.user(user).child(number).stream();
        plan.gap(&mut stream);
        let ad = plan.types.ads.draw(&mut stream);
        let impression = stream.uuid();
        let clicks = stream.unit();
        let considers = stream.unit();
        let click = stream.uuid();

        let bot = plan.is_bot(user);
        let late = plan.is_late(&mut stream);
        let event = |table, kind, id, at: u64| {
            let occurred_at = plan.occurred_at(at, late);
            Event { table, kind, late, bot, ad, id, impression, occurred_at }
        };
        let shown = event(Table::Impressions, Kind::Fresh, impression, at);
        self.follow(&plan, shown, at, view, &mut stream);
        let probability = if bot { plan.bots.clickthrough_probability } else { plan.users.clickthrough_probability };
        if clicks < probability {
            let at = plan.click_at(at, bot, considers);
            let clicked = event(Table::Clicks, Kind::Fresh, click, at);
            self.pend(at, view, clicked);
            self.follow(&plan, clicked, at, view, &mut stream);
        }
        Some(Planned { due, at, view, event: shown })
    }

    /// Takes the next event of another type.
    fn other(&mut self) -> Option<Planned> {
        let plan = Arc::clone(&self.plan);
        let Reverse(Turn { at, other, number, end }) = self.others.pop()?;
        let next = number + 1;
        if next < end {
            self.others.push(Reverse(Turn { at: plan.turn_at(other, next), other, number: next, end }));
        }
        let mut stream = plan.stream_of(other, number);
        let id = stream.uuid();
        let late = plan.is_late(&mut stream);
        let occurred_at = plan.occurred_at(at, late);
        let table = Table::Other(other);
        let event = Event { table, kind: Kind::Fresh, late, bot: false, ad: 0, id, impression: id, occurred_at };
        self.follow(&plan, event, at, 0, &mut stream);
        Some(Planned { due: self.due(at), at, view: 0, event })
    }

    /// Takes the user whose view is next, and puts the user's view after that in its place.
    fn next_view(&mut self) -> Option<View> {
        let mut top = self.views.peek_mut()?;
        let Reverse(view) = *top;
        let number = view.number + 1;
        let plan = &self.plan;
        let gap = |number| plan.gap(&mut plan.user(view.user).child(number).stream());
        let next = match plan.schedule {
            Schedule::Live { .. } => Some(view.at + (gap(number) * SECOND as f64) as u64),
            Schedule::Day { .. } => {
                self.progress.get_mut((view.user - self.first_user) as usize).and_then(|progress| {
                    if number >= progress.views {
                        return None;
                    }
                    progress.at += gap(number);
                    Some(plan.shape.time(progress.share()))
                })
            }
        };
        match next {
            Some(at) => *top = Reverse(View { at, user: view.user, number }),
            None => {
                PeekMut::pop(top);
            }
        }
        Some(view)
    }

    /// Plans the repetition of an event, and the malformed event beside it.
    fn follow(&mut self, plan: &Plan, event: Event, at: u64, view: u64, stream: &mut Stream) {
        if plan.repeats.share > 0.0 && stream.unit() < plan.repeats.share {
            let again = at + plan.repeats.delay.as_micros() as u64;
            self.pend(plan.within_day(again), view, Event { kind: Kind::Repeat, ..event });
        }
        if plan.malformed > 0.0 && stream.unit() < plan.malformed {
            let id = stream.uuid();
            let impression = if event.table == Table::Clicks { event.impression } else { id };
            let defects = Defect::of(event.table);
            let kind = Kind::Malformed(defects[(stream.bits() % defects.len() as u64) as usize]);
            self.pend(at, view, Event { kind, id, impression, ..event });
        }
    }

    fn pend(&mut self, at: u64, view: u64, event: Event) {
        let number = self.pended;
        self.pended += 1;
        self.pending.push(Reverse(Pending { at, number, view, event }));
    }
}

impl Plan {
    /// When a view is clicked: after the time to consider, and of a day before its end.
    fn click_at(&self, at: u64, bot: bool, considers: f64) -> u64 {
        let (duration, variance) = if bot {
            (self.bots.consider_duration, 0.0)
        } else {
            (self.users.consider_duration, self.users.consider_variance.as_secs_f64())
        };
        let seconds = duration.as_secs_f64() + variance * (2.0 * considers - 1.0);
        let click = at + ((seconds * SECOND as f64) as u64).max(1_000);
        let end = self.within_day(u64::MAX);
        if click <= end {
            return click;
        }
        // A view ends 2 ms before the day, so there is room.
        let room = end.saturating_sub(at + 1_000);
        at + 1_000 + (considers * room as f64) as u64
    }

    /// The moment, or the last one of the day if that is earlier.
    fn within_day(&self, at: u64) -> u64 {
        match self.schedule {
            Schedule::Live { .. } => at,
            Schedule::Day { .. } => at.min(DAY - 1_000),
        }
    }
}

/// When number `n` is due at a rate a second, in microseconds.
fn paced(n: u64, rate: f64) -> u64 {
    (n as f64 * SECOND as f64 / rate) as u64
}

/// The range of a part of the users, of so many parts.
pub fn part_of_users(users: u32, part: u32, parts: u32) -> Range<u32> {
    let bound = |part: u32| (u64::from(users) * u64::from(part) / u64::from(parts)) as u32;
    bound(part)..bound(part + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};
    use uuid::Uuid;

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
    fn a_day_has_exactly_the_impressions_asked_for_and_all_its_events_are_of_it() {
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
                    Table::Other(_) => panic!("nobody asked for {event:?}"),
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

    /// The clickthrough of 100,000 views is within 4.5 standard deviations of the probability.
    #[test]
    fn clickthrough_matches_the_configuration() {
        let events = of_day("", 8, 100_000);
        let clicks = fresh(&events, Table::Clicks).len() as f64;
        let deviation = (100_000.0_f64 * 0.3 * 0.7).sqrt();
        assert!((clicks - 30_000.0).abs() < 4.5 * deviation, "{clicks}");
    }

    /// Kolmogorov and Smirnov: the greatest distance of the sample's distribution from the even one over
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

    /// The views of each user: which ids they have follows from the user's key.
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
        // A hundred views a day: 864 s between them, a quarter more or less. Scaling each user's day to fit moves this
        // by less than the bound can see.
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
        assert_eq!(
            live("", Some(30), Some(10), None).iter().filter(|p| p.event.table == Table::Impressions).count(),
            10
        );
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
    fn shares_come_on_top_and_leave_the_rest_as_it_was() {
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
        // Late events occurred 26 hours before; a repeat is its original to the letter.
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
}
