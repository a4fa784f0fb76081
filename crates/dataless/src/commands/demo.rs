//! `demo`: sends a day of events through every stage and checks the books.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Days, NaiveDate, Utc};
use console::style;
use event_types::EventType;

use super::jobs;
use super::set_up::{self, Prepared};
use crate::cli::Demo;
use crate::local::aws::Aws;
use crate::local::books::{self, Books, Counts, Entry, LakeBooks, Traffic};
use crate::local::build::LOADGEN;
use crate::local::load::{self, Load, LoadReport};
use crate::local::spark::{self, Spark};
use crate::local::stack::{Profile, Stack};
use crate::local::warehouse::Servers;
use crate::outcome::Outcome;
use crate::process::check_interrupted;
use crate::ui::{note, percent, rate, step, thousands};
use crate::workspace::{Instance, InstanceName, Workspace};

const CLICKTHROUGH: f64 = 0.3;

/// The types that every demo sends, those of the simulation.
const SIMULATED: [&str; 2] = ["impressions", "clicks"];

pub fn run(workspace: &Workspace, options: &Demo) -> Result<Outcome> {
    let started = Instant::now();
    let types = event_types(&workspace.path("events"), &options.events)?;
    let instance = workspace.instance(InstanceName::Demo);
    let _lock = instance.recreate()?;
    let mut timings = Timings::default();

    let profile = if options.release { Profile::Release } else { Profile::Local };
    let start = |tools: &_| set_up::start_emulator(workspace, tools, &instance, options.port);
    let (prepared, (mut servers, elapsed)) = set_up::prepare(workspace, &instance, start)?;
    timings.add("start", elapsed);
    // A delivery builds the functions itself.
    if !options.delivered {
        set_up::stage(workspace, &instance, &prepared, profile)?;
    }
    timings.add("setup", started.elapsed());

    let session = Session { workspace, options, instance: &instance, prepared: &prepared, types: &types };
    let result = session.run(&servers, profile, &mut timings);
    let (mut books, entries) = servers.explain(result)?;
    drop(servers);
    timings.add("total", started.elapsed());
    books.seconds = timings.0;

    let report = serde_json::to_string_pretty(&books)?;
    std::fs::write(instance.dir().join("report.json"), &report).context("failed to write the report")?;
    if options.json {
        outln!("{report}");
    } else {
        print_books(&books, &entries);
    }
    Ok(books.balanced.into())
}

/// The seconds of each stage, to one decimal.
#[derive(Default)]
struct Timings(BTreeMap<String, f64>);

impl Timings {
    fn add(&mut self, stage: &str, elapsed: Duration) {
        self.0.insert(stage.to_owned(), (elapsed.as_secs_f64() * 10.0).round() / 10.0);
    }
}

/// A demo whose emulator is running.
struct Session<'a> {
    workspace: &'a Workspace,
    options: &'a Demo,
    instance: &'a Instance,
    prepared: &'a Prepared,
    types: &'a [EventType],
}

impl Session<'_> {
    /// Deploys, sends the events, runs the batch, and counts what is everywhere.
    fn run(&self, servers: &Servers, profile: Profile, timings: &mut Timings) -> Result<(Books, Vec<Entry>)> {
        let since = Utc::now();
        let (stack, elapsed) = self.deploy(servers, profile)?;
        timings.add("deploy", elapsed);
        let today = Utc::now().date_naive();
        let day = today - Days::new(1);
        let (accepted, elapsed) = self.send(&stack, day)?;
        timings.add("load", elapsed);
        // The events are yesterday's and arrived today. So the ETL of today loads them, and the derived tables of yesterday
        // change.
        let started = Instant::now();
        let aws = Aws::new(&servers.endpoint(), &self.prepared.tools, self.instance.logs());
        jobs::execute(&aws, &stack, day, today)?;
        timings.add("batch", started.elapsed());
        self.count(&aws, &stack, (day, since), accepted, timings)
    }

    /// Deploys the stack while Spark starts.
    fn deploy(&self, servers: &Servers, profile: Profile) -> Result<(Stack, Duration)> {
        let Self { workspace, options, instance, prepared: Prepared { tools, .. }, .. } = self;
        let target = servers.target(profile);
        let deploy = || {
            if options.delivered {
                set_up::deliver_to(workspace, tools, instance, target)
            } else {
                set_up::deploy_to(workspace, tools, instance, target)
            }
        };
        let others: u64 = options.events.iter().map(|(_, count)| count).sum();
        let events = (options.impressions as f64 * (1.0 + CLICKTHROUGH)) as u64 + others;
        let warm = || spark::warm(workspace, tools, instance, &servers.endpoint(), events);
        alongside(warm, deploy)
    }

    /// Sends the events of a day, and returns the acknowledged ones.
    fn send(&self, stack: &Stack, day: NaiveDate) -> Result<(Counts, Duration)> {
        let load = Load {
            day,
            impressions: self.options.impressions,
            events: &self.options.events,
            seed: self.options.seed,
            clickthrough: CLICKTHROUGH,
        };
        let loadgen = self.prepared.programs.path(LOADGEN)?;
        let send = || Ok(acknowledged(&load::run(self.workspace, self.instance, loadgen, stack, load)?));
        step("send events", send, |accepted| listed(accepted) + " accepted")
    }

    /// Counts the events of a day, which were sent since a time, wherever they are, and compares.
    fn count(
        &self,
        aws: &Aws,
        stack: &Stack,
        (day, since): (NaiveDate, DateTime<Utc>),
        accepted: Counts,
        timings: &mut Timings,
    ) -> Result<(Books, Vec<Entry>)> {
        let spark = Spark::new(self.workspace, &self.prepared.tools, self.instance, stack);
        let tables: Vec<String> = self.types.iter().map(|found| format!("{}/{}", found.group, found.name)).collect();
        let count = || {
            let lake = books::count_lake(&spark, day, &tables)?;
            Ok((lake, books::count_raw(&spark.data()?, accepted.keys())?))
        };
        let ((lake, raw), elapsed) = step("count what is in S3", count, |(lake, _)| listed(&lake.lake) + " rows")?;
        timings.add("count", elapsed);
        let check = || books::check_traffic(aws, stack, day, &lake.ad_traffic);
        let (traffic, elapsed) =
            step("query the traffic endpoint", check, |traffic| format!("{} ads", thousands(traffic.checked as u64)))?;
        timings.add("traffic", elapsed);
        let read = || wait_for_metrics(aws, stack, since, self.types, &accepted);
        let (realtime, elapsed) = step("read the real-time metrics", read, listed)?;
        timings.add("realtime", elapsed);
        Ok(compare(day, accepted, raw, lake, traffic, realtime))
    }
}

/// Compares all counts of a day.
fn compare(
    day: NaiveDate,
    accepted: Counts,
    raw: Counts,
    lake: LakeBooks,
    traffic: Traffic,
    realtime: Counts,
) -> (Books, Vec<Entry>) {
    let mut books = Books {
        day,
        accepted,
        raw,
        ledger: lake.ledger,
        lake: lake.lake,
        repeats: lake.repeats,
        rejected: lake.rejected,
        late: lake.late,
        advertising: lake.advertising,
        traffic,
        realtime,
        clickthrough_rate: rate(lake.advertising.clicked, lake.advertising.rows),
        balanced: false,
        seconds: BTreeMap::new(),
    };
    let entries = books::audit(&books, &lake.ad_traffic);
    books.balanced = entries.iter().all(|entry| entry.equal);
    (books, entries)
}

/// Does `work` while `preparation` runs in another thread. The preparation only saves time; if it fails, `work` will fail
/// for the same reason.
fn alongside<T>(preparation: impl FnOnce() -> Result<()> + Send, work: impl FnOnce() -> Result<T>) -> Result<T> {
    std::thread::scope(|scope| {
        let preparation = scope.spawn(preparation);
        let done = work();
        let _ = preparation.join();
        done
    })
}

/// Waits for metrics, which may arrive a little after the events. After the limit, returns what there is.
fn wait_for_metrics(
    aws: &Aws,
    stack: &Stack,
    since: DateTime<Utc>,
    types: &[EventType],
    expected: &Counts,
) -> Result<Counts> {
    let started = Instant::now();
    loop {
        let sums = books::sum_realtime(aws, stack, since, types)?;
        if sums == *expected || started.elapsed() > books::METRICS_LIMIT {
            return Ok(sums);
        }
        check_interrupted()?;
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// The types that the demo sends, with their schemas.
fn event_types(schemas: &Path, wanted: &[(String, u64)]) -> Result<Vec<EventType>> {
    let mut types = event_types::read_all(schemas)?;
    for (index, (name, _)) in wanted.iter().enumerate() {
        if SIMULATED.contains(&name.as_str()) || wanted[..index].iter().any(|(before, _)| before == name) {
            bail!("--events: {name} is already sent");
        }
        if !types.iter().any(|known| known.name == *name) {
            let known: Vec<_> = types.iter().map(|known| known.name.as_str()).collect();
            bail!("--events: could not find events/{name}.json; the types are {}", known.join(", "));
        }
    }
    types
        .retain(|found| SIMULATED.contains(&found.name.as_str()) || wanted.iter().any(|(name, _)| *name == found.name));
    Ok(types)
}

fn acknowledged(sent: &LoadReport) -> Counts {
    sent.events.iter().map(|(name, counts)| (name.clone(), counts.acknowledged)).collect()
}

/// `1,000 clicks, 3,000 impressions`.
fn listed(counts: &Counts) -> String {
    counts.iter().map(|(name, count)| format!("{} {name}", thousands(*count))).collect::<Vec<_>>().join(", ")
}

fn print_books(books: &Books, entries: &[Entry]) {
    let types = books.types().into_iter().collect::<Vec<_>>().join(" + ");
    outln!("\n{}: {types}", style(format!("The books of {}", books.day)).bold());
    for entry in entries {
        let mark = if entry.equal { style("✓").green() } else { style("✗").red() };
        let (left, right) = (&entry.left, &entry.right);
        let sign = if entry.equal { "=" } else { "≠" };
        outln!("{mark} {:<38} {:>17} {:<15} {sign} {:>17} {}", entry.title, left.0, left.1, right.0, right.1);
    }
    for (name, counts) in [("repeats", &books.repeats), ("rejected", &books.rejected), ("late", &books.late)] {
        let counts = counts.values().map(u64::to_string).collect::<Vec<_>>().join(" + ");
        outln!("  {name:<38} {:>17} {counts}", "");
    }
    outln!("  {:<38} {:>17} {}", "clickthrough rate", "", percent(books.clickthrough_rate));
    let total = books.seconds.get("total").copied().unwrap_or_default();
    let verdict = if books.balanced {
        style(format!("The books balance. {total:.0} seconds in all.")).green().bold()
    } else {
        style("The books do NOT balance.".to_owned()).red().bold()
    };
    outln!("\n{verdict}");
    note("As JSON: .dataless/demo/report.json. To start a warehouse that keeps running: cargo dataless up");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_sends_the_simulated_types_and_the_requested_ones() {
        let events = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events");
        let schemas = tempfile::tempdir().unwrap();
        for name in ["impressions", "clicks"] {
            std::fs::copy(events.join(name).with_extension("json"), schemas.path().join(format!("{name}.json")))
                .unwrap();
        }
        let views = std::fs::read_to_string(events.join("impressions.json")).unwrap();
        for name in ["views", "visits"] {
            let schema = views.replace(r#""x-group": "ad""#, r#""x-group": "web""#);
            std::fs::write(schemas.path().join(format!("{name}.json")), schema).unwrap();
        }
        let types = |wanted: &[&str]| -> Result<Vec<String>> {
            let wanted: Vec<_> = wanted.iter().map(|name| ((*name).to_owned(), 1)).collect();
            let types = event_types(schemas.path(), &wanted)?;
            Ok(types.into_iter().map(|found| format!("{}/{}", found.group, found.name)).collect())
        };
        assert_eq!(types(&[]).unwrap(), ["ad/clicks", "ad/impressions"]);
        assert_eq!(types(&["visits"]).unwrap(), ["ad/clicks", "ad/impressions", "web/visits"]);
        for (wanted, expected) in [
            (&["clicks"][..], "clicks is already sent"),
            (&["views", "views"], "views is already sent"),
            (&["orders"], "could not find events/orders.json; the types are clicks, impressions, views, visits"),
        ] {
            let error = types(wanted).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
