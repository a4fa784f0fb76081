//! `traffic`: an ad's days from the endpoint.

use anyhow::Result;

use crate::cli::Traffic;
use crate::local::traffic::Client;
use crate::local::warehouse::Warehouse;
use crate::outcome::Outcome;
use crate::ui::{note, percent, thousands};
use crate::workspace::Workspace;

pub fn run(workspace: &Workspace, options: &Traffic) -> Result<Outcome> {
    let Warehouse { stack, .. } = Warehouse::running(workspace)?;
    let client = Client::new(stack.base_url()?);
    let (start, end) = (options.start.map(|day| day.to_string()), options.end.map(|day| day.to_string()));
    let mut page = None::<String>;
    let mut days = Vec::new();
    let (first, last) = loop {
        let parameters = [("start", start.as_deref()), ("end", end.as_deref()), ("page", page.as_deref())];
        let parameters: Vec<_> = parameters.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect();
        let answer = client.days(&options.ad, &parameters)?;
        days.extend(answer.days);
        page = answer.next;
        if page.is_none() {
            break (answer.start, answer.end);
        }
    };
    if options.json {
        outln!("{}", serde_json::to_string_pretty(&days)?);
        return Ok(Outcome::Done);
    }
    if days.is_empty() {
        note(&format!("no traffic of this ad from {first} to {last}: choose other days with --start and --end"));
        return Ok(Outcome::Done);
    }
    outln!("{:<12}{:>14}{:>14}{:>20}", "day", "impressions", "clicks", "clickthrough rate");
    for day in days {
        let (impressions, clicks) = (thousands(day.impressions), thousands(day.clicks));
        outln!("{:<12}{impressions:>14}{clicks:>14}{:>20}", day.day, percent(day.clickthrough_rate));
    }
    note(&format!("from {first} to {last}"));
    Ok(Outcome::Done)
}
