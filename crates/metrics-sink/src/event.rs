//! The two kinds of events and their answers, borrowed from the payload where possible.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What called the function.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    Firehose(FirehoseEvent<'a>),
    Analytics(AnalyticsEvent<'a>),
}

impl<'a> Event<'a> {
    /// Tells the kinds apart by the one field that only one of them has.
    pub(crate) fn parse(payload: &'a str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Kind {
            application_arn: Option<serde::de::IgnoredAny>,
        }
        let kind: Kind = serde_json::from_str(payload)?;
        match kind.application_arn {
            Some(_) => serde_json::from_str(payload).map(Self::Analytics),
            None => serde_json::from_str(payload).map(Self::Firehose),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FirehoseEvent<'a> {
    #[serde(borrow)]
    pub(crate) delivery_stream_arn: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) records: Vec<FirehoseRecord<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FirehoseRecord<'a> {
    #[serde(borrow)]
    pub(crate) record_id: Cow<'a, str>,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub(crate) approximate_arrival_timestamp: i64,
    /// Base64.
    #[serde(borrow)]
    pub(crate) data: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct AnalyticsEvent<'a> {
    #[serde(borrow)]
    pub(crate) records: Vec<AnalyticsRecord<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AnalyticsRecord<'a> {
    #[serde(borrow)]
    pub(crate) record_id: Cow<'a, str>,
    /// Base64.
    #[serde(borrow)]
    pub(crate) data: Cow<'a, str>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Answer<'a> {
    pub(crate) records: Vec<AnswerRecord<'a>>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AnswerRecord<'a> {
    pub(crate) record_id: &'a str,
    pub(crate) result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<&'a str>,
}
