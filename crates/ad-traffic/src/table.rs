//! The DynamoDB table behind a narrow trait.

use std::collections::HashMap;
use std::future::Future;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::query::QueryError;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::NaiveDate;
use lambda_support::service::ServiceError;
use uuid::Uuid;

/// An ad's traffic on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayTraffic {
    /// The day, UTC.
    pub day: NaiveDate,
    /// How often the ad was shown.
    pub impressions: u64,
    /// How many of those impressions were clicked.
    pub clicks: u64,
}

/// A table of traffic by ad and day.
pub trait TrafficTable: Send + Sync {
    /// The first `limit` days of an ad from `start` to `end`, both included, in order.
    fn days(
        &self,
        ad_id: Uuid,
        start: NaiveDate,
        end: NaiveDate,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<DayTraffic>, ServiceError>> + Send;
}

/// The table in DynamoDB: `ad_id` (S, HASH), `day` (S, RANGE), `impressions` (N), `clicks` (N).
#[derive(Clone, Debug)]
pub struct DynamoDb {
    client: Client,
    table_name: String,
}

impl DynamoDb {
    pub(crate) fn new(client: Client, table_name: String) -> Self {
        Self { client, table_name }
    }
}

impl TrafficTable for DynamoDb {
    async fn days(
        &self,
        ad_id: Uuid,
        start: NaiveDate,
        end: NaiveDate,
        limit: usize,
    ) -> Result<Vec<DayTraffic>, ServiceError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table_name)
            .key_condition_expression("ad_id = :ad_id AND #day BETWEEN :start AND :end")
            .expression_attribute_names("#day", "day")
            .expression_attribute_values(":ad_id", AttributeValue::S(ad_id.hyphenated().to_string()))
            .expression_attribute_values(":start", AttributeValue::S(start.to_string()))
            .expression_attribute_values(":end", AttributeValue::S(end.to_string()))
            .projection_expression("#day, impressions, clicks")
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(|error| table_error(&error))?;
        answer.items().iter().map(read_item).collect()
    }
}

fn read_item(item: &HashMap<String, AttributeValue>) -> Result<DayTraffic, ServiceError> {
    let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
    let number = |name: &str| item.get(name).and_then(|value| value.as_n().ok()).and_then(|number| number.parse().ok());
    match (text("day").and_then(|day| day.parse().ok()), number("impressions"), number("clicks")) {
        (Some(day), Some(impressions), Some(clicks)) => Ok(DayTraffic { day, impressions, clicks }),
        _ => Err(ServiceError::permanent(
            "Item",
            format!("the item of {:?} does not have the attributes day, impressions and clicks", text("day")),
        )),
    }
}

/// Errors that pass, although DynamoDB reports most of them as client errors (400).
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>
const RETRYABLE_CODES: [&str; 5] = [
    "InternalServerError",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "ThrottlingException",
];

fn table_error(error: &SdkError<QueryError>) -> ServiceError {
    let error = ServiceError::from(error);
    let retryable = error.retryable || RETRYABLE_CODES.contains(&error.code.as_str());
    ServiceError { retryable, ..error }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::error::ErrorMetadata;
    use aws_sdk_dynamodb::operation::query::QueryOutput;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    async fn days(rule: &aws_smithy_mocks::Rule) -> Result<Vec<DayTraffic>, ServiceError> {
        let table = DynamoDb::new(mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [rule]), "traffic".to_owned());
        table.days(Uuid::from_u128(1), day("2026-11-01"), day("2026-11-30"), 11).await
    }

    fn item(attributes: [(&str, AttributeValue); 3]) -> HashMap<String, AttributeValue> {
        attributes.map(|(name, value)| (name.to_owned(), value)).into()
    }

    #[tokio::test]
    async fn the_query_names_key_range_and_limit_and_the_items_are_read() {
        let rule = mock!(Client::query)
            .match_requests(|request| {
                let values = request.expression_attribute_values().unwrap();
                request.table_name() == Some("traffic")
                    && request.key_condition_expression() == Some("ad_id = :ad_id AND #day BETWEEN :start AND :end")
                    && values[":ad_id"] == AttributeValue::S("00000000-0000-0000-0000-000000000001".into())
                    && values[":start"] == AttributeValue::S("2026-11-01".into())
                    && values[":end"] == AttributeValue::S("2026-11-30".into())
                    && request.limit() == Some(11)
            })
            .then_output(|| {
                QueryOutput::builder()
                    .items(item([
                        ("day", AttributeValue::S("2026-11-02".into())),
                        ("impressions", AttributeValue::N("100".into())),
                        ("clicks", AttributeValue::N("30".into())),
                    ]))
                    .build()
            });
        assert_eq!(days(&rule).await, Ok(vec![DayTraffic { day: day("2026-11-02"), impressions: 100, clicks: 30 }]));
    }

    #[tokio::test]
    async fn an_unexpected_item_is_an_internal_error() {
        let rule = mock!(Client::query).then_output(|| {
            QueryOutput::builder()
                .items(item([
                    ("day", AttributeValue::S("2026-11-02".into())),
                    ("impressions", AttributeValue::S("100".into())),
                    ("clicks", AttributeValue::N("30".into())),
                ]))
                .build()
        });
        assert!(!days(&rule).await.unwrap_err().retryable);
    }

    #[tokio::test]
    async fn throttling_is_retryable_and_a_missing_permission_is_not() {
        for (code, retryable) in [("ThrottlingException", true), ("AccessDeniedException", false)] {
            let rule = mock!(Client::query)
                .then_error(move || QueryError::generic(ErrorMetadata::builder().code(code).message("No.").build()));
            let error = days(&rule).await.unwrap_err();
            assert_eq!((error.code.as_str(), error.retryable), (code, retryable));
        }
    }

    #[test]
    fn a_timeout_is_retryable() {
        let error = table_error(&SdkError::timeout_error("late"));
        assert_eq!((error.code.as_str(), error.retryable), ("Timeout", true));
    }
}
