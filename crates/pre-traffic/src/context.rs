//! The configuration and clients of the function.

use std::time::{Duration, SystemTime};

use lambda_support::environment::{Environment, EnvironmentError, Process};
use lambda_support::sdk;

use crate::services::{CodeDeploy, Deployments, Functions, Lambda};
use crate::test_event::TestEvent;

const NEW_VERSION: &str = "NEW_VERSION";
const TEST_EVENT: &str = "TEST_EVENT";

/// Longer than any of the functions runs: a new version starts cold, and its own calls may be slow.
const CALL_TIMEOUT: Duration = Duration::from_secs(25);

/// The configuration and clients of the function.
#[derive(Debug)]
pub struct Context<F, D> {
    pub(crate) functions: F,
    pub(crate) deployments: D,
    pub(crate) version: String,
    pub(crate) test_event: TestEvent,
    pub(crate) clock: fn() -> SystemTime,
}

impl Context<Lambda, CodeDeploy> {
    /// Reads the environment and creates the clients.
    ///
    /// # Errors
    /// When a variable is missing or not a known test event; the error names it.
    pub fn from_env() -> Result<Self, EnvironmentError> {
        let (version, test_event) = read(&Process)?;
        let config = sdk::config(&Process)?;
        let (functions, deployments) = (Lambda::new(&config, CALL_TIMEOUT), CodeDeploy::new(&config));
        Ok(Self::new(functions, deployments, version, test_event))
    }
}

impl<F: Functions, D: Deployments> Context<F, D> {
    /// A context around any services.
    pub fn new(functions: F, deployments: D, version: String, test_event: TestEvent) -> Self {
        Self { functions, deployments, version, test_event, clock: SystemTime::now }
    }
}

fn read(environment: &impl Environment) -> Result<(String, TestEvent), EnvironmentError> {
    let name = environment.required(TEST_EVENT)?;
    let test_event = TestEvent::from_name(&name).ok_or_else(|| EnvironmentError::Invalid {
        name: TEST_EVENT,
        problem: format!("{name} is not one of {}", TestEvent::names().collect::<Vec<_>>().join(", ")),
    })?;
    Ok((environment.required(NEW_VERSION)?, test_event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_variables_are_needed_and_the_event_must_be_known() {
        let read = |variables: &[(&str, &str)]| super::read(&variables).map_err(|error| error.to_string());
        assert_eq!(
            read(&[("NEW_VERSION", "arn:v7"), ("TEST_EVENT", "clicks")]),
            Ok(("arn:v7".to_owned(), TestEvent::from_name("clicks").unwrap()))
        );
        assert!(read(&[("TEST_EVENT", "clicks")]).unwrap_err().contains("NEW_VERSION is not set"));
        let message = read(&[("NEW_VERSION", "arn:v7"), ("TEST_EVENT", "views")]).unwrap_err();
        let (_, known) = message.split_once("views is not one of ").unwrap();
        assert!(["clicks", "impressions", "traffic", "metrics"].iter().all(|name| known.contains(name)), "{message}");
    }
}
