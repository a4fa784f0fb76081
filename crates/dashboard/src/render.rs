//! Dashboards as the page needs them: expressions evaluated, Markdown converted to HTML.

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use pulldown_cmark::{Event, Options as Markdown, Parser, html};
use serde::Serialize;
use serde_json::Value;

use crate::body::{Annotation, Body, DEFAULT_PERIOD, Definition, Layout, Metric, Properties, Row, Widget, rows, time};
use crate::math::{self, Scope, Series};
use crate::source::{Alarm, Points, Query, Source};

/// A dashboard at one moment.
#[derive(Debug, Serialize)]
pub struct Dashboard {
    pub name: String,
    /// Seconds since 1970.
    pub now: i64,
    /// The range of widgets that don't have their own.
    pub start: i64,
    pub end: i64,
    pub widgets: Vec<RenderedWidget>,
}

#[derive(Debug, Serialize)]
pub struct RenderedWidget {
    #[serde(flatten)]
    pub layout: Layout,
    pub title: String,
    #[serde(flatten)]
    pub content: Content,
}

#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Content {
    Text {
        html: String,
    },
    Chart(Chart),
    Numbers {
        numbers: Vec<Line>,
        sparkline: bool,
    },
    Alarms {
        alarms: Vec<AlarmState>,
    },
    /// Nothing to draw, and why.
    Message {
        message: String,
        failed: bool,
    },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chart {
    pub start: i64,
    pub end: i64,
    pub stacked: bool,
    pub lines: Vec<Line>,
    pub y_axis: Value,
    pub annotations: Vec<Annotation>,
}

/// A series under its label.
#[derive(Debug, Serialize)]
pub struct Line {
    pub label: String,
    pub color: Option<String>,
    pub right: bool,
    pub period: i64,
    pub times: Vec<i64>,
    pub values: Vec<f64>,
}

#[derive(Debug, Serialize)]
pub struct AlarmState {
    pub name: String,
    pub description: String,
    pub state: String,
}

/// Fetches a dashboard's body and evaluates all of it.
///
/// # Errors
/// When the dashboard can't be fetched or isn't JSON. An error of one widget becomes that widget's message.
pub fn render(source: &dyn Source, name: &str, start: Option<&str>, now: DateTime<Utc>) -> Result<Dashboard> {
    let text = source.dashboard(name)?;
    let body: Body = serde_json::from_str(&text).with_context(|| format!("failed to read the body of {name}"))?;
    let start = start.or(body.start.as_deref()).unwrap_or("-PT3H");
    let window = (time(start, now)?, now.timestamp());
    let widgets = body.widgets.iter().map(|widget| RenderedWidget {
        layout: widget.layout,
        title: widget.properties.title.clone(),
        content: content(source, widget, window, now)
            .unwrap_or_else(|error| Content::Message { message: format!("{error:#}"), failed: true }),
    });
    Ok(Dashboard {
        name: name.to_owned(),
        now: now.timestamp(),
        start: window.0,
        end: window.1,
        widgets: widgets.collect(),
    })
}

fn content(source: &dyn Source, widget: &Widget, window: (i64, i64), now: DateTime<Utc>) -> Result<Content> {
    let properties = &widget.properties;
    match widget.kind.as_str() {
        "text" => Ok(Content::Text { html: to_html(&properties.markdown) }),
        "metric" => metrics(source, properties, window, now),
        "alarm" => alarms(source, &properties.alarms),
        "log" => Ok(Content::Message {
            message: "A query of CloudWatch Logs Insights. It runs on AWS only.".to_owned(),
            failed: false,
        }),
        kind => bail!("widgets of the type {kind} are not supported here"),
    }
}

/// Markdown as HTML. Markup in it stays text.
fn to_html(markdown: &str) -> String {
    let events = Parser::new_ext(markdown, Markdown::ENABLE_TABLES).map(|event| match event {
        Event::Html(markup) | Event::InlineHtml(markup) => Event::Text(markup),
        event => event,
    });
    let mut out = String::new();
    html::push_html(&mut out, events);
    out
}

fn alarms(source: &dyn Source, arns: &[String]) -> Result<Content> {
    let known = source.alarms()?;
    let states = arns.iter().map(|arn| {
        let alarm = known.iter().find(|alarm| alarm.alarm_arn == *arn);
        let name = arn.rsplit(':').next().unwrap_or(arn).to_owned();
        let missing = || AlarmState { name, description: String::new(), state: "not deployed here".to_owned() };
        let found = |Alarm { alarm_name, alarm_description, state_value, .. }: &Alarm| AlarmState {
            name: alarm_name.clone(),
            description: alarm_description.clone(),
            state: state_value.replace('_', " ").to_lowercase(),
        };
        alarm.map_or_else(missing, found)
    });
    Ok(Content::Alarms { alarms: states.collect() })
}

fn metrics(source: &dyn Source, properties: &Properties, window: (i64, i64), now: DateTime<Utc>) -> Result<Content> {
    let own = |text: &Option<String>, other| text.as_deref().map_or(Ok(other), |text| time(text, now));
    let window = (own(&properties.start, window.0)?, own(&properties.end, window.1)?);
    let rows = rows(&properties.metrics)?;
    let fetched = fetch(source, properties, &rows, window)?;
    let evaluation = Evaluation { rows: &rows, fetched, window, evaluating: RefCell::default() };
    let mut lines = Vec::new();
    for (index, row) in rows.iter().enumerate().filter(|(_, row)| row.options.visible != Some(false)) {
        lines.extend(evaluation.lines(index, row)?);
    }
    if lines.iter().all(|line| line.values.is_empty()) {
        return Ok(Content::Message { message: "No data in this range.".to_owned(), failed: false });
    }
    Ok(match properties.view.as_str() {
        "singleValue" => Content::Numbers { numbers: lines, sparkline: properties.sparkline },
        "" | "timeSeries" => Content::Chart(Chart {
            start: window.0,
            end: window.1,
            stacked: properties.stacked,
            lines,
            y_axis: properties.y_axis.clone(),
            annotations: properties.annotations.horizontal.clone(),
        }),
        view => bail!("the view {view} is not supported here"),
    })
}

/// The values of each row that is a metric.
fn fetch(
    source: &dyn Source,
    properties: &Properties,
    rows: &[Row],
    window: (i64, i64),
) -> Result<Vec<Option<Series>>> {
    let mut queries = Vec::new();
    for row in rows {
        if let Definition::Metric(metric) = &row.definition {
            let period = row.options.period.or(properties.period).unwrap_or(DEFAULT_PERIOD);
            let stat = row.options.stat.as_ref().or(properties.stat.as_ref());
            let stat = stat.map_or_else(|| "Average".to_owned(), Clone::clone);
            queries.push(Query { metric: metric.clone(), stat, period });
        }
    }
    let whole = properties.set_period_to_time_range;
    let points = if whole { over_the_range(source, &queries, window)? } else { source.points(&queries, window)? };
    let mut found = queries.into_iter().zip(points);
    let series = |row: &Row| match &row.definition {
        Definition::Expression(_) => None,
        Definition::Metric(_) => found.next().map(|(query, points)| Series {
            label: label(&query.metric, &query.stat),
            period: if whole { window.1 - window.0 } else { query.period },
            points,
        }),
    };
    Ok(rows.iter().map(series).collect())
}

/// One value for the whole range: made of minutes, since periods begin at multiples of themselves and the range does not.
fn over_the_range(source: &dyn Source, queries: &[Query], window: (i64, i64)) -> Result<Vec<Points>> {
    let minutes: Vec<Query> = queries.iter().map(|query| Query { period: 60, ..query.clone() }).collect();
    let points = source.points(&minutes, window)?;
    queries
        .iter()
        .zip(points)
        .map(|(query, points)| {
            let values = || points.values().copied();
            let value = match query.stat.as_str() {
                "Sum" | "SampleCount" => values().sum(),
                "Maximum" => values().fold(f64::NEG_INFINITY, f64::max),
                "Minimum" => values().fold(f64::INFINITY, f64::min),
                stat => bail!("{stat} over the whole range is not supported here"),
            };
            Ok(if points.is_empty() { Points::new() } else { [(window.0, value)].into() })
        })
        .collect()
}

fn label(metric: &Metric, stat: &str) -> String {
    let dimensions: Vec<&str> = metric.dimensions.iter().map(|(_, value)| value.as_str()).collect();
    match dimensions.as_slice() {
        [] => format!("{} ({stat})", metric.name),
        dimensions => format!("{} {} ({stat})", dimensions.join(" "), metric.name),
    }
}

/// The state while the expressions of a widget are evaluated.
struct Evaluation<'a> {
    rows: &'a [Row],
    fetched: Vec<Option<Series>>,
    window: (i64, i64),
    /// The ids that are being evaluated, so that a cycle is found.
    evaluating: RefCell<Vec<String>>,
}

impl Evaluation<'_> {
    fn row(&self, index: usize) -> Result<math::Value> {
        match (&self.rows[index].definition, &self.fetched[index]) {
            (Definition::Expression(expression), _) => math::evaluate(expression, self),
            (Definition::Metric(_), Some(series)) => Ok(math::Value::Series(series.clone())),
            (Definition::Metric(metric), None) => bail!("{} was not fetched", metric.name),
        }
    }

    fn lines(&self, index: usize, row: &Row) -> Result<Vec<Line>> {
        let series = match self.row(index)? {
            math::Value::Series(series) => vec![series],
            math::Value::Set(set) => set,
            // A number is drawn as a line through the range.
            math::Value::Number(number) => {
                let points = [(self.window.0, number), (self.window.1, number)].into();
                vec![Series { label: String::new(), period: DEFAULT_PERIOD, points }]
            }
            math::Value::Text(text) => bail!("'{text}' is not a metric"),
        };
        let alone = series.len() == 1;
        let line = |series: Series| Line {
            label: match (&row.options.label, &row.definition) {
                (Some(label), _) if alone => label.clone(),
                (Some(label), _) => format!("{label} {}", series.label),
                (None, Definition::Expression(expression)) if series.label.is_empty() => expression.clone(),
                (None, _) => series.label,
            },
            color: row.options.color.clone().filter(|_| alone),
            right: row.options.y_axis.as_deref() == Some("right"),
            period: series.period,
            times: series.points.keys().copied().collect(),
            values: series.points.into_values().collect(),
        };
        Ok(series.into_iter().map(line).collect())
    }
}

impl Scope for Evaluation<'_> {
    fn value(&self, id: &str) -> Result<math::Value> {
        let named = |row: &Row| row.options.id.as_deref() == Some(id);
        let index = self.rows.iter().position(named).with_context(|| format!("no metric has the id {id}"))?;
        if self.evaluating.borrow().iter().any(|other| other == id) {
            bail!("{id} refers to itself");
        }
        self.evaluating.borrow_mut().push(id.to_owned());
        let value = self.row(index);
        self.evaluating.borrow_mut().pop();
        value
    }

    fn metrics(&self) -> Vec<(String, Series)> {
        let rows = self.rows.iter().zip(&self.fetched);
        rows.filter_map(|(row, series)| Some((row.options.id.clone().unwrap_or_default(), series.clone()?))).collect()
    }

    fn window(&self) -> (i64, i64) {
        self.window
    }
}

/// The titles of dashboards: the heading of the first text, or the name.
pub fn titles(source: &dyn Source, names: &[String]) -> Result<BTreeMap<String, String>> {
    let title = |name: &String| -> Result<(String, String)> {
        let body: Body = serde_json::from_str(&source.dashboard(name)?)?;
        let text = body.widgets.iter().find(|widget| widget.kind == "text").map(|widget| &widget.properties.markdown);
        let heading = text.and_then(|text| text.lines().next()).and_then(|line| line.strip_prefix("# "));
        Ok((name.clone(), heading.unwrap_or(name).to_owned()))
    };
    names.iter().map(title).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Metrics with one value per minute.
    struct Fixed {
        body: Value,
        metrics: Vec<(Metric, Vec<(i64, f64)>)>,
    }

    const NOW: i64 = 1_800_000_000;

    impl Source for Fixed {
        fn dashboard(&self, _: &str) -> Result<String> {
            Ok(self.body.to_string())
        }
        fn points(&self, queries: &[Query], (start, end): (i64, i64)) -> Result<Vec<Points>> {
            let points = |query: &Query| {
                let mut points = Points::new();
                let (_, all) = self.metrics.iter().find(|(metric, _)| *metric == query.metric)?;
                for (at, value) in all.iter().filter(|(at, _)| (start..end).contains(at)) {
                    *points.entry(at / query.period * query.period).or_default() += value;
                }
                Some(points)
            };
            Ok(queries.iter().map(|query| points(query).unwrap_or_default()).collect())
        }
        fn alarms(&self) -> Result<Vec<Alarm>> {
            Ok(vec![Alarm {
                alarm_name: "a".into(),
                alarm_description: "Do this.".into(),
                alarm_arn: "arn:a".into(),
                state_value: "INSUFFICIENT_DATA".into(),
            }])
        }
    }

    fn metric(name: &str, dimensions: &[(&str, &str)]) -> Metric {
        let dimensions = dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Metric { namespace: "N".into(), name: name.into(), dimensions }
    }

    fn rendered(properties: Value) -> Content {
        let body = json!({"start": "-PT1H", "widgets": [{"type": "metric", "properties": properties}]});
        let metrics = vec![
            (metric("Impressions", &[]), vec![(NOW - 120, 10.0), (NOW - 60, 20.0), (NOW - 4_000, 1_000.0)]),
            (metric("Clicks", &[]), vec![(NOW - 120, 3.0), (NOW - 60, 4.0)]),
            (metric("Bytes", &[("Group", "a")]), vec![(NOW - 60, 5.0)]),
        ];
        let now = DateTime::from_timestamp(NOW, 0).unwrap();
        render(&Fixed { body, metrics }, "d", None, now).unwrap().widgets.remove(0).content
    }

    fn chart(properties: Value) -> Chart {
        match rendered(properties) {
            Content::Chart(chart) => chart,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_rate_is_drawn_on_its_own_axis() {
        let chart = chart(json!({"period": 60, "stat": "Sum", "metrics": [
            ["N", "Impressions", {"id": "i", "label": "Seen"}],
            ["N", "Clicks", {"id": "c", "visible": false}],
            [{"expression": "c / i", "label": "Rate", "yAxis": "right"}],
        ]}));
        let lines: Vec<_> =
            chart.lines.iter().map(|line| (line.label.as_str(), line.right, line.values.clone())).collect();
        assert_eq!(lines, [("Seen", false, vec![10.0, 20.0]), ("Rate", true, vec![0.3, 0.2])]);
        assert_eq!(chart.lines[0].times, [NOW - 120, NOW - 60]);
        assert_eq!((chart.start, chart.end), (NOW - 3_600, NOW));
    }

    #[test]
    fn a_value_of_the_whole_range_is_not_cut_at_the_hour() {
        let content = rendered(
            json!({"view": "singleValue", "setPeriodToTimeRange": true, "stat": "Sum", "start": "-PT2H",
            "metrics": [["N", "Impressions", {"id": "i"}], ["N", "Clicks", {"id": "c"}], [{"expression": "FILL(c, 0) / i"}]]}),
        );
        let Content::Numbers { numbers, .. } = content else { panic!("{content:?}") };
        let values: Vec<_> = numbers.iter().map(|line| line.values.clone()).collect();
        assert_eq!(values, [vec![1_030.0], vec![7.0], vec![7.0 / 1_030.0]]);
        let content = rendered(json!({"view": "singleValue", "setPeriodToTimeRange": true, "stat": "Sum",
            "metrics": [["N", "Impressions", {"id": "i"}], ["N", "Nothing", {"id": "c"}], [{"expression": "FILL(c, 0) / i"}]]}));
        let Content::Numbers { numbers, .. } = content else { panic!("{content:?}") };
        assert_eq!(numbers[2].values, [0.0]);
    }

    #[test]
    fn a_metric_without_a_label_is_named_after_its_dimensions() {
        let chart = chart(json!({"period": 60, "stat": "Sum", "metrics": [["N", "Bytes", "Group", "a"]]}));
        assert_eq!(chart.lines[0].label, "a Bytes (Sum)");
    }

    #[test]
    fn a_widget_without_data_or_with_an_error_has_a_message() {
        let message = |properties: Value| match rendered(properties) {
            Content::Message { message, failed } => (message, failed),
            other => panic!("{other:?}"),
        };
        assert_eq!(message(json!({"metrics": [["N", "Nothing"]]})), ("No data in this range.".to_owned(), false));
        for (metrics, expected) in [
            (json!([["N", "Clicks", {"id": "c"}], [{"expression": "x / c"}]]), "no metric has the id x"),
            (json!([[{"expression": "a", "id": "a"}]]), "refers to itself"),
        ] {
            let (message, failed) = message(json!({"metrics": metrics}));
            assert!(failed && message.contains(expected), "{message}");
        }
    }

    #[test]
    fn markdown_becomes_html_and_markup_in_it_stays_text() {
        assert_eq!(
            to_html("# A *b*\n<script>x</script> <b>c</b>\n"),
            "<h1>A <em>b</em></h1>\n&lt;script&gt;x&lt;/script&gt; &lt;b&gt;c&lt;/b&gt;\n"
        );
        assert!(to_html("[a](https://example.com)").contains("<a href=\"https://example.com\">a</a>"));
    }

    #[test]
    fn alarms_show_their_state() {
        let source = Fixed { body: json!(null), metrics: vec![] };
        let content = alarms(&source, &["arn:a".to_owned(), "arn:alarm:b".to_owned()]).unwrap();
        let Content::Alarms { alarms } = content else { panic!("{content:?}") };
        let shown: Vec<_> = alarms.iter().map(|alarm| (alarm.name.as_str(), alarm.state.as_str())).collect();
        assert_eq!(shown, [("a", "insufficient data"), ("b", "not deployed here")]);
    }
}
