//! The configuration and clients of the function.

use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use chrono::{DateTime, Utc};
use lambda_support::environment::{Environment, EnvironmentError, Process};
use lambda_support::http::AllowedOrigins;
use lambda_support::sdk::{self, SdkConfig};

use crate::page::PageKey;
use crate::table::{DynamoDb, TrafficTable};

const AD_TRAFFIC_TABLE_NAME: &str = "AD_TRAFFIC_TABLE_NAME";
const CACHE_VISIBILITY: &str = "CACHE_VISIBILITY";
const LOOKBACK_DAYS: &str = "LOOKBACK_DAYS";
const PAGE_TOKEN_KEY: &str = "PAGE_TOKEN_KEY";

/// A query is one small read, for which the SDK's own retries are right: three attempts, at most a second apart.
const MAX_ATTEMPTS: u32 = 3;

/// How long the first connection may delay the start.
const WARM_UP_LIMIT: Duration = Duration::from_secs(1);

/// The configuration and clients of the function.
#[derive(Debug)]
pub struct Context<T> {
    pub(crate) table: T,
    pub(crate) page_key: PageKey,
    pub(crate) caching: Caching,
    pub(crate) allowed_origins: AllowedOrigins,
    pub(crate) clock: fn() -> DateTime<Utc>,
}

/// How answers may be cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caching {
    /// `public` or `private`.
    pub(crate) visibility: &'static str,
    /// How many past days the nightly batch may still change.
    pub(crate) lookback_days: u64,
}

impl Caching {
    fn from_env(environment: &impl Environment) -> Result<Self, EnvironmentError> {
        let visibility = match environment.required(CACHE_VISIBILITY)?.as_str() {
            "public" => "public",
            "private" => "private",
            other => {
                let problem = format!("`{other}` is neither public nor private");
                return Err(EnvironmentError::Invalid { name: CACHE_VISIBILITY, problem });
            }
        };
        let lookback_days = environment.required(LOOKBACK_DAYS)?;
        let lookback_days = lookback_days.parse().map_err(|_| EnvironmentError::Invalid {
            name: LOOKBACK_DAYS,
            problem: format!("`{lookback_days}` is not a number of days"),
        })?;
        Ok(Self { visibility, lookback_days })
    }
}

impl<T: TrafficTable> Context<T> {
    /// A context around any table. Every origin may read the answers, and only private caches may keep them.
    pub fn new(table: T, page_key: PageKey) -> Self {
        let caching = Caching { visibility: "private", lookback_days: 3 };
        Self { table, page_key, caching, allowed_origins: AllowedOrigins::Any, clock: Utc::now }
    }
}

/// The configuration of the client, with its retries.
pub(crate) fn with_retries(config: &SdkConfig) -> aws_sdk_dynamodb::config::Builder {
    aws_sdk_dynamodb::config::Builder::from(config)
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS).with_max_backoff(Duration::from_secs(1)))
}

impl Context<DynamoDb> {
    /// Reads the environment and creates the DynamoDB client.
    ///
    /// # Errors
    /// When a variable is missing or not valid; the error names it.
    pub fn from_env() -> Result<Self, EnvironmentError> {
        let table_name = Process.required(AD_TRAFFIC_TABLE_NAME)?;
        let page_key = PageKey::new(&Process.required(PAGE_TOKEN_KEY)?)
            .map_err(|problem| EnvironmentError::Invalid { name: PAGE_TOKEN_KEY, problem })?;
        let caching = Caching::from_env(&Process)?;
        let allowed_origins = AllowedOrigins::from_env(&Process)?;
        let config = with_retries(&sdk::config(&Process)?).build();
        let table = DynamoDb::new(aws_sdk_dynamodb::Client::from_conf(config), table_name);
        Ok(Self { table, page_key, caching, allowed_origins, clock: Utc::now })
    }

    /// Opens the connection to DynamoDB during initialisation, when Lambda gives the function its full CPU.
    pub async fn warm_up(&self) {
        let today = (self.clock)().date_naive();
        let warm = self.table.days(uuid::Uuid::nil(), today, today, 1);
        match tokio::time::timeout(WARM_UP_LIMIT, warm).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the table did not answer while starting"),
            Err(_) => tracing::warn!("DynamoDB did not answer while starting: the first request opens the connection"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caching_comes_from_two_variables() {
        let caching =
            |visibility, days| Caching::from_env(&[(CACHE_VISIBILITY, visibility), (LOOKBACK_DAYS, days)].as_slice());
        assert_eq!(caching("private", "3"), Ok(Caching { visibility: "private", lookback_days: 3 }));
        let name = |error: Result<Caching, EnvironmentError>| error.unwrap_err().to_string();
        assert!(name(caching("shared", "3")).contains(CACHE_VISIBILITY));
        assert!(name(caching("public", "three")).contains(LOOKBACK_DAYS));
        assert!(name(caching("public", "")).contains(LOOKBACK_DAYS));
    }
}
