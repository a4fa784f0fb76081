//! Metric math: expressions evaluated as CloudWatch evaluates them, as far as the dashboards use it.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html>

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

use crate::expression::{Node, Operator, parse};

/// Values of a metric over time. The keys are seconds since 1970, the start of each period.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    pub label: String,
    /// In seconds.
    pub period: i64,
    pub points: BTreeMap<i64, f64>,
}

impl Series {
    fn map(&self, apply: impl Fn(f64) -> f64) -> Self {
        let points = self.points.iter().map(|(&at, &value)| (at, apply(value)));
        self.with(points.collect())
    }

    /// Other points of the same metric. A division by zero leaves a gap.
    fn with(&self, points: BTreeMap<i64, f64>) -> Self {
        let points = points.into_iter().filter(|(_, value)| value.is_finite()).collect();
        Self { label: self.label.clone(), period: self.period, points }
    }
}

/// The result of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(f64),
    Series(Series),
    /// Several series, such as those of `METRICS`.
    Set(Vec<Series>),
    Text(String),
}

/// What an expression can refer to.
pub trait Scope {
    /// The metric or expression with an id.
    fn value(&self, id: &str) -> Result<Value>;
    /// The metrics of the widget with their ids, without expressions.
    fn metrics(&self) -> Vec<(String, Series)>;
    /// The first and the last second of the range.
    fn window(&self) -> (i64, i64);
}

/// Evaluates an expression.
pub fn evaluate(expression: &str, scope: &dyn Scope) -> Result<Value> {
    let tree = parse(expression).with_context(|| format!("failed to read the expression {expression}"))?;
    evaluate_node(&tree, scope).with_context(|| format!("failed to evaluate the expression {expression}"))
}

fn evaluate_node(node: &Node, scope: &dyn Scope) -> Result<Value> {
    match node {
        Node::Number(number) => Ok(Value::Number(*number)),
        Node::Text(text) => Ok(Value::Text(text.clone())),
        Node::Id(id) => scope.value(id),
        Node::List(nodes) => {
            let values = nodes.iter().map(|node| evaluate_node(node, scope)).collect::<Result<Vec<_>>>()?;
            Ok(Value::Set(values.into_iter().map(into_set).collect::<Result<Vec<_>>>()?.concat()))
        }
        Node::Negative(node) => binary(Operator::Multiply, &Value::Number(-1.0), &evaluate_node(node, scope)?),
        Node::Binary(operator, left, right) => {
            binary(*operator, &evaluate_node(left, scope)?, &evaluate_node(right, scope)?)
        }
        Node::Call(name, arguments) => {
            let values = arguments.iter().map(|node| evaluate_node(node, scope)).collect::<Result<Vec<_>>>()?;
            call(name, &values, scope)
        }
    }
}

fn into_set(value: Value) -> Result<Vec<Series>> {
    match value {
        Value::Series(series) => Ok(vec![series]),
        Value::Set(set) => Ok(set),
        Value::Number(_) | Value::Text(_) => bail!("a metric is needed"),
    }
}

fn binary(operator: Operator, left: &Value, right: &Value) -> Result<Value> {
    let apply = |left: f64, right: f64| combine(operator, left, right);
    Ok(match (left, right) {
        (Value::Number(left), Value::Number(right)) => Value::Number(apply(*left, *right)),
        (Value::Series(left), Value::Number(right)) => Value::Series(left.map(|left| apply(left, *right))),
        (Value::Number(left), Value::Series(right)) => Value::Series(right.map(|right| apply(*left, right))),
        (Value::Series(left), Value::Series(right)) => Value::Series(join(left, right, apply)),
        _ => bail!("arithmetic needs numbers and single metrics"),
    })
}

fn combine(operator: Operator, left: f64, right: f64) -> f64 {
    match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide if right == 0.0 => f64::NAN,
        Operator::Divide => left / right,
    }
}

/// Where one has no value, the result has none.
fn join(left: &Series, right: &Series, apply: impl Fn(f64, f64) -> f64) -> Series {
    let points = left.points.iter().filter_map(|(at, &value)| Some((*at, apply(value, *right.points.get(at)?))));
    left.with(points.collect())
}

fn call(name: &str, arguments: &[Value], scope: &dyn Scope) -> Result<Value> {
    match (name, arguments) {
        ("METRICS", [Value::Text(part)]) => {
            let matching = scope.metrics().into_iter().filter(|(id, _)| id.contains(part.as_str()));
            Ok(Value::Set(matching.map(|(_, series)| series).collect()))
        }
        ("SUM", [Value::Set(set)]) => Ok(aggregate(set, |values| values.iter().sum())),
        ("MAX", [Value::Set(set)]) => {
            Ok(aggregate(set, |values| values.iter().copied().fold(f64::NEG_INFINITY, f64::max)))
        }
        ("PERIOD", [Value::Series(series)]) => Ok(Value::Number(series.period as f64)),
        ("FILL", [Value::Series(series), Value::Number(number)]) => {
            Ok(Value::Series(fill(series, *number, scope.window())))
        }
        _ => bail!("{name} is not supported here with {} arguments of this kind", arguments.len()),
    }
}

/// One series of several. A time has the values of those that have one then.
fn aggregate(set: &[Series], apply: impl Fn(&[f64]) -> f64) -> Value {
    let times: BTreeSet<i64> = set.iter().flat_map(|series| series.points.keys().copied()).collect();
    let at = |at: i64| {
        let values: Vec<f64> = set.iter().filter_map(|series| series.points.get(&at).copied()).collect();
        (at, apply(&values))
    };
    let first = set.first().cloned().unwrap_or_default();
    Value::Series(Series { label: String::new(), ..first.with(times.into_iter().map(at).collect()) })
}

fn fill(series: &Series, number: f64, window: (i64, i64)) -> Series {
    let missing = periods(series.period, window).filter(|at| !series.points.contains_key(at));
    series.with(series.points.clone().into_iter().chain(missing.map(|at| (at, number))).collect())
}

/// The starts of the periods within a window: multiples of the period, except that a period as long as the window is the
/// window itself.
fn periods(period: i64, (start, end): (i64, i64)) -> impl Iterator<Item = i64> {
    let period = period.max(1);
    let first = if period == end - start { start } else { start.div_euclid(period) * period };
    (0..).map(move |step| first + step * period).take_while(move |&at| at < end)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The metrics of a widget. An unknown id is an error, unless `others` has a series for it.
    struct Fixed {
        metrics: BTreeMap<String, Series>,
        others: Option<Series>,
    }

    impl Scope for Fixed {
        fn value(&self, id: &str) -> Result<Value> {
            let series = self.metrics.get(id).or(self.others.as_ref());
            series.cloned().map(Value::Series).with_context(|| format!("no {id}"))
        }
        fn metrics(&self) -> Vec<(String, Series)> {
            self.metrics.clone().into_iter().collect()
        }
        fn window(&self) -> (i64, i64) {
            (0, 240)
        }
    }

    fn series(points: &[(i64, f64)]) -> Series {
        Series { label: String::new(), period: 60, points: points.iter().copied().collect() }
    }

    fn scope() -> Fixed {
        let impressions = series(&[(0, 10.0), (60, 20.0), (120, 0.0), (180, 8.0)]);
        let clicks = series(&[(0, 3.0), (60, 5.0), (120, 1.0)]);
        let metrics = [("impressions".to_owned(), impressions), ("clicks".to_owned(), clicks)].into();
        Fixed { metrics, others: None }
    }

    fn number(expression: &str) -> f64 {
        match evaluate(expression, &scope()).unwrap() {
            Value::Number(number) => number,
            other => panic!("{expression}: {other:?}"),
        }
    }

    fn points(expression: &str) -> Vec<(i64, f64)> {
        match evaluate(expression, &scope()).unwrap() {
            Value::Series(series) => series.points.into_iter().collect(),
            other => panic!("{expression}: {other:?}"),
        }
    }

    #[test]
    fn numbers_are_computed_as_in_arithmetic() {
        for (expression, expected) in [
            ("1 + 2 * 3", 7.0),
            ("(1 + 2) * 3", 9.0),
            ("2 - 1 - 1", 0.0),
            ("-2 * 3", -6.0),
            ("8 / 2 / 2", 2.0),
            ("PERIOD(clicks)", 60.0),
        ] {
            assert!((number(expression) - expected).abs() < 1e-12, "{expression}: {}", number(expression));
        }
    }

    #[test]
    fn a_number_applies_to_each_point() {
        assert_eq!(points("100 * clicks / PERIOD(clicks)"), [(0, 5.0), (60, 100.0 * 5.0 / 60.0), (120, 100.0 / 60.0)]);
        assert_eq!(points("-clicks + 1"), [(0, -2.0), (60, -4.0), (120, 0.0)]);
    }

    #[test]
    fn a_division_by_zero_or_by_nothing_leaves_a_gap() {
        assert_eq!(points("clicks / impressions"), [(0, 0.3), (60, 0.25)]);
        assert_eq!(points("FILL(clicks, 0) / impressions"), [(0, 0.3), (60, 0.25), (180, 0.0)]);
    }

    #[test]
    fn several_series_become_one() {
        assert_eq!(points("SUM([clicks, impressions])"), [(0, 13.0), (60, 25.0), (120, 1.0), (180, 8.0)]);
        assert_eq!(points("MAX([clicks, impressions * 2])")[2], (120, 1.0));
        assert_eq!(points("SUM(METRICS(\"click\"))"), [(0, 3.0), (60, 5.0), (120, 1.0)]);
    }

    #[test]
    fn an_error_quotes_the_expression_and_names_its_cause() {
        for (expression, expected) in [
            ("clicks +", "ends too early"),
            ("LAMBDA(clicks)", "LAMBDA is not supported here"),
            ("nothing / 2", "no nothing"),
            ("SUM([1])", "a metric is needed"),
            ("METRICS(\"c\") * 2", "single metrics"),
        ] {
            let message = format!("{:#}", evaluate(expression, &scope()).unwrap_err());
            assert!(message.contains(expected) && message.contains(expression), "{expression}: {message}");
        }
    }

    /// Collects the values of all keys named `expression` below a template value.
    fn expressions(value: &serde_yaml_ng::Value, found: &mut Vec<String>) {
        match value {
            serde_yaml_ng::Value::Mapping(mapping) => {
                for (key, value) in mapping {
                    match (key.as_str(), value.as_str()) {
                        (Some("expression"), Some(text)) => found.push(text.to_owned()),
                        _ => expressions(value, found),
                    }
                }
            }
            serde_yaml_ng::Value::Sequence(values) => values.iter().for_each(|value| expressions(value, found)),
            serde_yaml_ng::Value::Tagged(tagged) => expressions(&tagged.value, found),
            _ => {}
        }
    }

    #[test]
    fn every_expression_of_the_deployed_dashboards_has_a_value() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../stacks/dashboards.yaml");
        let template = serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut found = Vec::new();
        expressions(&template, &mut found);
        assert!(found.len() > 8, "{found:?}");
        let any = series(&[(0, 2.0), (60, 3.0)]);
        let metrics = ["d_any", "in_any", "g_any"].map(|id| (id.to_owned(), any.clone())).into();
        let scope = Fixed { metrics, others: Some(any) };
        for expression in found {
            let value = evaluate(&expression, &scope).unwrap();
            let Value::Series(series) = value else { panic!("{expression}: {value:?}") };
            assert!(series.points.len() >= 2, "{expression}: {series:?}");
        }
    }
}
