//! Metric math: the expressions of dashboards, evaluated as CloudWatch does.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html>

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

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

    fn with(&self, points: BTreeMap<i64, f64>) -> Self {
        // What is no number is no point: a division by zero leaves a gap.
        let points = points.into_iter().filter(|(_, value)| value.is_finite()).collect();
        Self { label: self.label.clone(), period: self.period, points }
    }
}

/// What an expression is worth.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(f64),
    Series(Series),
    /// Several series, such as those of `SEARCH` and `METRICS()`.
    Set(Vec<Series>),
    Text(String),
}

/// What an expression can ask for.
pub trait Scope {
    /// The metric or expression with an id.
    fn value(&self, id: &str) -> Result<Value>;
    /// The metrics of the widget, expressions left out, with their ids.
    fn metrics(&self) -> Vec<(String, Series)>;
    /// `SEARCH(what, statistic, period)`.
    fn search(&self, what: &str, statistic: &str, period: i64) -> Result<Vec<Series>>;
    /// The first and the last second that is looked at.
    fn window(&self) -> (i64, i64);
}

/// Evaluates an expression.
pub fn evaluate(expression: &str, scope: &dyn Scope) -> Result<Value> {
    let tree = parse(expression).with_context(|| format!("the expression {expression} is not understood"))?;
    evaluate_node(&tree, scope).with_context(|| format!("the expression {expression} cannot be evaluated"))
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Number(f64),
    Text(String),
    Name(String),
    List(Vec<Node>),
    Call(String, Vec<Node>),
    Negative(Box<Node>),
    Binary(&'static str, Box<Node>, Box<Node>),
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(f64),
    Text(String),
    Name(String),
    Sign(&'static str),
}

/// Longer signs first.
const SIGNS: [&str; 19] =
    ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "^", "(", ")", "[", "]", ",", "!"];

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first == '"' || first == '\'' {
            let end = rest[1..].find(first).context("a quote is not closed")?;
            tokens.push(Token::Text(rest[1..=end].to_owned()));
            end + 2
        } else if first.is_ascii_digit() || first == '.' {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            tokens.push(Token::Number(rest[..end].parse().with_context(|| format!("{} is no number", &rest[..end]))?));
            end
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(match &rest[..end] {
                "AND" => Token::Sign("&&"),
                "OR" => Token::Sign("||"),
                name => Token::Name(name.to_owned()),
            });
            end
        } else {
            let sign =
                SIGNS.iter().find(|sign| rest.starts_with(**sign)).with_context(|| format!("what is {first}?"))?;
            tokens.push(Token::Sign(sign));
            sign.len()
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// The operators from the loosest to the tightest.
const OPERATORS: [&[&str]; 6] =
    [&["||"], &["&&"], &["==", "!=", "<=", ">=", "<", ">"], &["+", "-"], &["*", "/"], &["^"]];

fn parse(text: &str) -> Result<Node> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let node = parser.binary(0)?;
    if parser.at < parser.tokens.len() {
        bail!("something follows its end");
    }
    Ok(node)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn binary(&mut self, level: usize) -> Result<Node> {
        let Some(operators) = OPERATORS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = operators.iter().find(|operator| self.takes(operator)) {
            left = Node::Binary(operator, Box::new(left), Box::new(self.binary(level + 1)?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Node> {
        if self.takes("-") {
            return Ok(Node::Negative(Box::new(self.unary()?)));
        }
        let token = self.tokens.get(self.at).cloned().context("it ends too early")?;
        self.at += 1;
        match token {
            Token::Number(number) => Ok(Node::Number(number)),
            Token::Text(text) => Ok(Node::Text(text)),
            Token::Name(name) if self.takes("(") => Ok(Node::Call(name, self.list(")")?)),
            Token::Name(name) => Ok(Node::Name(name)),
            Token::Sign("[") => Ok(Node::List(self.list("]")?)),
            Token::Sign("(") => {
                let inner = self.binary(0)?;
                if !self.takes(")") {
                    bail!("a parenthesis is not closed");
                }
                Ok(inner)
            }
            Token::Sign(sign) => bail!("{sign} stands where a value should"),
        }
    }

    fn list(&mut self, end: &str) -> Result<Vec<Node>> {
        let mut nodes = Vec::new();
        if self.takes(end) {
            return Ok(nodes);
        }
        loop {
            nodes.push(self.binary(0)?);
            if self.takes(end) {
                return Ok(nodes);
            }
            if !self.takes(",") {
                bail!("{end} is missing");
            }
        }
    }

    fn takes(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Sign(next)) if *next == sign);
        self.at += usize::from(found);
        found
    }
}

fn evaluate_node(node: &Node, scope: &dyn Scope) -> Result<Value> {
    match node {
        Node::Number(number) => Ok(Value::Number(*number)),
        Node::Text(text) => Ok(Value::Text(text.clone())),
        Node::Name(name) => scope.value(name),
        Node::List(nodes) => {
            let values = nodes.iter().map(|node| evaluate_node(node, scope)).collect::<Result<Vec<_>>>()?;
            Ok(Value::Set(values.into_iter().map(series_of).collect::<Result<Vec<_>>>()?.concat()))
        }
        Node::Negative(node) => binary("*", &Value::Number(-1.0), &evaluate_node(node, scope)?),
        Node::Binary(operator, left, right) => {
            binary(operator, &evaluate_node(left, scope)?, &evaluate_node(right, scope)?)
        }
        Node::Call(name, arguments) => call(name, arguments, scope),
    }
}

fn series_of(value: Value) -> Result<Vec<Series>> {
    match value {
        Value::Series(series) => Ok(vec![series]),
        Value::Set(set) => Ok(set),
        Value::Number(_) | Value::Text(_) => bail!("a metric is needed"),
    }
}

fn binary(operator: &str, left: &Value, right: &Value) -> Result<Value> {
    let apply = |left: f64, right: f64| combine(operator, left, right);
    Ok(match (left, right) {
        (Value::Number(left), Value::Number(right)) => Value::Number(apply(*left, *right)),
        (Value::Series(left), Value::Number(right)) => Value::Series(left.map(|left| apply(left, *right))),
        (Value::Number(left), Value::Series(right)) => Value::Series(right.map(|right| apply(*left, right))),
        (Value::Series(left), Value::Series(right)) => Value::Series(join(left, right, apply)),
        (Value::Set(set), Value::Number(right)) => {
            Value::Set(set.iter().map(|series| series.map(|left| apply(left, *right))).collect())
        }
        (Value::Number(left), Value::Set(set)) => {
            Value::Set(set.iter().map(|series| series.map(|right| apply(*left, right))).collect())
        }
        (Value::Set(set), Value::Series(right)) => {
            Value::Set(set.iter().map(|left| join(left, right, apply)).collect())
        }
        (Value::Series(left), Value::Set(set)) => {
            Value::Set(set.iter().map(|right| join(left, right, apply)).collect())
        }
        _ => bail!("{operator} does not join these"),
    })
}

fn combine(operator: &str, left: f64, right: f64) -> f64 {
    let truth = |holds: bool| f64::from(u8::from(holds));
    match operator {
        "+" => left + right,
        "-" => left - right,
        "*" => left * right,
        "/" if right == 0.0 => f64::NAN,
        "/" => left / right,
        "^" => left.powf(right),
        "==" => truth(left == right),
        "!=" => truth(left != right),
        "<" => truth(left < right),
        "<=" => truth(left <= right),
        ">" => truth(left > right),
        ">=" => truth(left >= right),
        "&&" => truth(left != 0.0 && right != 0.0),
        "||" => truth(left != 0.0 || right != 0.0),
        _ => f64::NAN,
    }
}

/// Where one has no value, the result has none.
fn join(left: &Series, right: &Series, apply: impl Fn(f64, f64) -> f64) -> Series {
    let points = left.points.iter().filter_map(|(at, &value)| Some((*at, apply(value, *right.points.get(at)?))));
    left.with(points.collect())
}

fn call(name: &str, arguments: &[Node], scope: &dyn Scope) -> Result<Value> {
    // The names that FILL takes for a value are no metrics.
    if let ("FILL", [what, Node::Name(how)]) = (name, arguments)
        && ["REPEAT", "LINEAR"].contains(&how.as_str())
    {
        return fill(evaluate_node(what, scope)?, scope, |series, at| match how.as_str() {
            "REPEAT" => series.points.range(..at).next_back().map(|(_, &value)| value),
            _ => interpolate(series, at),
        });
    }
    let values = arguments.iter().map(|node| evaluate_node(node, scope)).collect::<Result<Vec<_>>>()?;
    match (name, values.as_slice()) {
        ("METRICS", []) => Ok(Value::Set(scope.metrics().into_iter().map(|(_, series)| series).collect())),
        ("METRICS", [Value::Text(part)]) => {
            let matching = scope.metrics().into_iter().filter(|(id, _)| id.contains(part.as_str()));
            Ok(Value::Set(matching.map(|(_, series)| series).collect()))
        }
        ("SEARCH", [Value::Text(what), Value::Text(statistic)]) => scope.search(what, statistic, 300).map(Value::Set),
        ("SEARCH", [Value::Text(what), Value::Text(statistic), Value::Number(period)]) => {
            scope.search(what, statistic, *period as i64).map(Value::Set)
        }
        ("SUM", [value]) => aggregate(value, |values| values.iter().sum()),
        ("AVG", [value]) => aggregate(value, |values| values.iter().sum::<f64>() / values.len() as f64),
        ("MIN", [value]) => aggregate(value, |values| values.iter().copied().fold(f64::INFINITY, f64::min)),
        ("MAX", [value]) => aggregate(value, |values| values.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        ("ABS", [value]) => each(value, |series| series.map(f64::abs)),
        ("CEIL", [value]) => each(value, |series| series.map(f64::ceil)),
        ("FLOOR", [value]) => each(value, |series| series.map(f64::floor)),
        ("PERIOD", [Value::Series(series)]) => Ok(Value::Number(series.period as f64)),
        ("RUNNING_SUM", [value]) => each(value, |series| {
            let mut sum = 0.0;
            let points = series.points.iter().map(|(&at, value)| {
                sum += value;
                (at, sum)
            });
            series.with(points.collect())
        }),
        ("DIFF", [value]) => each(value, |series| changes(series, |change, _| change)),
        ("RATE", [value]) => each(value, |series| changes(series, |change, seconds| change / seconds)),
        ("TIME_SERIES", [Value::Number(number)]) => {
            let grid = grid(60, scope.window()).map(|at| (at, *number));
            Ok(Value::Series(Series { label: String::new(), period: 60, points: grid.collect() }))
        }
        ("FILL", [what, Value::Number(number)]) => fill(what.clone(), scope, |_, _| Some(*number)),
        ("FILL", [what, Value::Series(other)]) => fill(what.clone(), scope, |_, at| other.points.get(&at).copied()),
        ("IF", [condition, yes]) => choose(condition, yes, None),
        ("IF", [condition, yes, no]) => choose(condition, yes, Some(no)),
        _ => bail!("{name} is not known here with {} arguments of this kind", values.len()),
    }
}

fn each(value: &Value, apply: impl Fn(&Series) -> Series) -> Result<Value> {
    Ok(match value {
        Value::Series(series) => Value::Series(apply(series)),
        Value::Set(set) => Value::Set(set.iter().map(apply).collect()),
        Value::Number(_) | Value::Text(_) => bail!("a metric is needed"),
    })
}

/// One number for a series; one series for several.
fn aggregate(value: &Value, apply: impl Fn(&[f64]) -> f64) -> Result<Value> {
    match value {
        Value::Series(series) => {
            let values: Vec<f64> = series.points.values().copied().collect();
            Ok(Value::Number(if values.is_empty() { 0.0 } else { apply(&values) }))
        }
        Value::Set(set) => {
            let times: BTreeSet<i64> = set.iter().flat_map(|series| series.points.keys().copied()).collect();
            let at = |at: i64| {
                let values: Vec<f64> = set.iter().filter_map(|series| series.points.get(&at).copied()).collect();
                (at, apply(&values))
            };
            let first = set.first().cloned().unwrap_or_default();
            Ok(Value::Series(Series { label: String::new(), ..first.with(times.into_iter().map(at).collect()) }))
        }
        Value::Number(_) | Value::Text(_) => bail!("a metric is needed"),
    }
}

fn changes(series: &Series, apply: impl Fn(f64, f64) -> f64) -> Series {
    let pairs = series.points.iter().zip(series.points.iter().skip(1));
    let points = pairs.map(|((&before, old), (&at, new))| (at, apply(new - old, (at - before) as f64)));
    series.with(points.collect())
}

/// The starts of the periods within a window. They are multiples of the period, but that of the whole window is its start.
fn grid(period: i64, (start, end): (i64, i64)) -> impl Iterator<Item = i64> {
    let period = period.max(1);
    let first = if period == end - start { start } else { start.div_euclid(period) * period };
    (0..).map(move |step| first + step * period).take_while(move |&at| at < end)
}

fn fill(value: Value, scope: &dyn Scope, absent: impl Fn(&Series, i64) -> Option<f64>) -> Result<Value> {
    let window = scope.window();
    each(&value, |series| {
        let missing = grid(series.period, window).filter(|at| !series.points.contains_key(at));
        let filled = missing.filter_map(|at| Some((at, absent(series, at)?)));
        series.with(series.points.clone().into_iter().chain(filled).collect())
    })
}

fn interpolate(series: &Series, at: i64) -> Option<f64> {
    let (before, low) = series.points.range(..at).next_back()?;
    let (after, high) = series.points.range(at..).next()?;
    Some(low + (high - low) * (at - before) as f64 / (after - before) as f64)
}

/// `IF`: where the condition has no value, or the chosen side has none, there is none.
fn choose(condition: &Value, yes: &Value, no: Option<&Value>) -> Result<Value> {
    let at = |value: Option<&Value>, at: i64| match value {
        Some(Value::Number(number)) => Some(*number),
        Some(Value::Series(series)) => series.points.get(&at).copied(),
        _ => None,
    };
    match condition {
        Value::Number(number) => Ok(if *number != 0.0 {
            yes.clone()
        } else {
            no.cloned().unwrap_or_else(|| Value::Series(Series::default()))
        }),
        Value::Series(series) => {
            let points = series
                .points
                .iter()
                .filter_map(|(&time, &holds)| Some((time, at(if holds != 0.0 { Some(yes) } else { no }, time)?)));
            Ok(Value::Series(series.with(points.collect())))
        }
        Value::Set(_) | Value::Text(_) => bail!("IF needs a single condition"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(BTreeMap<String, Series>);

    impl Scope for Fixed {
        fn value(&self, id: &str) -> Result<Value> {
            self.0.get(id).cloned().map(Value::Series).with_context(|| format!("no {id}"))
        }
        fn metrics(&self) -> Vec<(String, Series)> {
            self.0.clone().into_iter().collect()
        }
        fn search(&self, what: &str, statistic: &str, period: i64) -> Result<Vec<Series>> {
            Ok(vec![Series { label: format!("{what}|{statistic}"), period, ..Series::default() }])
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
        Fixed([("impressions".to_owned(), impressions), ("clicks".to_owned(), clicks)].into())
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
    fn signs_bind_as_in_arithmetic() {
        for (expression, expected) in [
            ("1 + 2 * 3", 7.0),
            ("(1 + 2) * 3", 9.0),
            ("2 - 1 - 1", 0.0),
            ("-2 ^ 2", 4.0),
            ("8 / 2 / 2", 2.0),
            ("1 < 2 && 2 >= 3", 0.0),
            ("1 < 2 OR 0", 1.0),
            ("1.5 == 1.5", 1.0),
            ("PERIOD(clicks)", 60.0),
            ("SUM(clicks)", 9.0),
            ("AVG(clicks)", 3.0),
            ("MAX(impressions) - MIN(impressions)", 20.0),
        ] {
            assert!((number(expression) - expected).abs() < 1e-12, "{expression}: {}", number(expression));
        }
    }

    #[test]
    fn a_division_by_zero_or_by_nothing_leaves_a_gap() {
        assert_eq!(points("clicks / impressions"), [(0, 0.3), (60, 0.25)]);
        assert_eq!(points("FILL(clicks, 0) / impressions"), [(0, 0.3), (60, 0.25), (180, 0.0)]);
    }

    #[test]
    fn gaps_are_filled_as_asked() {
        assert_eq!(points("FILL(clicks, REPEAT)").last(), Some(&(180, 1.0)));
        assert_eq!(points("FILL(IF(clicks != 5, clicks), LINEAR)"), [(0, 3.0), (60, 2.0), (120, 1.0)]);
        assert_eq!(points("FILL(clicks, impressions)").last(), Some(&(180, 8.0)));
    }

    #[test]
    fn conditions_choose_point_by_point() {
        assert_eq!(points("IF(impressions > 9, clicks, -1)"), [(0, 3.0), (60, 5.0), (120, -1.0), (180, -1.0)]);
        assert_eq!(points("IF(impressions > 9, clicks)"), [(0, 3.0), (60, 5.0)]);
        assert_eq!(points("IF(0, clicks)"), []);
    }

    #[test]
    fn several_series_become_one() {
        let sums = [(0, 13.0), (60, 25.0), (120, 1.0), (180, 8.0)];
        assert_eq!(points("SUM(METRICS())"), sums);
        assert_eq!(points("SUM([clicks, impressions])"), sums);
        assert_eq!(points("MAX([clicks, impressions * 2])")[2], (120, 1.0));
        assert_eq!(points("SUM(METRICS(\"click\"))"), [(0, 3.0), (60, 5.0), (120, 1.0)]);
    }

    #[test]
    fn changes_and_running_sums() {
        assert_eq!(points("DIFF(clicks)"), [(60, 2.0), (120, -4.0)]);
        assert_eq!(points("RATE(impressions) * 60")[0], (60, 10.0));
        assert_eq!(points("RUNNING_SUM(clicks)"), [(0, 3.0), (60, 8.0), (120, 9.0)]);
    }

    #[test]
    fn a_search_keeps_its_quotes() {
        let found = evaluate("SEARCH('{A,B} B=\"c\"', 'Sum', 60)", &scope()).unwrap();
        let Value::Set(found) = found else { panic!("{found:?}") };
        assert_eq!((found[0].label.as_str(), found[0].period), ("{A,B} B=\"c\"|Sum", 60));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (expression, expected) in [
            ("clicks +", "ends too early"),
            ("clicks impressions", "something follows"),
            ("LAMBDA(clicks)", "LAMBDA is not known here"),
            ("nothing / 2", "no nothing"),
            ("(clicks", "parenthesis is not closed"),
            ("'a", "quote is not closed"),
            ("SUM(1)", "a metric is needed"),
            ("clicks ; 1", "what is ;?"),
            ("1.2.3", "no number"),
        ] {
            let message = format!("{:#}", evaluate(expression, &scope()).unwrap_err());
            assert!(message.contains(expected) && message.contains(expression), "{expression}: {message}");
        }
    }
}
