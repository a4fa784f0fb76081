//! What `SEARCH` looks for.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/search-expression-syntax.html>

use anyhow::{Context, Result, bail};

use super::body::Metric;

/// A search such as `{AWS/Athena,WorkGroup} WorkGroup="w" MetricName="ProcessedBytes"`. All its terms must hold: `OR`, `NOT`
/// and parentheses are not known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    pub namespace: String,
    dimensions: Vec<String>,
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    /// `MetricName`, the name of a dimension, or nothing: any of them.
    of: Option<String>,
    text: String,
    exact: bool,
}

impl Search {
    pub fn parse(text: &str) -> Result<Self> {
        let rest = text.trim().strip_prefix('{').context("a search begins with a schema in braces")?;
        let (schema, rest) = rest.split_once('}').context("the schema of a search has no end")?;
        let mut names = schema.split(',').map(|name| name.trim().trim_matches('"').to_owned());
        let namespace = names.next().filter(|name| !name.is_empty()).context("a search names no namespace")?;
        let mut dimensions: Vec<String> = names.collect();
        dimensions.sort();
        Ok(Self { namespace, dimensions, terms: terms(rest)? })
    }

    pub fn matches(&self, metric: &Metric) -> bool {
        let mut names: Vec<&String> = metric.dimensions.iter().map(|(name, _)| name).collect();
        names.sort();
        metric.namespace == self.namespace
            && names.into_iter().eq(&self.dimensions)
            && self.terms.iter().all(|term| term.matches(metric))
    }
}

impl Term {
    fn matches(&self, metric: &Metric) -> bool {
        let named = [("MetricName", metric.name.as_str())].into_iter();
        let mut named = named.chain(metric.dimensions.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        named.any(|(name, value)| {
            self.of.as_ref().is_none_or(|of| of == name)
                && if self.exact { value == self.text } else { contains(value, &self.text) }
        })
    }
}

fn contains(value: &str, part: &str) -> bool {
    value.to_lowercase().contains(&part.to_lowercase())
}

fn terms(text: &str) -> Result<Vec<Term>> {
    let mut terms = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c == '"' || c.is_whitespace()).unwrap_or(rest.len());
        let (of, mut value) = match rest.as_bytes().get(end) {
            Some(b'=') => (Some(rest[..end].to_owned()), &rest[end + 1..]),
            _ => (None, rest),
        };
        let exact = value.starts_with('"');
        let length = if exact {
            value = &value[1..];
            value.find('"').context("a quote of a search is not closed")?
        } else {
            value.find(char::is_whitespace).unwrap_or(value.len())
        };
        let found = &value[..length];
        if !exact && (["OR", "NOT"].contains(&found) || found.contains(['(', ')'])) {
            bail!("{found} in a search is not known here");
        }
        if exact || found != "AND" {
            terms.push(Term { of, text: found.to_owned(), exact });
        }
        rest = value[length..].trim_start_matches('"').trim_start();
    }
    Ok(terms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn athena(name: &str, workgroup: &str) -> Metric {
        Metric {
            namespace: "AWS/Athena".into(),
            name: name.into(),
            dimensions: vec![("WorkGroup".into(), workgroup.into()), ("QueryState".into(), "SUCCEEDED".into())],
        }
    }

    #[test]
    fn all_terms_must_hold() {
        let matches = |text: &str| Search::parse(text).unwrap().matches(&athena("ProcessedBytes", "dataless"));
        for text in [
            "{AWS/Athena,QueryState,WorkGroup}",
            "{AWS/Athena,WorkGroup,QueryState} WorkGroup=\"dataless\" MetricName=\"ProcessedBytes\"",
            "{\"AWS/Athena\",\"WorkGroup\",QueryState} processed AND QueryState=succeeded",
            "{AWS/Athena,QueryState,WorkGroup} \"dataless\"",
        ] {
            assert!(matches(text), "{text}");
        }
        for text in [
            "{AWS/Athena,WorkGroup}",
            "{AWS/Lambda,QueryState,WorkGroup}",
            "{AWS/Athena,QueryState,WorkGroup} WorkGroup=\"data\"",
            "{AWS/Athena,QueryState,WorkGroup} processed AND WorkGroup=other",
        ] {
            assert!(!matches(text), "{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (text, expected) in [
            ("AWS/Athena", "in braces"),
            ("{AWS/Athena", "no end"),
            ("{}", "no namespace"),
            ("{A} x OR y", "OR in a search"),
            ("{A} (x y)", "(x in a search"),
            ("{A} B=\"x", "not closed"),
        ] {
            let message = Search::parse(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
