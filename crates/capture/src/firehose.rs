//! A delivery stream of Data Firehose.

use aws_sdk_firehose::Client;
use aws_sdk_firehose::error::SdkError;
use aws_sdk_firehose::operation::put_record_batch::PutRecordBatchError;
use aws_sdk_firehose::primitives::Blob;
use aws_sdk_firehose::types::{PutRecordBatchResponseEntry, Record};
use lambda_support::service::{INVALID_REQUEST, ServiceError};

use crate::delivery::{DeliveryStream, PutResult};

/// A delivery stream of Data Firehose.
#[derive(Clone, Debug)]
pub struct Firehose {
    client: Client,
    stream_name: String,
}

impl Firehose {
    pub(crate) fn new(client: Client, stream_name: String) -> Self {
        Self { client, stream_name }
    }

    /// Opens the connection for the first batch, by a call that Firehose refuses because it has no records.
    pub(crate) async fn connect(&self) {
        let call = self.client.put_record_batch().delivery_stream_name(&self.stream_name);
        if let Err(error) = call.set_records(Some(Vec::new())).send().await {
            tracing::debug!(code = ServiceError::from(&error).code, "the connection to Firehose was tried");
        }
    }
}

impl DeliveryStream for Firehose {
    async fn put(&self, records: Vec<Vec<u8>>) -> Result<Vec<PutResult>, ServiceError> {
        let records = records.into_iter().map(|data| {
            let record = Record::builder().data(Blob::new(data)).build();
            record.map_err(|error| ServiceError::permanent(INVALID_REQUEST, error.to_string()))
        });
        let answer = self
            .client
            .put_record_batch()
            .delivery_stream_name(&self.stream_name)
            .set_records(Some(records.collect::<Result<_, _>>()?))
            .send()
            .await
            .map_err(|error| put_error(&error))?;
        Ok(answer.request_responses().iter().map(put_result).collect())
    }
}

/// A record is stored if Firehose returns an id and no error for it.
fn put_result(entry: &PutRecordBatchResponseEntry) -> PutResult {
    match (entry.error_code(), entry.record_id()) {
        (None, Some(_)) => Ok(()),
        (code, _) => Err(code.unwrap_or("NoRecordId").to_owned()),
    }
}

/// Errors that a retry does not fix: the stream or a permission is missing, or the call itself is wrong.
const PERMANENT_CODES: [&str; 9] = [
    INVALID_REQUEST,
    "AccessDeniedException",
    "InvalidArgumentException",
    "InvalidKMSResourceException",
    "InvalidSignatureException",
    "InvalidSourceException",
    "ResourceNotFoundException",
    "UnrecognizedClientException",
    "ValidationException",
];

/// Every other error may pass: an event that is given up too early is lost to its client.
fn put_error(error: &SdkError<PutRecordBatchError>) -> ServiceError {
    let error = ServiceError::from(error);
    let retryable = !PERMANENT_CODES.contains(&error.code.as_str());
    ServiceError { retryable, ..error }
}

#[cfg(test)]
mod tests {
    use aws_sdk_firehose::error::ErrorMetadata;
    use aws_sdk_firehose::operation::put_record_batch::PutRecordBatchOutput;
    use aws_sdk_firehose::types::error::{ResourceNotFoundException, ServiceUnavailableException};
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    use super::*;

    fn firehose(rule: &aws_smithy_mocks::Rule) -> Firehose {
        Firehose::new(mock_client!(aws_sdk_firehose, RuleMode::MatchAny, [rule]), "impressions".to_owned())
    }

    #[tokio::test]
    async fn a_mixed_answer_is_reported_record_by_record() {
        let rule = mock!(Client::put_record_batch)
            .match_requests(|request| {
                let data = |at: usize| request.records()[at].data().as_ref().to_vec();
                request.delivery_stream_name() == Some("impressions")
                    && request.records().len() == 2
                    && data(0) == b"a\n"
                    && data(1) == b"b\nc\n"
            })
            .then_output(|| {
                PutRecordBatchOutput::builder()
                    .failed_put_count(1)
                    .request_responses(PutRecordBatchResponseEntry::builder().record_id("1").build())
                    .request_responses(
                        PutRecordBatchResponseEntry::builder()
                            .error_code("ServiceUnavailableException")
                            .error_message("Slow down.")
                            .build(),
                    )
                    .build()
                    .unwrap()
            });
        let results = firehose(&rule).put(vec![b"a\n".to_vec(), b"b\nc\n".to_vec()]).await.unwrap();
        assert_eq!(results, [Ok(()), Err("ServiceUnavailableException".to_owned())]);
        assert_eq!(rule.num_calls(), 1);
    }

    #[tokio::test]
    async fn throttling_is_retryable() {
        let rule = mock!(Client::put_record_batch).then_error(|| {
            let meta = ErrorMetadata::builder().code("ServiceUnavailableException").message("Slow down.").build();
            PutRecordBatchError::ServiceUnavailableException(
                ServiceUnavailableException::builder().message("Slow down.").meta(meta).build(),
            )
        });
        let error = firehose(&rule).put(vec![b"a\n".to_vec()]).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), ("ServiceUnavailableException", true));
        assert_eq!(rule.num_calls(), 1, "the SDK must not retry by itself");
    }

    #[tokio::test]
    async fn a_missing_stream_is_not_retryable() {
        let rule = mock!(Client::put_record_batch).then_error(|| {
            let meta = ErrorMetadata::builder().code("ResourceNotFoundException").build();
            PutRecordBatchError::ResourceNotFoundException(ResourceNotFoundException::builder().meta(meta).build())
        });
        let error = firehose(&rule).put(vec![b"a\n".to_vec()]).await.unwrap_err();
        assert!(!error.retryable);
    }

    #[test]
    fn a_construction_failure_is_not_retryable() {
        let error = put_error(&SdkError::construction_failure("no credentials"));
        assert_eq!((error.code.as_str(), error.retryable), ("Request", false));
    }
}
