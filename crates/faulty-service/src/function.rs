//! A function's program, run as Lambda runs it.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::{Answer, Fate, Service};

/// The variable with the address of the Runtime API.
pub const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";

/// What an invocation led to.
#[derive(Debug)]
pub struct Invoked {
    /// The function's answer.
    pub answer: Vec<u8>,
    /// What it wrote to its standard output, which is its log.
    pub log: String,
}

/// Invokes a program once and ends it when it asks for another invocation. Its calls of AWS go to `aws`; beside Lambda's own,
/// its environment has only `variables`. The deadline is in 2100. Panics if the program ends by itself.
pub fn invoke(program: &mut Command, variables: &[(&str, &str)], aws: &Service, event: &str) -> Invoked {
    let headers = vec![
        ("lambda-runtime-aws-request-id", "request"),
        ("lambda-runtime-deadline-ms", "4102444800000"),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:000000000000:function:function"),
    ];
    let invocation = Answer { headers, ..Answer::json(200, event) };
    let lambda = Service::start([Fate::Answer(invocation), Fate::Answer(Answer::json(202, "{}")), Fate::Silence]);
    let mut function = program
        .env_clear()
        .envs([
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", &aws.url),
            (RUNTIME_API, lambda.url.trim_start_matches("http://")),
            ("AWS_LAMBDA_FUNCTION_NAME", "function"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ])
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Until it asks for another invocation.
    while lambda.requests().len() < 3 {
        assert_eq!(function.try_wait().unwrap(), None, "it ended");
        sleep(Duration::from_millis(10));
    }
    function.kill().unwrap();
    let output = function.wait_with_output().unwrap();
    let answer = lambda.requests().swap_remove(1).body;
    Invoked { answer, log: String::from_utf8(output.stdout).unwrap() }
}
