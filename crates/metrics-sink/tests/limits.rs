//! Metrics of an analytics application at the limits of CloudWatch.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use lambda_support::service::ServiceError;
use metrics_sink::{Context, Metric, Metrics, handle};
use serde_json::{Value, json};

/// Records the published metrics.
#[derive(Default)]
struct Memory(Mutex<Vec<Metric>>);

impl Metrics for Memory {
    async fn publish(&self, metrics: &[Metric]) -> Result<(), ServiceError> {
        self.0.lock().unwrap().extend_from_slice(metrics);
        Ok(())
    }
}

#[tokio::test]
async fn a_value_of_2_to_the_360_is_published_and_the_next_one_is_not() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let most = 2_f64.powi(360);
    let values = [most, -most, most.next_up(), -most.next_up()];
    let records = values.map(|value| {
        let metric = json!({"namespace": "N", "name": "Clicks", "at": now, "value": value}).to_string();
        json!({"recordId": value.to_string(), "data": BASE64_STANDARD.encode(metric)})
    });
    let event = json!({"applicationArn": "application", "records": records}).to_string();
    let context = Context::new(Memory::default(), "N".to_owned(), "w".to_owned());
    let answer = handle(&event, SystemTime::now() + Duration::from_secs(60), &context).await.unwrap();
    let answer: Value = serde_json::from_str(answer.get()).unwrap();
    let results = answer["records"].as_array().unwrap().iter().map(|record| record["result"].as_str().unwrap());
    assert_eq!(results.collect::<Vec<_>>(), ["Ok", "Ok", "DeliveryFailed", "DeliveryFailed"]);
    let published = context.metrics().0.lock().unwrap();
    assert_eq!(published[0].values, [(most, 1.0), (-most, 1.0)]);
}
