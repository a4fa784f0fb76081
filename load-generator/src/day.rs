//! The shape of a day: how its traffic is distributed over 24 hours.

use serde::Deserialize;

/// A second in microseconds, the unit of clocks.
pub const SECOND: u64 = 1_000_000;
/// A day in microseconds.
pub const DAY: u64 = 86_400 * SECOND;
/// The latest time of an impression: a click one millisecond later is still on the same day.
const LAST_VIEW: u64 = DAY - 2_000;

/// The weights of the 24 hours of a day.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Vec<f64>")]
pub struct DayShape {
    /// The share of the day's traffic before each hour; 25 values from 0 to 1.
    before: [f64; 25],
}

/// The same traffic in every hour.
impl Default for DayShape {
    fn default() -> Self {
        Self::new(&[1.0; 24])
    }
}

impl TryFrom<Vec<f64>> for DayShape {
    type Error = &'static str;

    fn try_from(weights: Vec<f64>) -> Result<Self, Self::Error> {
        let weights: [f64; 24] = weights.try_into().map_err(|_| "24 weights are needed, one for each hour")?;
        if !weights.iter().all(|weight| (0.0..=1e9).contains(weight)) || weights.iter().all(|&weight| weight == 0.0) {
            return Err("weights must be from 0 to 1000000000, and not all 0");
        }
        Ok(Self::new(&weights))
    }
}

impl DayShape {
    fn new(weights: &[f64; 24]) -> Self {
        let total: f64 = weights.iter().sum();
        let mut before = [0.0; 25];
        let mut sum = 0.0;
        for (hour, weight) in weights.iter().enumerate() {
            sum += weight;
            before[hour + 1] = sum / total;
        }
        Self { before }
    }

    /// The time of day, in microseconds since midnight, at which this share (in [0, 1)) of the traffic is over.
    pub fn time(&self, share: f64) -> u64 {
        // The first hour that ends after the share, so that hours without weight are skipped.
        let hour = self.before[1..].partition_point(|&before| before <= share).min(23);
        let width = self.before[hour + 1] - self.before[hour];
        let within = if width > 0.0 { (share - self.before[hour]) / width } else { 1.0 };
        let hours = hour as f64 + within.clamp(0.0, 1.0);
        ((hours * 3_600.0 * SECOND as f64) as u64).min(LAST_VIEW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_day_is_a_straight_line() {
        let day = DayShape::default();
        assert_eq!(day.time(0.0), 0);
        assert_eq!(day.time(0.5) / SECOND, 43_200);
        assert!(day.time(1.0 - f64::EPSILON) <= LAST_VIEW);
    }

    #[test]
    fn hours_without_weight_have_no_traffic() {
        let mut weights = [0.0; 24];
        weights[9] = 1.0;
        weights[20] = 3.0;
        let day = DayShape::new(&weights);
        let hours: Vec<u64> = (0..1_000).map(|i| day.time(f64::from(i) / 1_000.0) / SECOND / 3_600).collect();
        assert_eq!(hours.iter().filter(|&&hour| hour == 9).count(), 250);
        assert_eq!(hours.iter().filter(|&&hour| hour == 20).count(), 750);
        assert!(hours.is_sorted());
    }
}
