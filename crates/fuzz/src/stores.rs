//! What stands for AWS in memory, as the narrow traits of the functions want it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ad_traffic::{DayTraffic, TrafficTable};
use capture::{DeliveryStream, PutResult};
use chrono::{Days, NaiveDate};
use lambda_support::service::ServiceError;
use metrics_sink::{Metric, Metrics};
use uuid::Uuid;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A delivery stream that counts the lines it holds.
#[derive(Debug, Default)]
pub struct Stream(Mutex<usize>);

impl Stream {
    /// How many lines came since the last look.
    pub fn take_lines(&self) -> usize {
        std::mem::take(&mut lock(&self.0))
    }
}

impl DeliveryStream for Stream {
    async fn put(&self, records: Vec<Vec<u8>>) -> Result<Vec<PutResult>, ServiceError> {
        *lock(&self.0) += records.iter().flatten().filter(|byte| **byte == b'\n').count();
        Ok(vec![Ok(()); records.len()])
    }
}

/// Takes all metrics, and keeps those since the last look.
#[derive(Debug, Default)]
pub struct Published(Mutex<Vec<Metric>>);

impl Published {
    /// What was published since the last look.
    pub fn take(&self) -> Vec<Metric> {
        std::mem::take(&mut lock(&self.0))
    }
}

impl Metrics for Published {
    async fn publish(&self, metrics: &[Metric]) -> Result<(), ServiceError> {
        lock(&self.0).extend_from_slice(metrics);
        Ok(())
    }
}

/// A table in which every ad has traffic on every day.
#[derive(Clone, Copy, Debug)]
pub struct EveryDay;

impl TrafficTable for EveryDay {
    async fn days(
        &self,
        _: Uuid,
        start: NaiveDate,
        end: NaiveDate,
        limit: usize,
    ) -> Result<Vec<DayTraffic>, ServiceError> {
        let days = (0..limit as u64).filter_map(|after| start.checked_add_days(Days::new(after)));
        Ok(days.take_while(|day| *day <= end).map(|day| DayTraffic { day, impressions: 7, clicks: 3 }).collect())
    }
}

/// Runs a future that waits for nothing outside of this program.
#[derive(Debug)]
pub struct Runtime(tokio::runtime::Runtime);

impl Default for Runtime {
    fn default() -> Self {
        let built = tokio::runtime::Builder::new_current_thread().enable_time().build();
        Self(built.unwrap_or_else(|error| panic!("a runtime without I/O needs nothing that could be missing: {error}")))
    }
}

impl Runtime {
    /// Runs it to its end.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.block_on(future)
    }
}
