//! The configuration file. `serde-saphyr` reads it and `garde` checks it, and errors of both show the line.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use garde::Validate;
use serde::{Deserialize, Deserializer, de};
use serde_saphyr::{Error as YamlError, MessageFormatter, UserMessageFormatter};

use crate::day::DayShape;

/// The most events in a request to a beacon.
pub const BATCH_LIMIT: usize = 500;

/// The configuration.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct Config {
    /// The URL of the beacons, with `${VARIABLE}`s that [`Config::base_url`] resolves.
    #[serde(rename = "BaseURL", default = "default_url")]
    #[garde(skip)]
    base_url: String,
    /// How long users view.
    #[serde(deserialize_with = "read_duration")]
    #[garde(custom(above_0))]
    pub duration: Duration,
    /// The ads.
    #[garde(dive)]
    pub ads: AdsConfig,
    /// The users.
    #[garde(dive)]
    pub users: Users,
    /// Users that click immediately.
    #[serde(default)]
    #[garde(dive)]
    pub bots: Bots,
    /// Events that are sent once more, unchanged, as clients do that received no answer.
    #[serde(default)]
    #[garde(dive)]
    pub repeats: Repeats,
    /// Views that are sent long after they occurred, as from a device that was offline.
    #[serde(default)]
    #[garde(dive)]
    pub late: Late,
    /// Events that a server must refuse.
    #[serde(default)]
    #[garde(dive)]
    pub malformed: Malformed,
    /// How a day's traffic is distributed over its hours.
    #[serde(default)]
    #[garde(skip)]
    pub day: Day,
    /// How events are sent.
    #[serde(default)]
    #[garde(dive)]
    pub requests: Requests,
}

/// `Ads`
#[derive(Debug, Clone, Copy, Deserialize, Validate)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct AdsConfig {
    /// How many ads.
    #[garde(custom(within(1..=1_000_000)))]
    pub count: u32,
    /// How unequal their popularity is; 0 is uniform.
    #[serde(default = "one")]
    #[garde(custom(within(0.0..=10.0)))]
    pub zipf_exponent: f64,
}

/// `Users`
#[derive(Debug, Clone, Copy, Deserialize, Validate)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct Users {
    /// How many users.
    #[garde(custom(within(1..=10_000_000)))]
    pub count: u32,
    /// The chance that an impression is clicked.
    #[garde(custom(within(0.0..=1.0)))]
    pub clickthrough_probability: f64,
    /// The time between a user's views, on average.
    #[serde(deserialize_with = "read_duration")]
    #[garde(custom(above_0))]
    pub view_frequency: Duration,
    /// The time varies uniformly by up to this, in both directions.
    #[serde(default, deserialize_with = "read_duration")]
    #[garde(custom(at_most("ViewFrequency", self.view_frequency)))]
    pub view_variance: Duration,
    /// The time from a view to its click, on average.
    #[serde(deserialize_with = "read_duration")]
    #[garde(skip)]
    pub consider_duration: Duration,
    /// The time varies uniformly by up to this, in both directions.
    #[serde(default, deserialize_with = "read_duration")]
    #[garde(custom(at_most("ConsiderDuration", self.consider_duration)))]
    pub consider_variance: Duration,
}

/// `Bots`
#[derive(Debug, Clone, Copy, Deserialize, Validate)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct Bots {
    /// The share of the users that are bots.
    #[garde(custom(within(0.0..=1.0)))]
    pub share: f64,
    /// Their chance to click.
    #[garde(custom(within(0.0..=1.0)))]
    pub clickthrough_probability: f64,
    /// The time from their view to its click, in whole milliseconds.
    #[serde(deserialize_with = "read_duration")]
    #[garde(skip)]
    pub consider_duration: Duration,
}

/// `Repeats`
#[derive(Debug, Clone, Copy, Deserialize, Validate)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct Repeats {
    /// The probability that an event is repeated.
    #[garde(custom(within(0.0..=1.0)))]
    pub share: f64,
    /// The time from the event to its repeat.
    #[serde(deserialize_with = "read_duration")]
    #[garde(skip)]
    pub delay: Duration,
}

/// `Late`
#[derive(Debug, Clone, Copy, Deserialize, Validate)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct Late {
    /// The probability that a view is late; its click is then late as well.
    #[garde(custom(within(0.0..=1.0)))]
    pub share: f64,
    /// How late.
    #[serde(deserialize_with = "read_duration")]
    #[garde(custom(above_0))]
    pub by: Duration,
}

/// `Malformed`
#[derive(Debug, Clone, Copy, Default, Deserialize, Validate)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct Malformed {
    /// The number of malformed events per well-formed one.
    #[garde(custom(within(0.0..=1.0)))]
    pub share: f64,
}

/// `Day`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct Day {
    /// A weight for each hour.
    pub shape: DayShape,
}

/// `Requests`
#[derive(Debug, Clone, Copy, Deserialize, Validate)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct Requests {
    /// The most events in a request.
    #[garde(custom(within(1..=BATCH_LIMIT)))]
    pub batch_size: usize,
    /// How long an event waits at most for its batch to fill.
    #[serde(deserialize_with = "read_duration")]
    #[garde(custom(above_0))]
    pub batch_age: Duration,
    /// The most connections that are open at once.
    #[garde(custom(within(1..=10_000)))]
    pub connections: usize,
    /// Concurrent requests on a connection.
    #[garde(custom(within(1..=1_000)), custom(streams_of(self.http2)))]
    pub streams: usize,
    /// HTTP/2 instead of HTTP/1.1.
    #[garde(skip)]
    pub http2: bool,
    /// Compressed bodies.
    #[garde(skip)]
    pub gzip: bool,
    /// The number of attempts for an event.
    #[garde(custom(within(1..=100)))]
    pub tries: u32,
    /// The time-out of an answer.
    #[serde(deserialize_with = "read_duration")]
    #[garde(custom(above_0))]
    pub timeout: Duration,
}

impl Default for Bots {
    fn default() -> Self {
        Self { share: 0.0, clickthrough_probability: 1.0, consider_duration: Duration::from_millis(50) }
    }
}

impl Default for Repeats {
    fn default() -> Self {
        Self { share: 0.0, delay: Duration::from_secs(5) }
    }
}

impl Default for Late {
    fn default() -> Self {
        Self { share: 0.0, by: Duration::from_secs(26 * 3_600) }
    }
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            batch_size: BATCH_LIMIT,
            batch_age: Duration::from_secs(1),
            connections: 4,
            streams: 1,
            http2: false,
            gzip: false,
            tries: 8,
            timeout: Duration::from_secs(30),
        }
    }
}

fn default_url() -> String {
    "${BASE_URL}".to_owned()
}

fn one() -> f64 {
    1.0
}

impl Config {
    /// Reads a file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| format!("failed to read the configuration {file}"))?;
        Self::parse(&file, &text)
    }

    /// Reads the text of a file that errors call `file`.
    pub fn parse(file: &str, text: &str) -> anyhow::Result<Self> {
        serde_saphyr::from_str_valid(text).map_err(|error| {
            let options = serde_saphyr::render_options! { formatter: &Messages, source_name: Some(file) };
            anyhow!("the configuration is wrong\n{}", error.render_with_options(options))
        })
    }

    /// `BaseURL` with each `${NAME}` replaced by `variable(NAME)`.
    pub fn base_url(&self, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<String> {
        let mut url = String::new();
        let mut rest = self.base_url.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) =
                after.split_once('}').with_context(|| format!("BaseURL: \"{}\": ${{ without its }}", self.base_url))?;
            let value = variable(name).filter(|value| !value.is_empty()).with_context(|| {
                format!("BaseURL: the environment variable {name} is not set (set it, or give --base-url)")
            })?;
            url = url + before + &value;
            rest = after;
        }
        Ok(url + rest)
    }
}

/// The reader's messages, without the names of Rust types.
struct Messages;

impl MessageFormatter for Messages {
    fn format_message<'a>(&self, error: &'a YamlError) -> Cow<'a, str> {
        match error {
            YamlError::InvalidScalar { ty: "boolean", .. } => "must be true or false".into(),
            YamlError::InvalidScalar { ty, .. } if ty.starts_with(['i', 'u']) => "must be a whole number".into(),
            YamlError::InvalidScalar { .. } => "must be a number".into(),
            other => UserMessageFormatter.format_message(other),
        }
    }
}

fn read_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration(&text).map_err(|error| de::Error::custom(format!("\"{text}\" {error}")))
}

/// A duration like `10m`, `1s` or `250ms`.
fn duration(text: &str) -> Result<Duration, &'static str> {
    /// Ten years: beyond, sums of durations could overflow.
    const LIMIT: Duration = Duration::from_secs(10 * 366 * 86_400);
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= LIMIT => Ok(duration),
        Ok(_) => Err("is longer than ten years"),
        Err(_) => Err("is not a duration like 10m, 1s or 250ms"),
    }
}

/// An argument of the command line that is a duration above 0.
pub fn positive(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    above_0(&duration, &()).map_err(|error| error.to_string())?;
    Ok(duration)
}

/// An argument of the command line that is a number from 0 to 1.
pub fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().unwrap_or(f64::NAN);
    within(0.0..=1.0)(&share, &()).map_err(|error| error.to_string())?;
    Ok(share)
}

fn above_0(time: &Duration, (): &()) -> garde::Result {
    // Clocks are kept in microseconds.
    check(*time >= Duration::from_micros(1), || "must be longer than 0".to_owned())
}

fn within<T: PartialOrd + Display>(range: RangeInclusive<T>) -> impl FnOnce(&T, &()) -> garde::Result {
    move |value, ()| {
        check(range.contains(value), || format!("must be a number from {} to {}", range.start(), range.end()))
    }
}

fn at_most(key: &'static str, limit: Duration) -> impl FnOnce(&Duration, &()) -> garde::Result {
    move |time, ()| check(*time <= limit, || format!("must not be more than {key}, or times would be negative"))
}

fn streams_of(http2: bool) -> impl FnOnce(&usize, &()) -> garde::Result {
    move |streams, ()| check(*streams == 1 || http2, || "more than one needs Http2: true".to_owned())
}

fn check(holds: bool, error: impl FnOnce() -> String) -> garde::Result {
    if holds { Ok(()) } else { Err(garde::Error::new(error())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "\
Duration: 10m
Ads:
  Count: 100
Users:
  Count: 1000
  ClickthroughProbability: 0.3
  ViewFrequency: 1s
  ViewVariance: 250ms
  ConsiderDuration: 5s
  ConsiderVariance: 2s
";

    #[test]
    fn the_shipped_and_the_smallest_configuration_are_valid() {
        let shipped = Config::parse("config.yaml", include_str!("../config.yaml")).unwrap();
        assert_eq!((shipped.requests.batch_size, shipped.late.by), (BATCH_LIMIT, Duration::from_secs(26 * 3_600)));
        let small = Config::parse("config.yaml", SMALL).unwrap();
        assert_eq!((small.duration, small.users.view_variance), (Duration::from_secs(600), Duration::from_millis(250)));
        assert_eq!((small.base_url.as_str(), small.bots.clickthrough_probability), ("${BASE_URL}", 1.0));
    }

    #[test]
    fn errors_name_the_line_and_the_key_and_say_what_is_right() {
        for (line, by, expected) in [
            ("  ViewFrequency: 1s", "  ViewFrequncy: 1s", ["config.yaml:7:", "ViewFrequncy", "ViewFrequency"]),
            ("  ViewFrequency: 1s\n", "", ["config.yaml:9:", "missing", "`ViewFrequency`"]),
            ("Ads:\n  Count: 100\n", "", ["config.yaml:2:", "missing", "`Ads`"]),
            ("  Count: 100\n", "  Count: 1\n  Count: 2\n", ["config.yaml:4:", "duplicate", "Count"]),
            ("  Count: 100", "  Count: [100]", ["config.yaml:3:", "Count: [100]", "expected"]),
            ("Duration: 10m", "Duration: 10", ["config.yaml:1:", "\"10\"", "is not a duration like 10m, 1s or 250ms"]),
            ("Duration: 10m", "Duration: 0s", ["config.yaml:1:", "Duration", "must be longer than 0"]),
            ("Duration: 10m", "Duration: 11y", ["config.yaml:1:", "\"11y\"", "is longer than ten years"]),
            ("  Count: 100\n", "  Count: 0\n", ["config.yaml:3:", "ads.Count", "must be a number from 1 to 1000000"]),
            ("  Count: 1000\n", "  Count: many\n", ["config.yaml:5:", "Count: many", "must be a whole number"]),
            ("y: 0.3", "y: often", ["config.yaml:6:", "Probability: often", "must be a number"]),
            ("y: 0.3", "y: 1.1", ["config.yaml:6:", "users.ClickthroughProbability", "must be a number from 0 to 1"]),
            ("y: 0.3", "y: .nan", ["config.yaml:6:", "users.ClickthroughProbability", "must be a number from 0 to 1"]),
            ("e: 250ms", "e: 2s", ["config.yaml:8:", "users.ViewVariance", "must not be more than ViewFrequency"]),
            ("e: 2s", "e: 6s", ["config.yaml:10:", "users.ConsiderVariance", "must not be more than ConsiderDuration"]),
        ] {
            assert!(SMALL.contains(line));
            assert_says(&SMALL.replace(line, by), &expected);
        }
        for (more, expected) in [
            ("Retries: 3", ["config.yaml:11:", "Retries", "Requests"]),
            (
                "Requests:\n  BatchSize: 501",
                ["config.yaml:12:", "requests.BatchSize", "must be a number from 1 to 500"],
            ),
            ("Requests:\n  Streams: 2", ["config.yaml:12:", "requests.Streams", "more than one needs Http2: true"]),
            ("Requests:\n  Gzip: maybe", ["config.yaml:12:", "Gzip: maybe", "must be true or false"]),
            ("Day:\n  Shape: [1, 2]", ["config.yaml:12:", "Shape: [1, 2]", "24 weights are needed, one for each hour"]),
            ("\tAds: {}", ["config.yaml:10:", "Ads: {}", "tab"]),
        ] {
            assert_says(&format!("{SMALL}{more}\n"), &expected);
        }
    }

    fn assert_says(text: &str, expected: &[&str]) {
        let error = Config::parse("config.yaml", text).unwrap_err().to_string();
        assert!(expected.iter().all(|part| error.contains(part)), "{expected:?}: {error}");
    }

    #[test]
    fn the_url_takes_variables_from_the_environment() {
        let url = |text: &str, variables: &[(&str, &str)]| {
            let config = Config::parse("config.yaml", &format!("BaseURL: {text}\n{SMALL}")).unwrap();
            let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
            config.base_url(find).map_err(|error| error.to_string())
        };
        assert_eq!(url("http://${HOST}:${PORT}/v1", &[("HOST", "h"), ("PORT", "1")]).unwrap(), "http://h:1/v1");
        assert_eq!(
            url("http://${HOST}/v1", &[]).unwrap_err(),
            "BaseURL: the environment variable HOST is not set (set it, or give --base-url)"
        );
        assert_eq!(url("\"${HOST\"", &[]).unwrap_err(), "BaseURL: \"${HOST\": ${ without its }");
    }
}
