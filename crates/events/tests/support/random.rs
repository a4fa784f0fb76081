//! Random events of a type: valid ones, and some with faults.

use chrono::{DateTime, Days, NaiveDate, SecondsFormat, TimeDelta, Utc};
use event_types::{Decimal, EventType, Object, Value};
use fastrand::Rng;
use uuid::Uuid;

use super::{GIVEN, now};

/// A value in three forms. None of them is derived by the code under test.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The value as a client can write it.
    pub written: String,
    /// The value for JSON Schema. It has the same meaning, unless the verdicts are meant to differ.
    pub judged: String,
    /// The form in the raw line, if it is valid.
    pub line: String,
}

impl Sample {
    /// A value whose forms are all the same.
    fn plain(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { written: text.clone(), judged: text.clone(), line: text }
    }

    /// A value that JSON Schema accepts and this crate refuses on purpose.
    fn refused(text: impl Into<String>) -> Self {
        Self { judged: "null".to_owned(), ..Self::plain(text) }
    }
}

/// Values of any type. Some are valid by chance.
const ODD: [&str; 17] = [
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "3",
    "1.5",
    "0.25",
    "\"\"",
    "\"on\"",
    "\"abc\"",
    "\"2026-11-20\"",
    "[]",
    "{}",
    "[1,2]",
    "[[[[]]]]",
];

/// Texts that are almost valid times.
const ODD_TIMES: [&str; 10] = [
    "\"2026-11-20\"",
    "\"2026-11-20T11:59:58\"",
    "\"2026-02-29T11:59:58Z\"",
    "\"2026-11-20T24:00:00Z\"",
    "\"2026-11-20T11:59Z\"",
    "\"2026-11-20T11:59:58.Z\"",
    "\"2026-11-20T11:59:58+0100\"",
    "\"2026-11-20 11:59:58.1\"",
    "\"now\"",
    "1763640000",
];

/// Texts that are almost valid dates.
const ODD_DATES: [&str; 7] = [
    "\"2026-02-29\"",
    "\"2026-13-01\"",
    "\"2026-1-01\"",
    "\"20261120\"",
    "\"2026-11-20 \"",
    "\"2026-11-20T00:00:00Z\"",
    "20261120",
];

/// Values that serde_json refuses.
const NO_VALUES: [&str; 5] = ["1e999", "-1e400", "\"\\ud800\"", "\"\\udc00\\ud800\"", "{\"\\ud800\":1}"];

/// A random event. `oddness` is the probability that a value or an object has a fault.
pub fn event(rng: &mut Rng, event_type: &EventType, oddness: f64) -> Sample {
    Random { rng, oddness, own: Some((&event_type.id, &event_type.time)) }.object(&event_type.object)
}

struct Random<'r> {
    rng: &'r mut Rng,
    oddness: f64,
    /// The names of the own id and the time of the event. `None` in nested objects.
    own: Option<(&'r str, &'r str)>,
}

impl Random<'_> {
    fn is_odd(&mut self) -> bool {
        self.rng.f64() < self.oddness
    }

    fn one_of<T: Clone>(&mut self, values: &[T]) -> T {
        values[self.rng.usize(..values.len())].clone()
    }

    fn blank(&mut self) -> &'static str {
        if self.rng.u8(..20) == 0 { self.one_of(&[" ", "\n", "\t", "\r ", "   "]) } else { "" }
    }

    fn object(&mut self, object: &Object) -> Sample {
        let own = self.own.take();
        let mut members: Vec<(String, Sample)> = Vec::new();
        let mut line = Vec::new();
        for field in &object.fields {
            let is_own_id = own.is_some_and(|(id, _)| id == field.name);
            let is_present = if field.required { !self.is_odd() } else { self.rng.bool() };
            if is_present {
                let is_time = own.is_some_and(|(_, time)| time == field.name);
                let sample = if is_time { self.own_time() } else { self.value(&field.value) };
                line.push(format!("\"{}\":{}", field.name, sample.line));
                members.push((field.name.clone(), sample));
            } else if is_own_id {
                line.push(format!("\"{}\":\"{GIVEN}\"", field.name));
            }
        }
        if self.rng.u8(..4) == 0 {
            self.rng.shuffle(&mut members);
        }
        let mut is_refused = false;
        if self.is_odd() {
            let name = self.one_of(&["nothing", "", "Count", "order-id", "\\u0000", "é", "null"]);
            members.insert(self.rng.usize(..=members.len()), (name.to_owned(), Sample::plain(self.one_of(&ODD))));
        }
        let judged: Vec<_> = members.iter().map(|(name, sample)| format!("\"{name}\":{}", sample.judged)).collect();
        if self.is_odd() && !members.is_empty() {
            // A duplicate name. JSON Schema sees only one of the members.
            let again = self.one_of(&members);
            members.insert(self.rng.usize(..=members.len()), again);
            is_refused = true;
        }
        let mut written = String::from("{");
        for (at, (name, sample)) in members.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let name = if self.rng.u8(..50) == 0 { name.replace('e', "\\u0065") } else { name.clone() };
            let blanks = [self.blank(), self.blank(), self.blank(), self.blank()];
            let [a, b, c, d] = blanks;
            written += &format!("{comma}{a}\"{name}\"{b}:{c}{}{d}", sample.written);
        }
        Sample {
            written: written + "}",
            judged: if is_refused { "null".to_owned() } else { format!("{{{}}}", judged.join(",")) },
            line: format!("{{{}}}", line.join(",")),
        }
    }

    fn value(&mut self, value: &Value) -> Sample {
        if self.is_odd() {
            return self.odd(value);
        }
        match value {
            Value::Uuid => self.uuid(),
            Value::DateTime => {
                // At least a day from either end of the valid years, so that every offset stays within them.
                let time = self.rng.i64(-62_135_510_400_000..253_402_214_400_000);
                self.time(DateTime::from_timestamp_millis(time).unwrap())
            }
            Value::Date => Sample::plain(format!("\"{}\"", self.day())),
            Value::Text { min_chars, max_chars } => {
                let most = (*max_chars).min(min_chars + 40);
                let any = self.rng.u32(*min_chars..=most);
                let count = self.one_of(&[*min_chars, most, any]);
                self.text(count)
            }
            Value::Enum(texts) => {
                let text = self.one_of(texts);
                self.written_text(&text)
            }
            Value::Integer { min, max } => {
                let any = self.rng.i64(*min..=*max);
                let number = self.one_of(&[*min, *max, any]);
                Sample::plain(number.to_string())
            }
            Value::Number { min, max } => self.number(*min, *max),
            Value::Decimal(decimal) => self.decimal(*decimal),
            Value::Boolean => Sample::plain(self.rng.bool().to_string()),
            Value::Array { items, min_items, max_items, .. } => {
                let most = (*max_items).min(min_items + 4);
                let count = self.rng.u32(*min_items..=most);
                self.array(items, count)
            }
            Value::Object(object) => self.object(object),
        }
    }

    /// A value that is almost valid, or an arbitrary value.
    fn odd(&mut self, value: &Value) -> Sample {
        if self.rng.u8(..3) == 0 {
            return Sample::plain(self.one_of(&ODD));
        }
        if self.rng.u8(..20) == 0 {
            return Sample::plain(self.one_of(&NO_VALUES));
        }
        match value {
            Value::Uuid => self.odd_uuid(),
            Value::DateTime => Sample::plain(self.one_of(&ODD_TIMES)),
            Value::Date => Sample::plain(self.one_of(&ODD_DATES)),
            Value::Text { min_chars, max_chars } => {
                let counts = [min_chars.saturating_sub(1), max_chars + 1];
                let count = self.one_of(&counts);
                self.text(count)
            }
            Value::Enum(texts) => {
                let text = self.one_of(texts);
                let texts = [text.to_uppercase(), format!("{text} "), text.chars().skip(1).collect()];
                let text = self.one_of(&texts);
                self.written_text(&text)
            }
            Value::Integer { min, max } => self.odd_integer(*min, *max),
            Value::Number { min, max } => self.odd_number(*min, *max),
            Value::Decimal(decimal) => self.odd_decimal(*decimal),
            Value::Boolean => Sample::plain(self.one_of(&["\"true\"", "0", "1", "\"false\""])),
            Value::Array { items, min_items, max_items, .. } => {
                let counts = [min_items.saturating_sub(1), max_items + 1];
                let count = self.one_of(&counts);
                self.array(items, count)
            }
            Value::Object(_) => Sample::plain(self.one_of(&["[]", "null", "[{}]", "\"{}\"", "7"])),
        }
    }

    fn odd_uuid(&mut self) -> Sample {
        let id = Uuid::from_u128(self.rng.u128(..)).to_string();
        let text = self.one_of(&[
            id.replace('-', ""),
            id.replacen('-', "_", 1),
            id.replacen('-', "--", 1),
            id[1..].to_owned(),
            format!("{{{id}}}"),
            format!("urn:uuid:{id}"),
            format!("g{}", &id[1..]),
            format!("{id} "),
        ]);
        Sample::plain(format!("\"{text}\""))
    }

    fn odd_integer(&mut self, min: i64, max: i64) -> Sample {
        let inside = self.rng.i64(min..=max);
        match self.rng.u8(..6) {
            0 if min > i64::MIN => Sample::plain((min - 1).to_string()),
            1 if max < i64::MAX => Sample::plain((max + 1).to_string()),
            2 => Sample::plain(format!("\"{inside}\"")),
            3 => Sample::plain(format!("{}.5", inside / 1_000_000)),
            // For a client that sends doubles, this integer may not be the intended value.
            4 => Sample::refused(format!("{inside}.0")),
            _ => Sample::refused(self.one_of(&["9223372036854775808", "-9223372036854775809", "1e1", "12E0"])),
        }
    }

    fn odd_number(&mut self, min: Option<f64>, max: Option<f64>) -> Sample {
        match self.rng.u8(..4) {
            0 => Sample::plain(min.map_or("\"1\"".to_owned(), |min| format!("{:?}", min - 0.001))),
            1 => Sample::plain(max.map_or("\"NaN\"".to_owned(), |max| format!("{:?}", max + 0.001))),
            2 => Sample::plain("\"0\""),
            // The lake reads such an exponent as text.
            _ => Sample::refused("1e-10000"),
        }
    }

    fn odd_decimal(&mut self, decimal: Decimal) -> Sample {
        let Decimal { scale, min, max, .. } = decimal;
        match self.rng.u8(..5) {
            // Without a minimum, the limit is the negated maximum. JSON Schema does not have this rule.
            0 => Sample::refused(point(min - 1, scale)),
            1 => Sample::plain(point(max + 1, scale)),
            2 => Sample::plain(point(self.units(decimal) * 10 + 3, scale + 1)),
            3 => Sample::plain(format!("\"{}\"", point(max, scale))),
            _ => Sample::refused("0e10000"),
        }
    }

    fn array(&mut self, items: &Value, count: u32) -> Sample {
        let items: Vec<Sample> = (0..count).map(|_| self.value(items)).collect();
        let join = |form: fn(&Sample) -> &str, comma: &str| {
            format!("[{}]", items.iter().map(form).collect::<Vec<_>>().join(comma))
        };
        let comma = format!("{},{}", self.blank(), self.blank());
        Sample {
            written: join(|item| &item.written, &comma),
            judged: join(|item| &item.judged, ","),
            line: join(|item| &item.line, ","),
        }
    }

    fn uuid(&mut self) -> Sample {
        let id = Uuid::from_u128(self.rng.u128(..)).to_string();
        let written = if self.rng.bool() { id.to_uppercase() } else { id.clone() };
        Sample { written: format!("\"{written}\""), judged: format!("\"{written}\""), line: format!("\"{id}\"") }
    }

    fn own_time(&mut self) -> Sample {
        if self.is_odd() {
            // JSON Schema does not compare times with the clock.
            let back = self.one_of(&[-900_001, -86_400_000, 2_592_000_001, 25_920_000_000]);
            let far = Sample { judged: "null".to_owned(), ..self.time(now() - TimeDelta::milliseconds(back)) };
            return if self.rng.bool() { far } else { self.odd(&Value::DateTime) };
        }
        let back = TimeDelta::milliseconds(self.rng.i64(-900_000..=2_592_000_000));
        self.time(now() - back)
    }

    fn time(&mut self, time: DateTime<Utc>) -> Sample {
        let zulu = time.to_rfc3339_opts(SecondsFormat::Millis, true);
        let line = format!("\"{}\"", time.format("%Y-%m-%d %H:%M:%S%.3f"));
        let offset = self.rng.i32(-14 * 60..=14 * 60);
        let other = time.with_timezone(&chrono::FixedOffset::east_opt(offset * 60).unwrap());
        let micros = zulu.replace('Z', &format!("{:03}Z", self.rng.u32(..1000)));
        // JSON Schema refuses times with a space, so it judges the same time with a `T`.
        let (written, judged) = match self.rng.u8(..6) {
            0 => (line.clone(), format!("\"{zulu}\"")),
            1 => (format!("\"{}\"", other.to_rfc3339_opts(SecondsFormat::Millis, false)), format!("\"{zulu}\"")),
            2 => (format!("\"{micros}\""), format!("\"{micros}\"")),
            _ => (format!("\"{zulu}\""), format!("\"{zulu}\"")),
        };
        Sample { written, judged, line }
    }

    fn day(&mut self) -> String {
        let day = NaiveDate::from_ymd_opt(1, 1, 1).unwrap() + Days::new(self.rng.u64(..3_652_059));
        day.format("%Y-%m-%d").to_string()
    }

    fn text(&mut self, count: u32) -> Sample {
        let chars =
            ['a', 'Z', '0', ' ', '/', '"', '\\', '\n', '\u{1}', '\u{7f}', 'é', '한', '\u{2028}', '😀', '\u{fffd}'];
        let text: String =
            (0..count).map(|_| if self.rng.bool() { self.rng.alphabetic() } else { self.one_of(&chars) }).collect();
        self.written_text(&text)
    }

    fn written_text(&mut self, text: &str) -> Sample {
        let has_escapes = self.rng.u8(..3) == 0;
        let mut written = String::from("\"");
        let mut line = String::from("\"");
        for char in text.chars() {
            let short = match char {
                '"' => Some("\\\""),
                '\\' => Some("\\\\"),
                '\n' => Some("\\n"),
                '\u{1}' => Some("\\u0001"),
                _ => None,
            };
            match short {
                Some(short) => line += short,
                None => line.push(char),
            }
            if has_escapes && self.rng.bool() {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    written += &format!("\\u{unit:04X}");
                }
            } else if has_escapes && char == '/' {
                written += "\\/";
            } else {
                match short {
                    Some(short) => written += short,
                    None => written.push(char),
                }
            }
        }
        written.push('"');
        line.push('"');
        Sample { judged: written.clone(), written, line }
    }

    fn number(&mut self, min: Option<f64>, max: Option<f64>) -> Sample {
        let (least, most) = (min.unwrap_or(-1e9), max.unwrap_or(1e9));
        let number = least + (most - least) * self.rng.f64();
        let forms = [
            format!("{number:?}"),
            format!("{number:e}"),
            format!("{number:.3}"),
            format!("{least:?}"),
            format!("{most:?}"),
            "-0.0".to_owned(),
            "1E+0".to_owned(),
        ];
        Sample::plain(self.one_of(&forms))
    }

    fn units(&mut self, decimal: Decimal) -> i128 {
        let (min, max) = (decimal.min as i64, decimal.max as i64);
        let any = self.rng.i64(min..=max);
        i128::from(self.one_of(&[min, max, any]))
    }

    fn decimal(&mut self, decimal: Decimal) -> Sample {
        let units = self.units(decimal);
        let number = point(units, decimal.scale);
        let zeros = if number.contains('.') { format!("{number}00") } else { number.clone() };
        let forms = [number.clone(), number.clone(), zeros, format!("{units}e-{}", decimal.scale)];
        let written = self.one_of(&forms);
        Sample { judged: written.clone(), line: written.clone(), written }
    }
}

/// A decimal from its units.
fn point(units: i128, scale: u8) -> String {
    let scale = usize::from(scale);
    let digits = format!("{:0width$}", units.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if units < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}
