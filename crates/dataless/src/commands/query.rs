//! `query`: SQL over the lake.

use std::io::{IsTerminal, stdout};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::cli::{Format, Query};
use crate::local::stack::Output;
use crate::local::warehouse::Warehouse;
use crate::outcome::Outcome;
use crate::ui::{counted, note, step};
use crate::workspace::Workspace;

/// The most rows on a terminal.
const ROWS_ON_TERMINAL: u64 = 50;

/// The output of `glue/local/query.py --most`.
#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Answer {
    text: String,
    /// Rows that are not in the text.
    more: u64,
    /// Comparisons that can match no row.
    warnings: Vec<String>,
}

pub fn run(workspace: &Workspace, options: &Query) -> Result<Outcome> {
    let warehouse = Warehouse::running(workspace)?;
    let spark = warehouse.spark(workspace);
    let format = match options.format {
        Format::Table => "table",
        Format::Csv => "csv",
        Format::Json => "json",
    };
    let database = warehouse.stack.output(Output::GlueDatabase)?;
    let most = most(options.all, stdout().is_terminal()).to_string();
    let args = ["--database", database, "--format", format, "--most", &most, "--sql", &options.sql];
    let (printed, _) = step("query", || spark.query(&args), |_| String::new())?;
    let answer: Answer = serde_json::from_str(&printed).context("failed to read the answer to the query")?;
    out!("{}", answer.text);
    notes(&answer).iter().for_each(|text| note(text));
    Ok(Outcome::Done)
}

/// The most rows to print; 0 for all.
const fn most(all: bool, terminal: bool) -> u64 {
    if terminal && !all { ROWS_ON_TERMINAL } else { 0 }
}

/// The lines on standard error beside the rows.
fn notes(answer: &Answer) -> Vec<String> {
    let more = (answer.more > 0)
        .then(|| format!("{} more: --all prints them, and so does a pipe or a file", counted(answer.more, "row")));
    answer.warnings.iter().map(|warning| format!("warning: {warning}")).chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_gets_a_limit_unless_all_rows_are_requested() {
        assert_eq!([most(false, true), most(true, true), most(false, false), most(true, false)], [50, 0, 0, 0]);
    }

    #[test]
    fn omitted_rows_and_comparisons_that_never_match_are_reported() {
        let answer = |text| notes(&serde_json::from_str(text).unwrap());
        assert!(answer(r#"{"text": "n\n1\n", "more": 0, "warnings": []}"#).is_empty());
        assert_eq!(
            answer(r#"{"text": "", "more": 829950, "warnings": ["day = '1': day has 2 digits"]}"#),
            [
                "warning: day = '1': day has 2 digits",
                "829,950 rows more: --all prints them, and so does a pipe or a file"
            ]
        );
        assert!(answer(r#"{"text": "", "more": 1, "warnings": []}"#)[0].starts_with("1 row more:"));
    }
}
