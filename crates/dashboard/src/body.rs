//! The body of a dashboard, as far as the page shows it.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html>

use anyhow::{Context, Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// CloudWatch's default when a metric has no period, in seconds.
pub const DEFAULT_PERIOD: i64 = 300;

#[derive(Clone, Debug, Deserialize)]
pub struct Body {
    pub start: Option<String>,
    pub widgets: Vec<Widget>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Widget {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(flatten)]
    pub layout: Layout,
    #[serde(default)]
    pub properties: Properties,
}

/// Position and size, in a grid of 24 columns.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Layout {
    #[serde(default)]
    pub x: u32,
    #[serde(default)]
    pub y: u32,
    #[serde(default = "default_side")]
    pub width: u32,
    #[serde(default = "default_side")]
    pub height: u32,
}

fn default_side() -> u32 {
    6
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Properties {
    pub title: String,
    pub markdown: String,
    pub view: String,
    pub stacked: bool,
    pub sparkline: bool,
    pub set_period_to_time_range: bool,
    pub period: Option<i64>,
    pub stat: Option<String>,
    pub start: Option<String>,
    pub end: Option<String>,
    pub metrics: Vec<Vec<Value>>,
    pub y_axis: Value,
    pub annotations: Annotations,
    pub alarms: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Annotations {
    pub horizontal: Vec<Annotation>,
}

/// A horizontal line at a value.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Annotation {
    pub label: String,
    pub value: f64,
    pub color: Option<String>,
    pub y_axis: Option<String>,
}

/// A row of a widget's `metrics`.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub definition: Definition,
    pub options: Options,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Definition {
    Metric(Metric),
    Expression(String),
}

/// A metric by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    pub namespace: String,
    pub name: String,
    pub dimensions: Vec<(String, String)>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Options {
    pub id: Option<String>,
    pub label: Option<String>,
    pub color: Option<String>,
    pub stat: Option<String>,
    pub period: Option<i64>,
    pub y_axis: Option<String>,
    pub visible: Option<bool>,
}

/// Reads the rows of a widget. `.` repeats the value at the same position of the row above, `...` all values up to there.
pub fn rows(written: &[Vec<Value>]) -> Result<Vec<Row>> {
    let mut rows = Vec::with_capacity(written.len());
    let mut above: Vec<String> = Vec::new();
    for row in written {
        let (names, options) = match row.split_last() {
            Some((Value::Object(options), names)) => (names, options.clone()),
            _ => (row.as_slice(), Map::new()),
        };
        let expression = options.get("expression").and_then(Value::as_str).map(str::to_owned);
        let options: Options = serde_json::from_value(options.into())?;
        let definition = match expression {
            Some(expression) if names.is_empty() => Definition::Expression(expression),
            Some(_) => bail!("a row is both a metric and an expression"),
            None => {
                above = expand(names, &above)?;
                Definition::Metric(metric(&above)?)
            }
        };
        rows.push(Row { definition, options });
    }
    Ok(rows)
}

fn expand(names: &[Value], above: &[String]) -> Result<Vec<String>> {
    let mut expanded = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        let missing = "a row of metrics refers to one above it that is not there";
        match name.as_str().context("a row of metrics contains a value that is not text")? {
            "..." => {
                let end = above.len().checked_sub(names.len() - index - 1).context(missing)?;
                expanded.extend_from_slice(above.get(expanded.len()..end).context(missing)?);
            }
            "." => expanded.push(above.get(expanded.len()).context(missing)?.clone()),
            name => expanded.push(name.to_owned()),
        }
    }
    Ok(expanded)
}

fn metric(names: &[String]) -> Result<Metric> {
    let [namespace, name, dimensions @ ..] = names else { bail!("a metric has no namespace and name") };
    if dimensions.len() % 2 != 0 {
        bail!("a dimension of {namespace} {name} has no value");
    }
    let dimensions = dimensions.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    Ok(Metric { namespace: namespace.clone(), name: name.clone(), dimensions })
}

/// A time such as `-PT3H`, `P0D` or `2026-11-01T00:00:00Z`, in seconds since 1970.
pub fn time(text: &str, now: DateTime<Utc>) -> Result<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.timestamp());
    }
    let duration = duration(text.trim_start_matches('-')).with_context(|| format!("{text} is not a time"))?;
    Ok((now - duration).timestamp())
}

/// A duration such as `PT3H` or `P14D`; months have 30 days.
fn duration(text: &str) -> Option<TimeDelta> {
    let (mut seconds, mut number, mut in_time) = (0_i64, String::new(), false);
    for letter in text.strip_prefix('P')?.chars() {
        let unit = match (letter, in_time) {
            ('0'..='9', _) => {
                number.push(letter);
                continue;
            }
            ('T', false) => {
                in_time = true;
                continue;
            }
            ('D', false) => 86_400,
            ('W', false) => 7 * 86_400,
            ('M', false) => 30 * 86_400,
            ('H', true) => 3_600,
            ('M', true) => 60,
            ('S', true) => 1,
            _ => return None,
        };
        seconds = seconds.checked_add(number.parse::<i64>().ok()?.checked_mul(unit)?)?;
        number.clear();
    }
    number.is_empty().then(|| TimeDelta::try_seconds(seconds))?
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metric(names: &[&str]) -> Definition {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Definition::Metric(super::metric(&names).unwrap())
    }

    fn read(written: Value) -> Result<Vec<Row>> {
        rows(&serde_json::from_value::<Vec<Vec<Value>>>(written)?)
    }

    #[test]
    fn rows_refer_to_the_row_above() {
        let rows = read(json!([
            ["AWS/Lambda", "Errors", "FunctionName", "a", {"id": "e", "stat": "Sum"}],
            ["...", "b"],
            [{"expression": "e * 2", "label": "twice", "yAxis": "right"}],
            [".", "Throttles", ".", "."],
        ]))
        .unwrap();
        let definitions: Vec<Definition> = rows.iter().map(|row| row.definition.clone()).collect();
        let expected = [
            metric(&["AWS/Lambda", "Errors", "FunctionName", "a"]),
            metric(&["AWS/Lambda", "Errors", "FunctionName", "b"]),
            Definition::Expression("e * 2".to_owned()),
            metric(&["AWS/Lambda", "Throttles", "FunctionName", "b"]),
        ];
        assert_eq!(definitions, expected);
        assert_eq!((rows[0].options.id.as_deref(), rows[2].options.y_axis.as_deref()), (Some("e"), Some("right")));
    }

    #[test]
    fn malformed_rows_are_errors() {
        for (written, expected) in [
            (json!([["..."]]), "no namespace"),
            (json!([["A", ".", "x"]]), "not there"),
            (json!([["A", "M", "dimension"]]), "no value"),
            (json!([["A", "M", {"expression": "1"}]]), "both"),
            (json!([["A", 5]]), "not text"),
        ] {
            let message = format!("{:#}", read(written.clone()).unwrap_err());
            assert!(message.contains(expected), "{written}: {message}");
        }
    }

    #[test]
    fn times_are_absolute_or_before_now() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for (text, expected) in [
            ("-PT3H", 1_800_000_000 - 3 * 3_600),
            ("P0D", 1_800_000_000),
            ("-P1DT1M30S", 1_800_000_000 - 86_490),
            ("-P2W", 1_800_000_000 - 14 * 86_400),
            ("2026-11-01T00:00:00Z", 1_793_491_200),
        ] {
            assert_eq!(time(text, now).unwrap(), expected, "{text}");
        }
        for text in ["", "3h", "PT3", "-P3H", "PTX", "P99999999999999999999D"] {
            assert!(time(text, now).is_err(), "{text}");
        }
    }
}
