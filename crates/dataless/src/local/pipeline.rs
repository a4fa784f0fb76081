//! Runs the deployed state machine of the nightly batch for a range of days and follows its steps. A long range runs in
//! parts, each an execution of its own, which are followed too.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::local::aws::Aws;
use crate::local::stack::{Output, Stack};
use crate::process::check_interrupted;

/// How often an execution is polled.
const POLL: Duration = Duration::from_millis(300);

/// The key in a part's input that names the execution which started it.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-nested-workflows.html>
const STARTED_BY: &str = "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID";

/// A run of a Glue job, as Step Functions reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRun {
    pub job: String,
    pub day: String,
    /// Its duration.
    pub seconds: u64,
    /// The error, if it failed. The state machine may retry it.
    pub error: Option<String>,
}

/// Calls an action of Step Functions by its name.
type States<'a> = &'a dyn Fn(&str, &Value) -> Result<Value>;

/// An execution that was started.
#[derive(Clone, Debug)]
pub struct Execution {
    pub arn: String,
    /// Its state machine.
    machine: String,
}

#[derive(Debug, Deserialize)]
struct History {
    events: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct Described {
    status: String,
    #[serde(default)]
    input: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    cause: Option<String>,
}

impl Execution {
    /// Starts an execution for a range of days.
    pub fn start(aws: &Aws, stack: &Stack, first: NaiveDate, last: NaiveDate) -> Result<Self> {
        let input = json!({ "from": first, "to": last }).to_string();
        let machine = stack.output(Output::DailyPipeline)?.to_owned();
        let answer = call(aws, "StartExecution", &json!({ "stateMachineArn": machine, "input": input }))?;
        let arn = answer["executionArn"].as_str().context("the answer of StartExecution has no ARN")?;
        Ok(Self { arn: arn.to_owned(), machine })
    }

    /// Waits for its end and shows each run of a job as it ends, including those of its parts. Ctrl-C stops all of them.
    pub fn follow(&self, aws: &Aws, show: impl FnMut(&JobRun)) -> Result<()> {
        self.follow_by(&|name, request| call(aws, name, request), show)
    }

    fn follow_by(&self, states: States<'_>, mut show: impl FnMut(&JobRun)) -> Result<()> {
        let mut parts = Parts { of: self, known: HashSet::from([self.arn.clone()]), found: Vec::new() };
        let mut whole = Watched::new(&self.arn);
        loop {
            if let Err(interrupted) = check_interrupted() {
                for arn in parts.found.iter().map(|part| &part.arn).chain([&self.arn]) {
                    let request = json!({ "executionArn": arn, "cause": "stopped by its user" });
                    // Those that have ended can't be stopped.
                    let _ = states("StopExecution", &request);
                }
                return Err(interrupted);
            }
            // Before its history is read, so that the history of an ended execution is complete.
            let described = describe(states, &self.arn)?;
            whole.advance(states, &mut show)?;
            if whole.started > parts.found.len() {
                parts.find(states)?;
            }
            for part in &mut parts.found {
                part.advance(states, &mut show)?;
            }
            match described.status.as_str() {
                "RUNNING" => std::thread::sleep(POLL),
                "SUCCEEDED" => return Ok(()),
                _ => return parts.failed(states, &described),
            }
        }
    }
}

/// An execution whose history is read as it grows.
#[derive(Debug)]
struct Watched {
    arn: String,
    /// The number of known events of its history.
    seen: usize,
    /// The number of executions that it has started, according to them.
    started: usize,
    /// Whether the history is complete.
    is_over: bool,
}

impl Watched {
    fn new(arn: &str) -> Self {
        Self { arn: arn.to_owned(), seen: 0, started: 0, is_over: false }
    }

    /// Shows the runs of jobs that ended since the last call.
    fn advance(&mut self, states: States<'_>, show: &mut impl FnMut(&JobRun)) -> Result<()> {
        if self.is_over {
            return Ok(());
        }
        let events = events(states, &self.arn)?;
        for event in events.iter().skip(self.seen) {
            if let Some(run) = job_run(event) {
                show(&run);
            }
            self.started += usize::from(starts_execution(event));
            self.is_over |= ends_execution(event);
        }
        self.seen = events.len();
        Ok(())
    }
}

/// The executions that an execution has started.
#[derive(Debug)]
struct Parts<'a> {
    of: &'a Execution,
    /// All executions that were checked, whether they are parts or not.
    known: HashSet<String>,
    found: Vec<Watched>,
}

impl Parts<'_> {
    /// Checks the executions that were started since the last call.
    fn find(&mut self, states: States<'_>) -> Result<()> {
        // The newest 1,000. Fewer start between two calls.
        let request = json!({ "stateMachineArn": self.of.machine, "maxResults": 1000 });
        let answer = states("ListExecutions", &request)?;
        let listed = answer["executions"].as_array().context("failed to read the list of executions")?;
        for arn in listed.iter().rev().filter_map(|listed| listed["executionArn"].as_str()) {
            if !self.known.insert(arn.to_owned()) {
                continue;
            }
            let input: Value = serde_json::from_str(&describe(states, arn)?.input).unwrap_or_default();
            if input[STARTED_BY] == *self.of.arn {
                self.found.push(Watched::new(arn));
            }
        }
        Ok(())
    }

    /// Fails with the error of the failed part, which is more precise, or else with that of the whole.
    fn failed(&self, states: States<'_>, whole: &Described) -> Result<()> {
        for Watched { arn, .. } in &self.found {
            let part = describe(states, arn)?;
            if !["RUNNING", "SUCCEEDED"].contains(&part.status.as_str()) {
                bail!("{}\nIt is part of {}", part.failure(arn), self.of.arn);
            }
        }
        bail!(whole.failure(&self.of.arn))
    }
}

impl Described {
    fn failure(&self, arn: &str) -> String {
        let status = self.status.to_lowercase().replace('_', " ");
        let error = self.error.as_deref().unwrap_or_default();
        format!("the execution {arn} {status}: {error}\n{}", readable(self.cause.as_deref().unwrap_or_default()))
    }
}

fn call(aws: &Aws, name: &str, request: &Value) -> Result<Value> {
    aws.call("states", &format!("AWSStepFunctions.{name}"), request)
}

fn describe(states: States<'_>, arn: &str) -> Result<Described> {
    let answer = states("DescribeExecution", &json!({ "executionArn": arn }))?;
    serde_json::from_value(answer).context("failed to read the execution")
}

fn events(states: States<'_>, arn: &str) -> Result<Vec<Value>> {
    const MOST: u32 = 1000;
    let mut request = json!({ "executionArn": arn, "maxResults": MOST });
    let mut events = Vec::new();
    loop {
        let mut answer = states("GetExecutionHistory", &request)?;
        let next = answer["nextToken"].take();
        let history: History = serde_json::from_value(answer).context("failed to read the history")?;
        events.extend(history.events);
        if next.is_null() {
            return Ok(events);
        }
        request["nextToken"] = next;
    }
}

/// Whether an event is the start of a task that starts another execution.
fn ends_execution(event: &Value) -> bool {
    let ends = ["ExecutionSucceeded", "ExecutionFailed", "ExecutionAborted", "ExecutionTimedOut"];
    event["type"].as_str().is_some_and(|kind| ends.contains(&kind))
}

fn starts_execution(event: &Value) -> bool {
    let resource = event["taskScheduledEventDetails"]["resource"].as_str().unwrap_or_default();
    event["type"] == "TaskScheduled" && resource.contains("startExecution")
}

/// The run of a job whose end this event reports.
fn job_run(event: &Value) -> Option<JobRun> {
    let (text, failed) = match event["type"].as_str()? {
        "TaskSucceeded" => (event["taskSucceededEventDetails"]["output"].as_str()?, false),
        "TaskFailed" => (event["taskFailedEventDetails"]["cause"].as_str()?, true),
        _ => return None,
    };
    let run = glue_run(text)?;
    Some(JobRun {
        job: run["JobName"].as_str()?.to_owned(),
        day: run["Arguments"]["--day"].as_str().unwrap_or_default().to_owned(),
        seconds: run["ExecutionTime"].as_u64().unwrap_or_default(),
        error: failed.then(|| run["ErrorMessage"].as_str().unwrap_or("it failed").to_owned()),
    })
}

/// The run of a Glue job as JSON. Lambda, which replaces Glue here, passes a failed run on as the message of an error.
fn glue_run(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    match value["errorMessage"].as_str() {
        Some(message) => serde_json::from_str(message).ok(),
        None => Some(value),
    }
}

/// The cause of a failure in readable form. It may be a run of a Glue job, or one run per line.
fn readable(cause: &str) -> String {
    cause.lines().map(readable_run).collect::<Vec<_>>().join("\n")
}

fn readable_run(cause: &str) -> String {
    let run = glue_run(cause).unwrap_or_default();
    match (run["JobName"].as_str(), run["ErrorMessage"].as_str()) {
        (Some(job), Some(message)) => {
            let day = run["Arguments"]["--day"].as_str().map(|day| format!(" for {day}")).unwrap_or_default();
            format!("the job {job} failed{day}: {message}")
        }
        _ => cause.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn runs_of_jobs_are_read_from_the_history() {
        let output =
            r#"{"JobName":"wh-etl","JobRunState":"SUCCEEDED","ExecutionTime":7,"Arguments":{"--day":"2026-11-20"}}"#;
        let event = json!({"type": "TaskSucceeded", "taskSucceededEventDetails": {"output": output, "resource": "r"}});
        let expected = JobRun { job: "wh-etl".into(), day: "2026-11-20".into(), seconds: 7, error: None };
        assert_eq!(job_run(&event), Some(expected));

        let cause = r#"{"JobName":"wh-etl","JobRunState":"FAILED","ErrorMessage":"no space","Arguments":{"--day":"2026-11-20"}}"#;
        let event =
            json!({"type": "TaskFailed", "taskFailedEventDetails": {"error": "States.TaskFailed", "cause": cause}});
        assert_eq!(job_run(&event).unwrap().error.as_deref(), Some("no space"));
        assert_eq!(readable(cause), "the job wh-etl failed for 2026-11-20: no space");

        let wrapped = json!({"errorMessage": cause, "errorType": "States.TaskFailed"}).to_string();
        assert_eq!(readable(&wrapped), readable(cause));
        let two = format!("{cause}\n{wrapped}");
        assert_eq!(readable(&two), [readable(cause), readable(cause)].join("\n"));

        assert!(!starts_execution(&event));

        // Other tasks and events are not runs of jobs.
        let event = json!({"type": "TaskSucceeded", "taskSucceededEventDetails": {"output": "{\"MessageId\":\"1\"}"}});
        assert_eq!(job_run(&event), None);
        assert_eq!(job_run(&json!({"type": "PassStateEntered"})), None);
        assert_eq!(readable("not JSON"), "not JSON");
    }

    const WHOLE: &str = "arn:aws:states:us-east-1:000000000000:execution:wh-daily:whole";
    const PARTS: [&str; 2] = [
        "arn:aws:states:us-east-1:000000000000:execution:wh-daily:january",
        "arn:aws:states:us-east-1:000000000000:execution:wh-daily:february",
    ];
    const OTHER: &str = "arn:aws:states:us-east-1:000000000000:execution:wh-daily:other";

    /// A fake Step Functions with an execution of two sequential parts, and an unrelated execution. Each poll of the
    /// whole execution shows one more part that has ended, and then the end of the whole.
    struct Emulator {
        looks: usize,
        second: &'static str,
    }

    impl Emulator {
        fn answer(&mut self, action: &str, request: &Value) -> Value {
            let arn = request["executionArn"].as_str().unwrap_or_default();
            match action {
                "DescribeExecution" if arn == WHOLE => {
                    self.looks += 1;
                    let status = if self.looks < 3 { "RUNNING" } else { self.second };
                    json!({"status": status, "input": "{}", "error": "States.TaskFailed", "cause": "a part failed"})
                }
                "DescribeExecution" => {
                    let by = if arn == OTHER { OTHER } else { WHOLE };
                    let status = if arn == PARTS[1] { self.second } else { "SUCCEEDED" };
                    let cause = r#"{"JobName":"wh-etl","ErrorMessage":"no space","Arguments":{"--day":"2026-02-02"}}"#;
                    json!({"status": status, "input": json!({ STARTED_BY: by }).to_string(), "error": "States.TaskFailed", "cause": cause})
                }
                "ListExecutions" => {
                    // Newest first.
                    let parts = PARTS[..self.looks.min(2)].iter().rev();
                    let arns = parts.chain([&OTHER, &WHOLE]).map(|arn| json!({"executionArn": arn}));
                    json!({"executions": arns.collect::<Vec<_>>()})
                }
                "GetExecutionHistory" if arn == WHOLE => {
                    let resource = "arn:aws:states:::states:startExecution.sync:2";
                    let start = json!({"type": "TaskScheduled", "taskScheduledEventDetails": {"resource": resource}});
                    json!({"events": vec![start; self.looks.min(2)]})
                }
                "GetExecutionHistory" => {
                    let day = if arn == PARTS[0] { "2026-01-01" } else { "2026-02-02" };
                    let output =
                        json!({"JobName": "wh-etl", "ExecutionTime": 7, "Arguments": {"--day": day}}).to_string();
                    json!({"events": [{"type": "TaskSucceeded", "taskSucceededEventDetails": {"output": output}}]})
                }
                other => panic!("{other} is not expected"),
            }
        }
    }

    /// Follows the whole execution. Returns the days of the runs that were shown, and the result.
    fn follow(second: &'static str) -> (Vec<String>, Result<()>) {
        let emulator = RefCell::new(Emulator { looks: 0, second });
        let execution = Execution { arn: WHOLE.into(), machine: "wh-daily".into() };
        let mut days = Vec::new();
        let states = |name: &str, request: &Value| Ok(emulator.borrow_mut().answer(name, request));
        let end = execution.follow_by(&states, |run| days.push(run.day.clone()));
        (days, end)
    }

    #[test]
    fn the_runs_of_all_parts_are_shown_once_and_no_others() {
        let (days, end) = follow("SUCCEEDED");
        end.unwrap();
        assert_eq!(days, ["2026-01-01", "2026-02-02"]);
    }

    #[test]
    fn the_error_of_a_failed_part_is_the_error_of_the_whole() {
        for (status, words) in [("FAILED", "failed"), ("TIMED_OUT", "timed out"), ("ABORTED", "aborted")] {
            let (days, end) = follow(status);
            assert_eq!(days, ["2026-01-01", "2026-02-02"]);
            let error = end.unwrap_err().to_string();
            assert!(error.starts_with(&format!("the execution {} {words}: States.TaskFailed", PARTS[1])), "{error}");
            assert!(error.contains("the job wh-etl failed for 2026-02-02: no space"), "{error}");
            assert!(error.ends_with(&format!("It is part of {WHOLE}")), "{error}");
        }
    }
}
