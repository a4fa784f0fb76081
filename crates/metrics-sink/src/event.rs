//! The two kinds of events and their answers, borrowed from the payload.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::SinkError;

/// An event, by the service that sent it.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    Firehose { delivery_stream_arn: Cow<'a, str>, records: Vec<Record<'a>> },
    Analytics { records: Vec<Record<'a>> },
}

impl<'a> Event<'a> {
    /// Distinguishes the kinds by the field that only one of them has. An event with both or neither is refused: a guess
    /// could count it twice or lose records.
    pub(crate) fn parse(payload: &'a str) -> Result<Self, SinkError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Either<'a> {
            #[serde(borrow)]
            delivery_stream_arn: Option<Text<'a>>,
            application_arn: Option<IgnoredAny>,
            #[serde(borrow)]
            records: Vec<Record<'a>>,
        }
        let Either { delivery_stream_arn, application_arn, records } = serde_json::from_str(payload)?;
        match (delivery_stream_arn, application_arn) {
            (Some(Text(delivery_stream_arn)), None) => Ok(Self::Firehose { delivery_stream_arn, records }),
            (None, Some(_)) => Ok(Self::Analytics { records }),
            _ => Err(SinkError::Kind),
        }
    }
}

/// A string, borrowed unless it has escapes.
#[derive(Debug, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A record of either kind. What is returned is kept as raw JSON, so that parsing cannot change it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record<'a> {
    #[serde(borrow)]
    pub(crate) record_id: &'a RawValue,
    #[serde(borrow)]
    approximate_arrival_timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) data: Option<&'a RawValue>,
}

impl<'a> Record<'a> {
    /// When Firehose received it, in milliseconds since 1970.
    pub(crate) fn arrived_at(&self) -> Option<i64> {
        self.approximate_arrival_timestamp?.get().parse().ok()
    }

    /// Its data in base64, without the quotes.
    pub(crate) fn base64(&self) -> Option<Cow<'a, str>> {
        let written = self.data?.get();
        match written.strip_prefix('"')?.strip_suffix('"')? {
            plain if !plain.contains('\\') => Some(Cow::Borrowed(plain)),
            _ => serde_json::from_str(written).map(Cow::Owned).ok(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Answer<'a> {
    pub(crate) records: Vec<AnswerRecord<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AnswerRecord<'a> {
    pub(crate) record_id: &'a RawValue,
    pub(crate) result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_both_kinds_or_none_is_refused() {
        let records = r#""records":[{"recordId":"1","data":""}]"#;
        let parse =
            |fields: &str| Event::parse(&format!("{{{fields}{records}}}")).map(|_| ()).map_err(|e| e.to_string());
        assert_eq!(parse(r#""deliveryStreamArn":"a","#), Ok(()));
        assert_eq!(parse(r#""applicationArn":"a","#), Ok(()));
        assert_eq!(parse(r#""deliveryStreamArn":"a","applicationArn":null,"#), Ok(()));
        for fields in ["", r#""deliveryStreamArn":"a","applicationArn":"b","#, r#""deliveryStreamArn":null,"#] {
            assert!(parse(fields).is_err_and(|error| error.contains("neither")), "{fields}");
        }
    }

    #[test]
    fn undocumented_record_values_are_tolerated() {
        let record = |fields: &str| {
            serde_json::from_str::<Record<'static>>(Box::leak(fields.to_owned().into_boxed_str())).unwrap()
        };
        let odd = record(r#"{"recordId":7,"approximateArrivalTimestamp":"soon","data":5}"#);
        assert_eq!((odd.record_id.get(), odd.arrived_at(), odd.base64()), ("7", None, None));
        let bare = record(r#"{"recordId":"1"}"#);
        assert!(bare.data.is_none() && bare.arrived_at().is_none() && bare.base64().is_none());
        let escaped = record(r#"{"recordId":"1","approximateArrivalTimestamp":3,"data":"a\/b="}"#);
        assert_eq!((escaped.arrived_at(), escaped.base64().as_deref()), (Some(3), Some("a/b=")));
        assert_eq!(escaped.data.unwrap().get(), r#""a\/b=""#);
    }
}
