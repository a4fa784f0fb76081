//! The plan of a run, which determines its events.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc};

use crate::ads::Ads;
use crate::config::{Bots, Config, Late, Repeats, Users};
use crate::day::{DAY, DayShape, SECOND};
use crate::event::{Kind, Table};
use crate::random::{Key, Stream};
use crate::traffic::Planned;
use crate::types::{REFERRED, Types, Wanted};

/// When events occur.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schedule {
    /// From now on.
    Live {
        /// When the users' clock starts.
        start: DateTime<Utc>,
        /// Users view until then.
        until: Option<Duration>,
        /// Users make this many impressions and no more.
        impressions: Option<u64>,
        /// The impressions per second of all users together, instead of `ViewFrequency`.
        rate: Option<f64>,
    },
    /// On a day. The users' clock runs as much faster or slower as it takes to fill the day: the times between their
    /// views keep their proportions, and the time to consider stays what it is.
    Day {
        /// The day, in UTC.
        day: NaiveDate,
        /// Users make this many impressions.
        impressions: u64,
        /// The impressions that become due per second. Without it, all are due at once.
        rate: Option<f64>,
    },
}

/// The plan of a run, which determines its events.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) schedule: Schedule,
    seed: u64,
    key: Key,
    /// The start of the events' clock, in milliseconds of Unix time.
    epoch: i64,
    /// The types, with the ads.
    pub types: Arc<Types>,
    /// The seconds over which a live schedule spreads the events of other types.
    length: f64,
    pub(crate) users: Users,
    /// `ViewFrequency` and `ViewVariance` in seconds.
    pub(crate) view: (f64, f64),
    pub(crate) bots: Bots,
    pub(crate) repeats: Repeats,
    late: Late,
    pub(crate) malformed: f64,
    pub(crate) shape: DayShape,
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
            malformed: config.malformed.share,
            shape: config.day.shape.clone(),
        };
        if types.refer() {
            types.refer_to(plan.first_ids());
            plan.types = Arc::new(types);
        }
        plan
    }

    /// The ids of the first events of each table, so that references point to existing events.
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

    /// The seed of the random numbers.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The expected number of impressions, which is exact if the schedule names it.
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

    /// The approximate number of events.
    pub fn expected_events(&self) -> u64 {
        let clicks = self.users.clickthrough_probability * (1.0 - self.bots.share)
            + self.bots.clickthrough_probability * self.bots.share;
        let extra = 1.0 + self.repeats.share + self.malformed;
        let others: u64 = self.types.wanted().map(|(_, count)| count).sum();
        ((self.expected_impressions() as f64 * (1.0 + clicks) + others as f64) * extra) as u64
    }

    /// How many users there are.
    pub fn users(&self) -> u32 {
        self.users.count
    }

    /// When an event of another type occurs, from the first number of its stream. Each has its own part of the time: on a day
    /// they are distributed like impressions, otherwise evenly.
    pub(crate) fn turn_at(&self, other: u16, number: u64) -> u64 {
        let within = self.stream_of(other, number).unit();
        let share = (number as f64 + within) / self.types.wanted_of(other) as f64;
        match self.schedule {
            Schedule::Day { .. } => self.shape.time(share),
            Schedule::Live { .. } => (share * self.length * SECOND as f64) as u64,
        }
    }

    /// The stream of an event of another type. It depends on the name of the type, since its number depends on the command
    /// line.
    pub(crate) fn stream_of(&self, other: u16, number: u64) -> Stream {
        let name = self.types.name(Table::Other(other)).bytes();
        // Users have the children up to 2^32.
        name.fold(self.key.child(u64::MAX), |key, byte| key.child(byte.into())).child(number).stream()
    }

    /// A time of the events' clock in milliseconds of Unix time. A late event occurred before.
    pub(crate) fn occurred_at(&self, at: u64, late: bool) -> i64 {
        let delay = if late { self.late.by.as_millis() as i64 } else { 0 };
        self.epoch + (at / 1_000) as i64 - delay
    }

    pub(crate) fn is_late(&self, stream: &mut Stream) -> bool {
        self.late.share > 0.0 && stream.unit() < self.late.share
    }

    #[inline]
    pub(crate) fn user(&self, user: u32) -> Key {
        self.key.child(u64::from(user))
    }

    /// A number in [0, 1), so that users do not all start at once.
    pub(crate) fn phase(&self, user: u32) -> f64 {
        self.user(user).child(u64::MAX).stream().unit()
    }

    pub(crate) fn is_bot(&self, user: u32) -> bool {
        self.bots.share > 0.0 && self.user(user).child(u64::MAX - 1).stream().unit() < self.bots.share
    }

    /// The time in seconds from the previous view to this one: the first number of the view's stream.
    #[inline]
    pub(crate) fn gap(&self, stream: &mut Stream) -> f64 {
        let (frequency, variance) = self.view;
        stream.around(frequency, variance)
    }

    /// A user's share of the day's impressions and of its time.
    pub(crate) fn progress(&self, user: u32, impressions: u64) -> Progress {
        let before = |user: u64| share_of(impressions, user, self.users.count);
        let views = before(u64::from(user) + 1) - before(u64::from(user));
        let key = self.user(user);
        let total: f64 = (0..views).map(|view| self.gap(&mut key.child(view).stream())).sum();
        let first = if views > 0 { self.gap(&mut key.child(0).stream()) } else { 0.0 };
        Progress { at: self.phase(user) * first, total, views }
    }

    /// When a view is clicked: after the time to consider, and of a day before its end.
    pub(crate) fn click_at(&self, at: u64, bot: bool, considers: f64) -> u64 {
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
        // The last view is 2 ms before the end of the day, so there is room.
        let room = end.saturating_sub(at + 1_000);
        at + 1_000 + (considers * room as f64) as u64
    }

    /// The time, or the last one of the day if that is earlier.
    pub(crate) fn within_day(&self, at: u64) -> u64 {
        match self.schedule {
            Schedule::Live { .. } => at,
            Schedule::Day { .. } => at.min(DAY - 1_000),
        }
    }
}

/// The part of `count` of this many users, out of all.
pub(crate) fn share_of(count: u64, users: u64, all: u32) -> u64 {
    (u128::from(count) * u128::from(users) / u128::from(all)) as u64
}

/// For about how many seconds users view.
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

/// The users in one of several parts.
pub fn part_of_users(users: u32, part: u32, parts: u32) -> Range<u32> {
    let bound = |part: u32| (u64::from(users) * u64::from(part) / u64::from(parts)) as u32;
    bound(part)..bound(part + 1)
}

/// The progress of a user through a day.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    /// Seconds of the user's clock at the next view.
    pub(crate) at: f64,
    /// Seconds of the user's clock that make the day.
    pub(crate) total: f64,
    /// The views of the day.
    pub(crate) views: u64,
}

impl Progress {
    pub(crate) fn share(&self) -> f64 {
        if self.total > 0.0 { self.at / self.total } else { 0.0 }
    }
}
