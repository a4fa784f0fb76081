//! The configuration file. Every error names the key and, where there is one, the line.

use crate::day::DayShape;
use serde::Deserialize;
use serde_saphyr::{Error as YamlError, Spanned};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;
use thiserror::Error;

/// The most events that a beacon takes in one request.
pub const BATCH_LIMIT: usize = 500;

/// A configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// `BaseURL` as written, `${VARIABLE}`s and all.
    pub base_url: BaseUrl,
    /// `Duration`: how long users go on viewing.
    pub duration: Duration,
    /// `Ads`.
    pub ads: AdsConfig,
    /// `Users`.
    pub users: Users,
    /// `Bots`.
    pub bots: Bots,
    /// `Repeats`.
    pub repeats: Repeats,
    /// `Late`.
    pub late: Late,
    /// `Malformed.Share`: malformed events that are made for every well-formed one.
    pub malformed: f64,
    /// `Day.Shape`.
    pub day: DayShape,
    /// `Requests`.
    pub requests: Requests,
}

/// `BaseURL`, read from the environment only once it's needed.
#[derive(Debug, Clone)]
pub struct BaseUrl {
    text: String,
    place: Place,
}

/// `Ads`: what there is to see.
#[derive(Debug, Clone, Copy)]
pub struct AdsConfig {
    /// `Count`: how many ads.
    pub count: u32,
    /// `ZipfExponent`: how unequal their popularity is; 0 is even.
    pub zipf_exponent: f64,
}

/// `Users`: who sees it.
#[derive(Debug, Clone, Copy)]
pub struct Users {
    /// `Count`: how many users.
    pub count: u32,
    /// `ClickthroughProbability`: the chance that an impression is clicked.
    pub clickthrough_probability: f64,
    /// `ViewFrequency`: the time between a user's views, on average.
    pub view_frequency: Duration,
    /// `ViewVariance`: each such time differs by up to this, either way, evenly.
    pub view_variance: Duration,
    /// `ConsiderDuration`: the time from a view to its click, on average.
    pub consider_duration: Duration,
    /// `ConsiderVariance`: each such time differs by up to this, either way, evenly.
    pub consider_variance: Duration,
}

/// `Bots`: users that click at once.
#[derive(Debug, Clone, Copy)]
pub struct Bots {
    /// `Share`: the share of the users that are bots.
    pub share: f64,
    /// `ClickthroughProbability`: theirs.
    pub clickthrough_probability: f64,
    /// `ConsiderDuration`: theirs, to the millisecond.
    pub consider_duration: Duration,
}

/// `Repeats`: events sent once more, unchanged, as clients do that heard no answer.
#[derive(Debug, Clone, Copy)]
pub struct Repeats {
    /// `Share`: the chance of an event to be repeated.
    pub share: f64,
    /// `Delay`: how long after the event.
    pub delay: Duration,
}

/// `Late`: views that are sent long after they occurred, as from a device that was offline.
#[derive(Debug, Clone, Copy)]
pub struct Late {
    /// `Share`: the chance of a view to be late; its click is then as late.
    pub share: f64,
    /// `By`: how late.
    pub by: Duration,
}

/// `Requests`: how events are sent.
#[derive(Debug, Clone, Copy)]
pub struct Requests {
    /// `BatchSize`: the most events in a request.
    pub batch_size: usize,
    /// `BatchAge`: the longest that an event waits for a batch to fill.
    pub batch_age: Duration,
    /// `Connections`: the most connections that are open at once.
    pub connections: usize,
    /// `Streams`: requests under way at once on a connection; more than one needs HTTP/2.
    pub streams: usize,
    /// `Http2`: HTTP/2 instead of HTTP/1.1.
    pub http2: bool,
    /// `Gzip`: compressed bodies.
    pub gzip: bool,
    /// `Tries`: how often an event is tried before it's given up.
    pub tries: u32,
    /// `Timeout`: how long an answer is waited for.
    pub timeout: Duration,
}

/// What is wrong with a configuration.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{place}: {message}")]
pub struct ConfigError {
    place: Place,
    message: String,
}

/// Where: the file and, if known, the line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    file: String,
    line: Option<u64>,
}

impl Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => write!(f, "{}", self.file),
        }
    }
}

type Text = Option<Spanned<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct File {
    #[serde(rename = "BaseURL")]
    base_url: Text,
    duration: Text,
    ads: Option<Spanned<AdsSection>>,
    users: Option<Spanned<UsersSection>>,
    #[serde(default)]
    bots: BotsSection,
    #[serde(default)]
    repeats: RepeatsSection,
    #[serde(default)]
    late: LateSection,
    #[serde(default)]
    malformed: MalformedSection,
    #[serde(default)]
    day: DaySection,
    #[serde(default)]
    requests: RequestsSection,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct AdsSection {
    count: Text,
    zipf_exponent: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct UsersSection {
    count: Text,
    clickthrough_probability: Text,
    view_frequency: Text,
    view_variance: Text,
    consider_duration: Text,
    consider_variance: Text,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct BotsSection {
    share: Text,
    clickthrough_probability: Text,
    consider_duration: Text,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RepeatsSection {
    share: Text,
    delay: Text,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct LateSection {
    share: Text,
    by: Text,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct MalformedSection {
    share: Text,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct DaySection {
    shape: Option<Spanned<Vec<Spanned<String>>>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RequestsSection {
    batch_size: Text,
    batch_age: Text,
    connections: Text,
    streams: Text,
    http2: Text,
    gzip: Text,
    tries: Text,
    timeout: Text,
}

impl Config {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&file, &text),
            Err(error) => Err(ConfigError { place: Place { file, line: None }, message: error.to_string() }),
        }
    }

    /// Checks the text of a file that is called `file` in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let reader = Reader { file };
        let options = serde_saphyr::options! { with_snippet: false };
        let raw: File =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| reader.yaml_error(text, &error))?;
        let ads = reader.section("Ads", raw.ads)?;
        let users = reader.section("Users", raw.users)?;
        let users_line = Some(users.referenced.line());
        let (ads_line, ads, users) = (Some(ads.referenced.line()), ads.value, users.value);
        let requests = raw.requests;

        let view_frequency = reader.required("Users.ViewFrequency", users_line, &users.view_frequency, positive)?;
        let consider_duration =
            reader.required("Users.ConsiderDuration", users_line, &users.consider_duration, duration)?;
        let http2 = reader.optional("Requests.Http2", &requests.http2, false, boolean)?;
        let streams = reader.optional("Requests.Streams", &requests.streams, 1, whole(1..=1_000))? as usize;
        if streams > 1 && !http2 {
            return Err(reader.error(&requests.streams, "Requests.Streams: more than one needs Requests.Http2: true"));
        }
        Ok(Self {
            base_url: reader.base_url(raw.base_url),
            duration: reader.required("Duration", Some(1), &raw.duration, positive)?,
            ads: AdsConfig {
                count: reader.required("Ads.Count", ads_line, &ads.count, whole(1..=1_000_000))?,
                zipf_exponent: reader.optional("Ads.ZipfExponent", &ads.zipf_exponent, 1.0, between(0.0..=10.0))?,
            },
            users: Users {
                count: reader.required("Users.Count", users_line, &users.count, whole(1..=10_000_000))?,
                clickthrough_probability: reader.required(
                    "Users.ClickthroughProbability",
                    users_line,
                    &users.clickthrough_probability,
                    share,
                )?,
                view_frequency,
                view_variance: reader.optional(
                    "Users.ViewVariance",
                    &users.view_variance,
                    Duration::ZERO,
                    up_to("Users.ViewFrequency", view_frequency),
                )?,
                consider_duration,
                consider_variance: reader.optional(
                    "Users.ConsiderVariance",
                    &users.consider_variance,
                    Duration::ZERO,
                    up_to("Users.ConsiderDuration", consider_duration),
                )?,
            },
            bots: Bots {
                share: reader.optional("Bots.Share", &raw.bots.share, 0.0, share)?,
                clickthrough_probability: reader.optional(
                    "Bots.ClickthroughProbability",
                    &raw.bots.clickthrough_probability,
                    1.0,
                    share,
                )?,
                consider_duration: reader.optional(
                    "Bots.ConsiderDuration",
                    &raw.bots.consider_duration,
                    Duration::from_millis(50),
                    duration,
                )?,
            },
            repeats: Repeats {
                share: reader.optional("Repeats.Share", &raw.repeats.share, 0.0, share)?,
                delay: reader.optional("Repeats.Delay", &raw.repeats.delay, Duration::from_secs(5), duration)?,
            },
            late: Late {
                share: reader.optional("Late.Share", &raw.late.share, 0.0, share)?,
                by: reader.optional("Late.By", &raw.late.by, Duration::from_secs(26 * 3_600), positive)?,
            },
            malformed: reader.optional("Malformed.Share", &raw.malformed.share, 0.0, share)?,
            day: reader.shape(raw.day.shape)?,
            requests: Requests {
                batch_size: reader.optional(
                    "Requests.BatchSize",
                    &requests.batch_size,
                    BATCH_LIMIT as u32,
                    whole(1..=BATCH_LIMIT as u32),
                )? as usize,
                batch_age: reader.optional(
                    "Requests.BatchAge",
                    &requests.batch_age,
                    Duration::from_secs(1),
                    positive,
                )?,
                connections: reader.optional("Requests.Connections", &requests.connections, 4, whole(1..=10_000))?
                    as usize,
                streams,
                http2,
                gzip: reader.optional("Requests.Gzip", &requests.gzip, false, boolean)?,
                tries: reader.optional("Requests.Tries", &requests.tries, 8, whole(1..=100))?,
                timeout: reader.optional("Requests.Timeout", &requests.timeout, Duration::from_secs(30), positive)?,
            },
        })
    }
}

impl BaseUrl {
    /// The URL with each `${VARIABLE}` replaced by `variable(name)`.
    pub fn expand(&self, variable: impl Fn(&str) -> Option<String>) -> Result<String, ConfigError> {
        let error = |message| ConfigError { place: self.place.clone(), message };
        let mut url = String::new();
        let mut rest = self.text.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| error(format!("BaseURL: \"{}\": ${{ without its }}", self.text)))?;
            let value = variable(name).filter(|value| !value.is_empty()).ok_or_else(|| {
                error(format!("BaseURL: the environment variable {name} is not set (set it, or give --base-url)"))
            })?;
            url.push_str(before);
            url.push_str(&value);
            rest = after;
        }
        url.push_str(rest);
        Ok(url)
    }
}

/// Turns what a file says into values and errors.
struct Reader<'a> {
    file: &'a str,
}

impl Reader<'_> {
    fn place(&self, line: Option<u64>) -> Place {
        Place { file: self.file.to_owned(), line }
    }

    fn error(&self, field: &Text, message: impl Into<String>) -> ConfigError {
        let line = field.as_ref().map(|field| field.referenced.line());
        ConfigError { place: self.place(line), message: message.into() }
    }

    /// An error of the parser: its message, and the line that it's about, which has the key.
    fn yaml_error(&self, text: &str, error: &YamlError) -> ConfigError {
        let line = error.location().map(|location| location.line());
        let source = line.and_then(|line| text.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?));
        let message = match error {
            YamlError::SerdeUnknownField { field, expected, .. } => {
                format!("{field}: unknown key; there are {}", expected.join(", "))
            }
            YamlError::DuplicateMappingKey { key: Some(key), .. } => format!("{key}: this key is there twice"),
            other => {
                let message = other.to_string();
                let message = message.split(" at line ").next().unwrap_or_default();
                source.map_or_else(|| message.to_owned(), |source| format!("{message}, in \"{}\"", source.trim()))
            }
        };
        ConfigError { place: self.place(line), message }
    }

    fn section<T>(&self, key: &str, section: Option<Spanned<T>>) -> Result<Spanned<T>, ConfigError> {
        section.ok_or_else(|| ConfigError { place: self.place(None), message: format!("{key}: this key is missing") })
    }

    fn required<T>(
        &self,
        key: &str,
        section: Option<u64>,
        field: &Text,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        match field {
            Some(_) => self.value(key, field, read),
            None => Err(ConfigError { place: self.place(section), message: format!("{key}: this key is missing") }),
        }
    }

    fn optional<T>(
        &self,
        key: &str,
        field: &Text,
        default: T,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        if field.is_some() { self.value(key, field, read) } else { Ok(default) }
    }

    fn value<T>(
        &self,
        key: &str,
        field: &Text,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        let text = field.as_ref().map_or("", |field| field.value.as_str());
        read(text).map_err(|wrong| self.error(field, format!("{key}: \"{text}\" {wrong}")))
    }

    fn base_url(&self, field: Text) -> BaseUrl {
        let place = self.place(field.as_ref().map(|field| field.referenced.line()));
        BaseUrl { text: field.map_or_else(|| "${BASE_URL}".to_owned(), |field| field.value), place }
    }

    fn shape(&self, field: Option<Spanned<Vec<Spanned<String>>>>) -> Result<DayShape, ConfigError> {
        let Some(Spanned { value: hours, referenced, .. }) = field else { return Ok(DayShape::flat()) };
        let wrong = |message: String| ConfigError { place: self.place(Some(referenced.line())), message };
        let mut weights = [0.0; 24];
        if hours.len() != weights.len() {
            return Err(wrong(format!("Day.Shape: {} weights, not one for each of the 24 hours", hours.len())));
        }
        for (weight, hour) in weights.iter_mut().zip(hours) {
            *weight = self.value("Day.Shape", &Some(hour), between(0.0..=1e9))?;
        }
        if weights.iter().all(|&weight| weight == 0.0) {
            return Err(wrong("Day.Shape: all weights are 0, so there is no hour with traffic".to_owned()));
        }
        Ok(DayShape::new(&weights))
    }
}

/// A duration like `10m`, `1s` or `250ms`.
pub fn duration(text: &str) -> Result<Duration, String> {
    /// Ten years: beyond, sums of durations could overflow.
    const LIMIT: Duration = Duration::from_secs(10 * 366 * 86_400);
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= LIMIT => Ok(duration),
        Ok(_) => Err("is longer than ten years".to_owned()),
        Err(_) => Err("is not a duration like 10m, 1s or 250ms".to_owned()),
    }
}

/// A duration above 0.
pub fn positive(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        // Clocks are kept in microseconds.
        time if time < Duration::from_micros(1) => Err("must be longer than 0".to_owned()),
        time => Ok(time),
    }
}

/// A share or a probability: a number from 0 to 1.
pub fn share(text: &str) -> Result<f64, String> {
    between(0.0..=1.0)(text)
}

fn between(range: RangeInclusive<f64>) -> impl FnOnce(&str) -> Result<f64, String> {
    move |text| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("is not a number from {} to {}", range.start(), range.end())),
    }
}

fn whole(range: RangeInclusive<u32>) -> impl FnOnce(&str) -> Result<u32, String> {
    move |text| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("is not a whole number from {} to {}", range.start(), range.end())),
    }
}

fn up_to(key: &'static str, limit: Duration) -> impl FnOnce(&str) -> Result<Duration, String> {
    move |text| match duration(text)? {
        time if time > limit => Err(format!("is more than {key}, so that times could be negative")),
        time => Ok(time),
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("is neither true nor false".to_owned()),
    }
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

    fn error(text: &str) -> String {
        Config::parse("config.yaml", text).unwrap_err().to_string()
    }

    /// The error when a line of the configuration is replaced.
    fn replaced(line: &str, by: &str) -> String {
        assert!(SMALL.contains(line));
        error(&SMALL.replace(line, by))
    }

    #[test]
    fn the_file_that_comes_with_the_tool_is_right_and_so_is_the_smallest() {
        let shipped = Config::parse("config.yaml", include_str!("../config.yaml")).unwrap();
        assert_eq!(shipped.requests.batch_size, BATCH_LIMIT);
        let small = Config::parse("config.yaml", SMALL).unwrap();
        assert_eq!(small.users.view_variance, Duration::from_millis(250));
        assert_eq!(small.duration, Duration::from_secs(600));
        assert_eq!(small.base_url.text, "${BASE_URL}");
    }

    #[test]
    fn unknown_keys_name_the_key_and_the_line() {
        assert_eq!(
            replaced("  ViewFrequency: 1s", "  ViewFrequncy: 1s"),
            "config.yaml:7: ViewFrequncy: unknown key; there are Count, ClickthroughProbability, ViewFrequency, \
             ViewVariance, ConsiderDuration, ConsiderVariance"
        );
        assert!(error(&format!("{SMALL}Retries: 3\n")).starts_with("config.yaml:11: Retries: unknown key; there are"));
    }

    #[test]
    fn missing_keys_name_the_key_and_the_section() {
        assert_eq!(replaced("  ViewFrequency: 1s\n", ""), "config.yaml:5: Users.ViewFrequency: this key is missing");
        assert_eq!(replaced("  Count: 100\n", "  ZipfExponent: 1\n"), "config.yaml:3: Ads.Count: this key is missing");
        assert_eq!(error("Duration: 1s\n"), "config.yaml: Ads: this key is missing");
    }

    #[test]
    fn keys_given_twice_are_refused() {
        assert_eq!(
            replaced("  Count: 100\n", "  Count: 1\n  Count: 2\n"),
            "config.yaml:4: Count: this key is there twice"
        );
    }

    #[test]
    fn impossible_values_name_the_key_the_value_and_the_line() {
        for (line, by, expected) in [
            ("Duration: 10m", "Duration: 10", "1: Duration: \"10\" is not a duration like 10m, 1s or 250ms"),
            ("Duration: 10m", "Duration: 0s", "1: Duration: \"0s\" must be longer than 0"),
            ("Duration: 10m", "Duration: 11y", "1: Duration: \"11y\" is longer than ten years"),
            ("  Count: 100\n", "  Count: 0\n", "3: Ads.Count: \"0\" is not a whole number from 1 to 1000000"),
            ("  Count: 1000\n", "  Count: many\n", "5: Users.Count: \"many\" is not a whole number from 1 to 10000000"),
            (
                "Probability: 0.3",
                "Probability: 1.1",
                "6: Users.ClickthroughProbability: \"1.1\" is not a number from 0 to 1",
            ),
            (
                "Probability: 0.3",
                "Probability: .nan",
                "6: Users.ClickthroughProbability: \".nan\" is not a number from 0 to 1",
            ),
            (
                "  ViewVariance: 250ms",
                "  ViewVariance: 2s",
                "8: Users.ViewVariance: \"2s\" is more than Users.ViewFrequency, so that times could be negative",
            ),
            (
                "  ConsiderVariance: 2s",
                "  ConsiderVariance: 6s",
                "10: Users.ConsiderVariance: \"6s\" is more than Users.ConsiderDuration, so that times could be negative",
            ),
        ] {
            assert_eq!(replaced(line, by), format!("config.yaml:{expected}"));
        }
        for (more, expected) in [
            ("Requests:\n  BatchSize: 501", "12: Requests.BatchSize: \"501\" is not a whole number from 1 to 500"),
            ("Requests:\n  Streams: 2", "12: Requests.Streams: more than one needs Requests.Http2: true"),
            ("Requests:\n  Gzip: maybe", "12: Requests.Gzip: \"maybe\" is neither true nor false"),
            ("Day:\n  Shape: [1, 2]", "12: Day.Shape: 2 weights, not one for each of the 24 hours"),
        ] {
            assert_eq!(error(&format!("{SMALL}{more}\n")), format!("config.yaml:{expected}"));
        }
    }

    #[test]
    fn a_value_of_the_wrong_kind_shows_its_line() {
        assert_eq!(
            replaced("  Count: 100", "  Count: [100]"),
            "config.yaml:3: expected string scalar, in \"Count: [100]\""
        );
        assert!(error("Duration: 1s\nUsers: 7\n").starts_with("config.yaml:2: expected mapping start"));
        assert!(error("Duration: 1s\n\tAds: {}\n").starts_with("config.yaml:"));
    }

    #[test]
    fn the_url_takes_variables_from_the_environment() {
        let url = |text: &str, variables: &[(&str, &str)]| {
            let config = Config::parse("config.yaml", &format!("BaseURL: {text}\n{SMALL}")).unwrap();
            let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
            config.base_url.expand(find).map_err(|error| error.to_string())
        };
        assert_eq!(url("http://${HOST}:${PORT}/v1", &[("HOST", "h"), ("PORT", "1")]).unwrap(), "http://h:1/v1");
        assert_eq!(
            url("http://${HOST}/v1", &[]).unwrap_err(),
            "config.yaml:1: BaseURL: the environment variable HOST is not set (set it, or give --base-url)"
        );
        assert_eq!(url("\"${HOST\"", &[]).unwrap_err(), "config.yaml:1: BaseURL: \"${HOST\": ${ without its }");
    }
}
