//! A client of the traffic endpoint.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::local::aws::agent_config;

/// An answer of `GET /traffic/{ad-id}`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct TrafficAnswer {
    /// The range of the answer: the default one if none was requested.
    pub start: NaiveDate,
    pub end: NaiveDate,
    pub count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    pub days: Vec<TrafficDay>,
}

/// A day of an ad.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct TrafficDay {
    pub day: String,
    pub impressions: u64,
    pub clicks: u64,
    pub clickthrough_rate: f64,
}

/// A client of the endpoint.
#[derive(Debug)]
pub struct Client {
    agent: ureq::Agent,
    base_url: String,
}

impl Client {
    pub fn new(base_url: String) -> Self {
        let config = agent_config().timeout_global(Some(Duration::from_secs(30))).http_status_as_error(false).build();
        Self { agent: ureq::Agent::new_with_config(config), base_url }
    }

    /// The first page of an ad's days. Missing parameters have the defaults of the endpoint.
    pub fn days(&self, ad: &str, parameters: &[(&str, &str)]) -> Result<TrafficAnswer> {
        let url = format!("{}/traffic/{ad}", self.base_url);
        let request = self.agent.get(&url).query_pairs(parameters.iter().copied());
        let mut answer = request.call().with_context(|| format!("no answer from {url}"))?;
        let body = answer.body_mut().read_to_string()?;
        if !answer.status().is_success() {
            bail!("{url} answered {}: {body}", answer.status());
        }
        serde_json::from_str(&body).with_context(|| format!("failed to read the answer of {url}: {body}"))
    }
}
