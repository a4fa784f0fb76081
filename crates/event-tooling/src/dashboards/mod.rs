//! The parts of `stacks/dashboards.yaml` for each type: its rows in the widgets of all types, and widgets of its own.
//!
//! Each type is named. `SEARCH` would find new types automatically, but it needs double quotes around a reference, and the
//! transform that writes the bodies doesn't escape inserted values.

use event_types::EventType;

use crate::markers::{self, MarkerError};
use crate::template::fill;
use crate::words::{capitalised, plural};
use crate::yaml::scalar;

/// The file.
pub const PATH: &str = "stacks/dashboards.yaml";

/// The rows of each type in widgets of all types: `=== <name of the part>`, then the rows of a type.
const ROWS: &str = include_str!("rows.yaml");

/// The widgets of a type on the real-time dashboard: 24 columns.
const REAL_TIME: &str = include_str!("real-time.yaml");
const REAL_TIME_PART: &str = "real time of event types";

/// The widget of a type's ledger: 12 columns.
const LEDGER: &str = include_str!("ledger.yaml");
const LEDGER_PART: &str = "ledgers of event types";

/// The rows of each of these widgets.
const HEIGHT: usize = 6;

/// Colours of the example's types.
const COLORS_OF_ADS: [(&str, &str); 2] = [("impressions", "#1f77b4"), ("clicks", "#2ca02c")];

/// Colours of other types, in turn. No row that is written by hand has one of them.
const COLORS: [&str; 8] = ["#17becf", "#bcbd22", "#e377c2", "#8c564b", "#ff7f0e", "#393b79", "#637939", "#843c39"];

/// The new text of the file, from its present text.
///
/// # Errors
/// When the comments around a part are missing.
pub fn text(types: &[EventType], present: &str) -> Result<String, MarkerError> {
    let mut out = present.to_owned();
    for section in ROWS.split("=== ").skip(1) {
        let (name, rows) = section.split_once('\n').unwrap_or((section, ""));
        let rows: String = types.iter().map(|event_type| fill_for(event_type, types, rows, &[])).collect();
        out = markers::replace(&out, &format!("{name} of event types"), &rows)?;
    }
    out = markers::replace(&out, "logs of event types", &logs(types))?;

    let by_hand = above(&out, REAL_TIME_PART);
    let others = types.iter().filter(|event_type| !shows(&by_hand, event_type));
    let first = bottom(&by_hand);
    let widgets: String = others
        .enumerate()
        .map(|(index, event_type)| {
            fill_for(event_type, types, REAL_TIME, &[("y", &(first + HEIGHT * index).to_string())])
        })
        .collect();
    out = markers::replace(&out, REAL_TIME_PART, &widgets)?;

    let first = bottom(&above(&out, LEDGER_PART));
    let widgets: String = types
        .iter()
        .enumerate()
        .map(|(index, event_type)| {
            let (x, y) = (12 * (index % 2), first + HEIGHT * (index / 2));
            fill_for(event_type, types, LEDGER, &[("x", &x.to_string()), ("y", &y.to_string())])
        })
        .collect();
    markers::replace(&out, LEDGER_PART, &widgets)
}

fn fill_for(event_type: &EventType, types: &[EventType], template: &str, position: &[(&str, &str)]) -> String {
    let words = plural(event_type);
    let kebab = event_type.kebab_case();
    let values: [(&str, &str); 8] = [
        ("Pascal", &event_type.pascal_case()),
        ("type", &event_type.name),
        ("key", &scalar(&event_type.name)),
        ("kebab", &kebab),
        ("plural", &words),
        ("Plural", &capitalised(&words)),
        ("label", &scalar(&capitalised(&words))),
        ("color", color(event_type, types)),
    ];
    fill(template, &[&values, position].concat())
}

fn color(event_type: &EventType, types: &[EventType]) -> &'static str {
    let of_ads = |name: &str| COLORS_OF_ADS.iter().find(|(known, _)| *known == name).map(|(_, color)| *color);
    of_ads(&event_type.name).unwrap_or_else(|| {
        let others = types.iter().filter(|other| of_ads(&other.name).is_none());
        COLORS[others.take_while(|other| other.name < event_type.name).count() % COLORS.len()]
    })
}

/// The query for cold starts. It can't contain comments, so all of it is one part.
fn logs(types: &[EventType]) -> String {
    let functions = types.iter().map(|event_type| format!("capture-{}", event_type.kebab_case()));
    let functions = functions.chain(["ad-traffic", "metrics-sink"].map(str::to_owned));
    let sources: Vec<String> =
        functions.map(|function| format!("SOURCE '/aws/lambda/${{StackName}}-{function}'\n")).collect();
    format!(
        "query: !Sub >-\n  {}  | filter type = 'platform.report'\n  | stats count(record.metrics.initDurationMs) as cold_starts, \
         max(record.metrics.initDurationMs) as longest_ms by bin(5m)\n",
        sources.join("  | ")
    )
}

/// The text of a dashboard above one of its parts. Empty without that part.
fn above(text: &str, part: &str) -> String {
    let Some((before, _)) = text.split_once(&format!("# begin: {part}\n")) else { return String::new() };
    // A resource begins with a key after two blanks.
    let resource = before.match_indices("\n  ").filter(|(at, _)| !before[at + 3..].starts_with([' ', '#'])).last();
    before[resource.map_or(0, |(at, _)| at)..].to_owned()
}

/// Whether the text has a row with the events of this type.
fn shows(text: &str, event_type: &EventType) -> bool {
    text.contains(&format!("[!Ref MetricNamespace, {}, Stack,", event_type.pascal_case()))
}

/// The first row of the grid below all widgets of the text.
fn bottom(text: &str) -> usize {
    let (mut y, mut bottom) = (0, 0);
    for line in text.lines().map(str::trim) {
        let number = |key: &str| line.strip_prefix(key).and_then(|number| number.trim().parse::<usize>().ok());
        if let Some(row) = number("\"y\":") {
            y = row;
        } else if let Some(height) = number("height:") {
            bottom = bottom.max(y + height);
        }
    }
    bottom
}
