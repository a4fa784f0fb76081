//! Configuration from environment variables.

use thiserror::Error;

/// An environment variable that is missing or not valid: the function cannot start.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EnvironmentError {
    /// The variable is missing or empty.
    #[error("the environment variable {0} is not set: template.yaml sets it under Environment.Variables")]
    Missing(&'static str),
    /// The variable's value is not valid.
    #[error("the environment variable {name} is not valid: {problem}")]
    Invalid {
        /// The variable's name.
        name: &'static str,
        /// The problem with its value.
        problem: String,
    },
}

/// Where variables come from: the process's environment, or a test's own list.
pub trait Environment {
    /// The value of a variable that is set and not empty.
    fn get(&self, name: &str) -> Option<String>;

    /// The value of a required variable.
    ///
    /// # Errors
    /// When it is missing or empty.
    fn required(&self, name: &'static str) -> Result<String, EnvironmentError> {
        self.get(name).ok_or(EnvironmentError::Missing(name))
    }
}

/// The process's environment.
#[derive(Clone, Copy, Debug)]
pub struct Process;

impl Environment for Process {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }
}

impl Environment for &[(&str, &str)] {
    fn get(&self, name: &str) -> Option<String> {
        let (_, value) = self.iter().find(|(key, _)| *key == name)?;
        (!value.is_empty()).then(|| (*value).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_empty_variable_is_named() {
        let environment: &[(&str, &str)] = &[("A", "1"), ("B", "")];
        assert_eq!(environment.required("A"), Ok("1".to_owned()));
        assert_eq!(environment.required("B"), Err(EnvironmentError::Missing("B")));
        let message = environment.required("C").unwrap_err().to_string();
        assert!(message.contains("environment variable C is not set"), "{message}");
    }
}
