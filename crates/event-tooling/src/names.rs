//! Names that a type can't have.

use event_types::{EventType, TAKEN_BY_EVENTS};

/// Names of other tables and metrics.
const TAKEN: [&str; 9] = [
    "ad_traffic",
    "advertising",
    "dataless",
    "ledger",
    "lock",
    "metrics",
    "rejected",
    "sink_failures",
    "uncounted_events",
];

/// Routes of the API that are not those of event types.
const ROUTES: [&str; 1] = ["traffic"];

/// Prefixes of raw tables, and of metrics of malformed lines.
const TAKEN_PREFIXES: [&str; 2] = ["raw_", "malformed_"];

/// Reserved words of SQL in Athena, Spark, Hive or Redshift: every query on such a table would need quotes.
const SQL: &str = "\
    add all alter analyze and any array as asc between both by case cast column columns constraint \
    create cross cube current cursor database date deallocate default delete desc describe distinct drop \
    else end escape except execute exists explain external extract false fetch filter for foreign from \
    full function grant group grouping having if in inner insert intersect interval into is join lateral \
    left like limit local macro map merge more natural none not null of offset on or order out outer \
    over partition percent preceding prepare primary procedure range reads references revoke right \
    rollback rollup row rows select session set smallint some start struct table tag then time timestamp \
    to top trigger true truncate union unique unnest update user using values view when where window \
    with";

/// Why a type can't have this name next to the others, if it can't.
#[must_use]
pub fn problem(name: &str, others: &[EventType]) -> Option<String> {
    if let Err(error) = event_types::check_name(name) {
        return Some(error.problem);
    }
    if SQL.split(' ').any(|word| word == name) {
        return Some(format!("`{name}` is a word of SQL: use a plural, such as `{name}s`, or another name"));
    }
    if TAKEN.contains(&name)
        || TAKEN_BY_EVENTS.contains(&name)
        || ROUTES.contains(&name)
        || TAKEN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    {
        return Some(format!("`{name}` is the name of something else in the warehouse: use another name"));
    }
    let pascal = |name: &str| name.replace('_', "");
    others.iter().find(|other| pascal(&other.name) == pascal(name)).map(|other| {
        if other.name == name {
            format!("there is an event type `{name}`")
        } else {
            format!("`{name}` and `{}` would have the same names in the templates: use another name", other.name)
        }
    })
}
