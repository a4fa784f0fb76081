//! The deployed state machine of the nightly batch: an execution for a range of days, followed step by step.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::process::check_interrupted;
use crate::stage::aws::Aws;
use crate::stage::deploy::Stack;

/// How often an execution is looked at.
const POLL: Duration = Duration::from_millis(300);

/// A run of a Glue job, as Step Functions reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRun {
    pub job: String,
    pub day: String,
    /// Seconds it took.
    pub seconds: u64,
    /// What went wrong, if it failed. The state machine may try it again.
    pub error: Option<String>,
}

/// An execution that was started.
#[derive(Clone, Debug)]
pub struct Execution {
    pub arn: String,
}

#[derive(Debug, Deserialize)]
struct History {
    events: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct Described {
    status: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    cause: String,
}

impl Execution {
    /// Starts one for the days from the first to the last.
    pub fn start(aws: &Aws, stack: &Stack, first: NaiveDate, last: NaiveDate) -> Result<Self> {
        let input = json!({ "from": first, "to": last }).to_string();
        let request = json!({ "stateMachineArn": stack.output("DailyPipeline")?, "input": input });
        let answer = aws.call("states", "AWSStepFunctions.StartExecution", &request)?;
        let arn = answer["executionArn"].as_str().context("the execution that was started has no name")?;
        Ok(Self { arn: arn.to_owned() })
    }

    /// Waits for its end and shows each run of a job as it ends. Ctrl-C stops the execution.
    pub fn follow(&self, aws: &Aws, mut show: impl FnMut(&JobRun)) -> Result<()> {
        let mut seen = 0;
        loop {
            if let Err(interrupted) = check_interrupted() {
                let request = json!({ "executionArn": self.arn, "cause": "stopped by its user" });
                let _ = aws.call("states", "AWSStepFunctions.StopExecution", &request);
                return Err(interrupted);
            }
            // Asked first, so that what is new in the history of an execution that has ended is all there is.
            let described = self.describe(aws)?;
            let events = self.events(aws)?;
            for run in events.iter().skip(seen).filter_map(job_run) {
                show(&run);
            }
            seen = events.len();
            match described.status.as_str() {
                "RUNNING" => std::thread::sleep(POLL),
                "SUCCEEDED" => return Ok(()),
                status => bail!(
                    "the execution {} {}: {}\n{}",
                    self.arn,
                    status.to_lowercase().replace('_', " "),
                    described.error,
                    readable(&described.cause)
                ),
            }
        }
    }

    fn describe(&self, aws: &Aws) -> Result<Described> {
        let answer = aws.call("states", "AWSStepFunctions.DescribeExecution", &json!({ "executionArn": self.arn }))?;
        serde_json::from_value(answer).context("the execution is not understood")
    }

    fn events(&self, aws: &Aws) -> Result<Vec<Value>> {
        const MOST: u32 = 1000;
        let mut request = json!({ "executionArn": self.arn, "maxResults": MOST });
        let mut events = Vec::new();
        loop {
            let mut answer = aws.call("states", "AWSStepFunctions.GetExecutionHistory", &request)?;
            let next = answer["nextToken"].take();
            let history: History = serde_json::from_value(answer).context("the history is not understood")?;
            events.extend(history.events);
            if next.is_null() {
                return Ok(events);
            }
            request["nextToken"] = next;
        }
    }
}

/// The run of a job that an event tells the end of.
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

/// The run of a Glue job as JSON. Lambda, which stands in for Glue, hands its failure on as the message of an error.
fn glue_run(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    match value["errorMessage"].as_str() {
        Some(message) => serde_json::from_str(message).ok(),
        None => Some(value),
    }
}

/// What went wrong, where the cause is a job run of Glue, or one a line.
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

        // Other tasks and other events are none.
        let event = json!({"type": "TaskSucceeded", "taskSucceededEventDetails": {"output": "{\"MessageId\":\"1\"}"}});
        assert_eq!(job_run(&event), None);
        assert_eq!(job_run(&json!({"type": "PassStateEntered"})), None);
        assert_eq!(readable("not JSON"), "not JSON");
    }
}
