//! Logs in the form that Lambda expects.

use tracing_subscriber::filter::LevelFilter;

use crate::environment::Environment;

/// Set by Lambda from `LoggingConfig.ApplicationLogLevel`.
const LAMBDA_LEVEL_VARIABLE: &str = "AWS_LAMBDA_LOG_LEVEL";

/// Set by Lambda from `LoggingConfig.LogFormat`.
const LAMBDA_FORMAT_VARIABLE: &str = "AWS_LAMBDA_LOG_FORMAT";

/// The level of the whole function: `error`, `warn`, `info`, `debug` or `trace`.
const RUST_LOG: &str = "RUST_LOG";

/// Writes logs to standard output, as text or as JSON, whichever the function is configured for. Lambda adds the time.
pub fn init(environment: &impl Environment) {
    let level = level(environment);
    let logs = tracing_subscriber::fmt().with_ansi(false).with_target(false).without_time().with_max_level(level);
    if environment.get(LAMBDA_FORMAT_VARIABLE).is_some_and(|format| format.eq_ignore_ascii_case("json")) {
        logs.json().init();
    } else {
        logs.init();
    }
}

fn level(environment: &impl Environment) -> LevelFilter {
    let level = environment.get(LAMBDA_LEVEL_VARIABLE).or_else(|| environment.get(RUST_LOG));
    level.and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_comes_from_lambda_then_rust_log_then_is_info() {
        let level = |variables: &[(&str, &str)]| level(&variables);
        assert_eq!(level(&[]), LevelFilter::INFO);
        assert_eq!(level(&[(RUST_LOG, "debug")]), LevelFilter::DEBUG);
        assert_eq!(level(&[(RUST_LOG, "debug"), (LAMBDA_LEVEL_VARIABLE, "WARN")]), LevelFilter::WARN);
        assert_eq!(level(&[(RUST_LOG, "loud")]), LevelFilter::INFO);
    }
}
