//! Valid random events of a type, for tests and for load. The same type and seed give the same events.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};
use fastrand::Rng;

use crate::model::{Distribution, EventType, Field, Object, Value};

/// One in this many values is at a limit of its field, or next to it.
const AT_LIMIT: u32 = 32;
/// One in this many optional fields is absent.
const ABSENT: u32 = 8;
/// How many texts or ids to draw from, if some are to be frequent.
const POPULAR: u64 = 1_000;
/// The range of numbers without a limit, from 0 or from their other limit.
const USUAL: i64 = 1_000;
/// Longer texts and lists are made only if the schema requires them: `maxLength` may be a million.
const LONGEST_TEXT: u32 = 1_000;
const LONGEST_LIST: u32 = 50;
/// The usual length of a text and of a list.
const USUAL_TEXT: u32 = 30;
const USUAL_LIST: u32 = 4;

const HOUR: i64 = 3_600_000;
const YEAR: i64 = 365 * 24 * HOUR;

/// Scripts with one to four bytes per character, from right to left, with combining marks, and characters that JSON escapes.
const WORDS: [&[&str]; 9] = [
    &["red", "wooden", "chair", "for", "the", "garden", "no. 7"],
    &["grüne", "Äpfel", "aus", "Österreich", "für", "Straße"],
    &["κόκκινο", "ποδήλατο", "με", "καλάθι"],
    &["синий", "чайник", "на", "каждый", "день"],
    &["كتاب", "جديد", "من", "القاهرة"],
    &["नया", "हिन्दी", "शब्दकोश"],
    &["東京都", "渋谷区", "一丁目", "カメラ"],
    &["대한민국", "서울", "책상"],
    &["\"quoted\"", "back\\slash", "tab\tbed", "🚲", "👩‍👧", "e\u{301}"],
];

/// Draws events of one type.
#[derive(Clone, Debug)]
pub struct Sampler {
    event_type: EventType,
    rng: Rng,
    pools: BTreeMap<String, Vec<String>>,
    late: (f64, Duration),
    raw_times: bool,
}

impl Sampler {
    /// A sampler whose events occur just before they are drawn, and whose references are random ids.
    #[must_use]
    pub fn new(event_type: &EventType, seed: u64) -> Self {
        Self {
            event_type: event_type.clone(),
            rng: Rng::with_seed(seed),
            pools: BTreeMap::new(),
            late: (0.0, Duration::ZERO),
            raw_times: false,
        }
    }

    /// Makes this share of the events, from 0 to 1, occur this long before the others.
    #[must_use]
    pub fn late(self, share: f64, by: Duration) -> Self {
        Self { late: (share, by), ..self }
    }

    /// Writes times in the form of raw lines, `YYYY-MM-DD HH:MM:SS.mmm`, instead of RFC 3339.
    #[must_use]
    pub fn raw_times(self) -> Self {
        Self { raw_times: true, ..self }
    }

    /// Draws the ids of references to an event type from these. If there are none, they are random.
    pub fn refer_to(&mut self, event_type: &str, ids: Vec<String>) {
        self.pools.insert(event_type.to_owned(), ids);
    }

    /// The next event, in the order of the schema's fields and with its own id. `now` is in milliseconds of Unix time.
    pub fn next(&mut self, now: i64) -> String {
        let late = self.rng.f64() < self.late.0;
        let behind = if late { self.late.1.as_millis().try_into().unwrap_or(0) } else { 0 };
        let time = now.saturating_sub(behind).saturating_sub(self.rng.i64(0..1_000));
        let id = uuid(&mut self.rng);
        let seed = self.rng.u64(..);
        let mut out = Vec::new();
        self.write(seed, &id, &self.time(time), time, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Appends an event with this own id and time, which are not checked. `seed` determines its other fields. Its other times
    /// and dates are near `time`, in milliseconds of Unix time.
    pub fn write(&self, seed: u64, id: &str, own_time: &str, time: i64, out: &mut Vec<u8>) {
        let mut event = Event { sampler: self, rng: Rng::with_seed(seed), id, own_time, time, out };
        event.object(&self.event_type.object, true);
    }

    fn time(&self, milliseconds: i64) -> String {
        let form = if self.raw_times { "%Y-%m-%d %H:%M:%S%.3f" } else { "%Y-%m-%dT%H:%M:%S%.3fZ" };
        utc(milliseconds).format(form).to_string()
    }
}

/// An event that is being written.
struct Event<'a> {
    sampler: &'a Sampler,
    rng: Rng,
    id: &'a str,
    own_time: &'a str,
    time: i64,
    out: &'a mut Vec<u8>,
}

impl Event<'_> {
    fn object(&mut self, object: &Object, is_event: bool) {
        let event_type = &self.sampler.event_type;
        let mut before = b'{';
        for field in &object.fields {
            let own_id = is_event && field.name == event_type.id;
            if !field.required && !own_id && self.one_in(ABSENT) {
                continue;
            }
            self.out.push(before);
            before = b',';
            self.text(&field.name);
            self.out.push(b':');
            if own_id {
                self.text(self.id);
            } else if is_event && field.name == event_type.time {
                self.text(self.own_time);
            } else {
                self.field(field);
            }
        }
        if before == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }

    fn field(&mut self, field: &Field) {
        let sampler = self.sampler;
        let pool = field.references.as_ref().and_then(|reference| sampler.pools.get(&reference.event_type));
        match pool {
            Some(ids) if !ids.is_empty() => {
                let id = &ids[index(&mut self.rng, field.sample, ids.len())];
                self.text(id);
            }
            _ => self.value(&field.value, &field.name, field.sample),
        }
    }

    fn value(&mut self, value: &Value, name: &str, sample: Distribution) {
        match value {
            Value::Uuid => {
                let id = uuid(&mut self.popular(name, sample));
                self.text(&id);
            }
            Value::DateTime => {
                let time = self.sampler.time(self.time - self.rng.i64(0..HOUR));
                self.text(&time);
            }
            Value::Date => {
                let date = utc(self.time - self.rng.i64(0..YEAR)).date();
                self.text(&date.to_string());
            }
            Value::Text { min_chars, max_chars } => {
                let length = self.length(*min_chars, *max_chars, USUAL_TEXT, LONGEST_TEXT);
                let words = words(&mut self.popular(name, sample), length);
                self.text(&words);
            }
            Value::Enum(texts) => {
                let text = &texts[index(&mut self.rng, sample, texts.len())];
                self.text(text);
            }
            Value::Integer { min, max } => {
                let (low, high) = usual(*min, *max);
                let integer = match self.at_limit(sample) {
                    Some(limit) => limit.integer(i128::from(*min), i128::from(*max)),
                    None => integer(&mut self.rng, sample, i128::from(low), i128::from(high)),
                };
                self.write(format_args!("{integer}"));
            }
            Value::Decimal(decimal) => {
                let units = match self.at_limit(sample) {
                    Some(limit) => limit.integer(decimal.min, decimal.max),
                    None => integer(&mut self.rng, sample, decimal.min, decimal.max),
                };
                self.decimal(units, usize::from(decimal.scale));
            }
            Value::Number { min, max } => self.number(*min, *max, sample),
            Value::Boolean => {
                let value = self.rng.bool();
                self.write(format_args!("{value}"));
            }
            Value::Array { items, min_items, max_items, .. } => {
                self.out.push(b'[');
                for item in 0..self.length(*min_items, *max_items, USUAL_LIST, LONGEST_LIST) {
                    if item > 0 {
                        self.out.push(b',');
                    }
                    self.value(items, name, sample);
                }
                self.out.push(b']');
            }
            Value::Object(object) => self.object(object, false),
        }
    }

    fn number(&mut self, min: Option<f64>, max: Option<f64>, sample: Distribution) {
        let usual = USUAL as f64;
        let low = min.unwrap_or_else(|| max.map_or(-usual, |max| (max - usual).max(f64::MIN)));
        let high = max.unwrap_or_else(|| (low + usual).min(f64::MAX));
        let number = match self.at_limit(sample) {
            Some(limit) if limit.upper => high,
            Some(_) => low,
            None => {
                let share = share(&mut self.rng, sample, usual);
                // Without their difference, which can exceed all doubles.
                (low * (1.0 - share) + high * share).clamp(low, high)
            }
        };
        // Writing to a vector cannot fail.
        let _ = serde_json::to_writer(&mut *self.out, &number);
    }

    /// A number of units of the last digit, with all of its digits after the point.
    fn decimal(&mut self, units: i128, scale: usize) {
        let sign = if units < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", units.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let point = if scale > 0 { "." } else { "" };
        self.write(format_args!("{sign}{whole}{point}{fraction}"));
    }

    /// The number of characters or items: usually few, and sometimes as many as allowed.
    fn length(&mut self, min: u32, max: u32, usual: u32, longest: u32) -> u32 {
        match self.at_limit(Distribution::Uniform) {
            Some(limit) if limit.upper => max.min(longest).max(min),
            Some(_) => min,
            None => self.rng.u32(min..=max.min(min.saturating_add(usual))),
        }
    }

    /// The generator for a text or an id: any one for a uniform distribution, otherwise one of a few.
    fn popular(&mut self, name: &str, sample: Distribution) -> Rng {
        if sample == Distribution::Uniform {
            return self.rng.fork();
        }
        // Seeded by the name, so that the types share their customers.
        let seed = name.bytes().fold(0_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let rank = index(&mut self.rng, sample, POPULAR as usize) as u64;
        Rng::with_seed(seed.wrapping_mul(POPULAR).wrapping_add(rank))
    }

    fn at_limit(&mut self, sample: Distribution) -> Option<Limit> {
        let is_limit = sample == Distribution::Uniform && self.one_in(AT_LIMIT);
        is_limit.then(|| Limit { upper: self.rng.bool(), next_to: self.rng.bool() })
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.rng.u32(0..count) == 0
    }

    fn text(&mut self, text: &str) {
        // Writing to a vector cannot fail.
        let _ = serde_json::to_writer(&mut *self.out, text);
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = self.out.write_fmt(text);
    }
}

/// A value at a limit.
struct Limit {
    upper: bool,
    next_to: bool,
}

impl Limit {
    fn integer(&self, min: i128, max: i128) -> i128 {
        let step = i128::from(self.next_to && min < max);
        if self.upper { max - step } else { min + step }
    }
}

/// The range of an integer, narrowed where the schema has no limit.
fn usual(min: i64, max: i64) -> (i64, i64) {
    match (min, max) {
        (i64::MIN, i64::MAX) => (0, USUAL),
        (i64::MIN, max) => (max.saturating_sub(USUAL), max),
        (min, i64::MAX) => (min, min.saturating_add(USUAL)),
        limits => limits,
    }
}

fn integer(rng: &mut Rng, sample: Distribution, min: i128, max: i128) -> i128 {
    let span = max.abs_diff(min);
    let offset = match sample {
        Distribution::Uniform => rng.u128(0..=span),
        sample => {
            let count = span as f64 + 1.0;
            ((share(rng, sample, count) * count) as u128).min(span)
        }
    };
    // The range of a decimal can be wider than half of all integers: the sum is right modulo 2^128.
    min.wrapping_add(offset as i128)
}

/// A random index below `count`.
fn index(rng: &mut Rng, sample: Distribution, count: usize) -> usize {
    ((share(rng, sample, count as f64) * count as f64) as usize).min(count - 1)
}

/// A number in [0, 1). `steps` is the number of values among which the range is divided.
fn share(rng: &mut Rng, sample: Distribution, steps: f64) -> f64 {
    match sample {
        Distribution::Uniform => rng.f64(),
        // The mean of four uniform numbers is close to a normal distribution, and bounded.
        Distribution::Normal => (rng.f64() + rng.f64() + rng.f64() + rng.f64()) / 4.0,
        // The inverse of a density that falls as 1 / rank.
        Distribution::Zipf => ((steps + 1.0).powf(rng.f64()) - 1.0) / steps.max(1.0),
    }
}

fn words(rng: &mut Rng, length: u32) -> String {
    let script = WORDS[rng.usize(0..WORDS.len())];
    let mut text = String::new();
    let mut missing = length;
    while missing > 0 {
        let blank = if text.is_empty() { "" } else { " " };
        for char in blank.chars().chain(script[rng.usize(0..script.len())].chars()).take(missing as usize) {
            text.push(char);
            missing -= 1;
        }
    }
    text
}

fn uuid(rng: &mut Rng) -> String {
    uuid::Builder::from_random_bytes(rng.u128(..).to_be_bytes()).into_uuid().to_string()
}

/// A time, or the epoch if it is beyond the calendar.
fn utc(milliseconds: i64) -> NaiveDateTime {
    DateTime::from_timestamp_millis(milliseconds).unwrap_or(DateTime::UNIX_EPOCH).naive_utc()
}
