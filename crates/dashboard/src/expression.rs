//! Expressions of metric math, read into a tree.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html>

use anyhow::{Context, Result, bail};

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Number(f64),
    Text(String),
    /// The id of a metric or of another expression.
    Id(String),
    List(Vec<Node>),
    Call(String, Vec<Node>),
    Negative(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// The operators by precedence, the lowest first.
const PRECEDENCE: [&[(char, Operator)]; 2] =
    [&[('+', Operator::Add), ('-', Operator::Subtract)], &[('*', Operator::Multiply), ('/', Operator::Divide)]];

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(f64),
    Text(String),
    Name(String),
    Symbol(char),
}

const SYMBOLS: &str = "+-*/()[],";

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
            let number = rest[..end].parse().with_context(|| format!("{} is not a number", &rest[..end]))?;
            tokens.push(Token::Number(number));
            end
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(Token::Name(rest[..end].to_owned()));
            end
        } else if SYMBOLS.contains(first) {
            tokens.push(Token::Symbol(first));
            first.len_utf8()
        } else {
            bail!("{first} is not supported here");
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// Reads an expression.
///
/// # Errors
/// When it is malformed, or uses an operator that is not supported here.
pub fn parse(text: &str) -> Result<Node> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let node = parser.binary(0)?;
    if parser.at < parser.tokens.len() {
        bail!("unexpected text after its end");
    }
    Ok(node)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn binary(&mut self, level: usize) -> Result<Node> {
        let Some(operators) = PRECEDENCE.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        while let Some((_, operator)) = operators.iter().find(|(symbol, _)| self.takes(*symbol)) {
            left = Node::Binary(*operator, Box::new(left), Box::new(self.binary(level + 1)?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Node> {
        if self.takes('-') {
            return Ok(Node::Negative(Box::new(self.unary()?)));
        }
        let token = self.tokens.get(self.at).cloned().context("it ends too early")?;
        self.at += 1;
        match token {
            Token::Number(number) => Ok(Node::Number(number)),
            Token::Text(text) => Ok(Node::Text(text)),
            Token::Name(name) if self.takes('(') => Ok(Node::Call(name, self.list(')')?)),
            Token::Name(name) => Ok(Node::Id(name)),
            Token::Symbol('[') => Ok(Node::List(self.list(']')?)),
            Token::Symbol('(') => {
                let inner = self.binary(0)?;
                if !self.takes(')') {
                    bail!("a parenthesis is not closed");
                }
                Ok(inner)
            }
            Token::Symbol(symbol) => bail!("expected a value, found {symbol}"),
        }
    }

    fn list(&mut self, end: char) -> Result<Vec<Node>> {
        let mut nodes = Vec::new();
        if self.takes(end) {
            return Ok(nodes);
        }
        loop {
            nodes.push(self.binary(0)?);
            if self.takes(end) {
                return Ok(nodes);
            }
            if !self.takes(',') {
                bail!("{end} is missing");
            }
        }
    }

    /// Whether this symbol is next; then it is consumed.
    fn takes(&mut self, symbol: char) -> bool {
        let found = self.tokens.get(self.at) == Some(&Token::Symbol(symbol));
        self.at += usize::from(found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> Box<Node> {
        Box::new(Node::Id(name.to_owned()))
    }

    #[test]
    fn products_bind_tighter_than_sums_and_from_the_left() {
        let product = Node::Binary(Operator::Multiply, id("b"), id("c"));
        assert_eq!(parse("a + b * c").unwrap(), Node::Binary(Operator::Add, id("a"), Box::new(product)));
        let left = Node::Binary(Operator::Subtract, id("a"), id("b"));
        assert_eq!(parse("a - b - c").unwrap(), Node::Binary(Operator::Subtract, Box::new(left), id("c")));
    }

    #[test]
    fn calls_take_lists_numbers_and_texts() {
        let list = Node::List(vec![Node::Id("a".into()), Node::Negative(id("b"))]);
        assert_eq!(parse("MAX([a, -b])").unwrap(), Node::Call("MAX".into(), vec![list]));
        let metrics = Node::Call("METRICS".into(), vec![Node::Text("d".into())]);
        assert_eq!(parse("METRICS(\"d\")").unwrap(), metrics);
        assert_eq!(parse("METRICS('d')").unwrap(), metrics);
    }

    #[test]
    fn malformed_expressions_are_errors() {
        for (expression, expected) in [
            ("clicks +", "ends too early"),
            ("clicks impressions", "unexpected text"),
            ("(clicks", "parenthesis is not closed"),
            ("'a", "quote is not closed"),
            ("FILL(clicks 0)", ") is missing"),
            ("* 2", "expected a value, found *"),
            ("clicks > 1", "> is not supported"),
            ("1.2.3", "1.2.3 is not a number"),
        ] {
            let message = format!("{:#}", parse(expression).unwrap_err());
            assert!(message.contains(expected), "{expression}: {message}");
        }
    }
}
