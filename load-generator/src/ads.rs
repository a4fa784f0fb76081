//! The ads and their popularity.

use uuid::Uuid;

use crate::random::{Key, Stream};

/// The ads, most popular first: the ad of rank *k* is seen in proportion to 1 / *k*^s (Zipf), evenly with *s* = 0.
#[derive(Debug, Clone)]
pub struct Ads {
    ids: Vec<[u8; 36]>,
    /// Walker's alias table, built by Vose's method (1991), which draws in constant time.
    cells: Vec<Cell>,
}

/// A cell of the alias table: its own ad up to the threshold, another one above.
#[derive(Debug, Clone, Copy)]
struct Cell {
    threshold: f64,
    alias: u32,
}

impl Ads {
    /// `count` ads (at least 1) with the Zipf exponent `exponent` (at least 0).
    ///
    /// Their ids do not depend on the seed: the most popular ad is the same in every run, so that it can be queried.
    pub fn new(count: u32, exponent: f64) -> Self {
        let key = Key::new(0).child(u64::MAX);
        let ids = (0..u64::from(count)).map(|ad| written(key.child(ad).stream().uuid())).collect();
        let weights: Vec<f64> = (1..=count).map(|rank| f64::from(rank).powf(-exponent)).collect();
        Self { ids, cells: alias_table(&weights) }
    }

    /// Draws an ad.
    #[inline]
    pub fn draw(&self, stream: &mut Stream) -> u32 {
        let point = stream.unit() * self.cells.len() as f64;
        let index = (point as usize).min(self.cells.len() - 1);
        let cell = self.cells[index];
        if point - (index as f64) < cell.threshold { index as u32 } else { cell.alias }
    }

    /// The id of an ad as written in events: 36 characters.
    pub fn id(&self, ad: u32) -> &[u8; 36] {
        &self.ids[ad as usize]
    }
}

/// Cells of equal width for weights that are not all 0.
fn alias_table(weights: &[f64]) -> Vec<Cell> {
    let mean = weights.iter().sum::<f64>() / weights.len() as f64;
    let mut left: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
    let mut cells: Vec<Cell> = (0..weights.len()).map(|ad| Cell { threshold: 1.0, alias: ad as u32 }).collect();
    let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..weights.len()).partition(|&ad| left[ad] < 1.0);
    while let (Some(under), Some(&over)) = (small.pop(), large.last()) {
        cells[under] = Cell { threshold: left[under], alias: over as u32 };
        left[over] -= 1.0 - left[under];
        if left[over] < 1.0 {
            large.pop();
            small.push(over);
        }
    }
    cells
}

/// A UUID as text: hyphenated, in lower case.
#[inline]
pub fn written(id: Uuid) -> [u8; 36] {
    let mut text = [0; 36];
    id.hyphenated().encode_lower(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The χ² of the drawn ranks against 1/k^s. The bound is the 99.99 % point at 49 degrees of freedom.
    #[test]
    fn popularity_follows_the_exponent() {
        for exponent in [0.0, 0.7, 1.0, 1.5] {
            let ads = Ads::new(50, exponent);
            let mut stream = Key::new(11).stream();
            let mut seen = [0_u32; 50];
            for _ in 0..200_000 {
                seen[ads.draw(&mut stream) as usize] += 1;
            }
            let total: f64 = (1..=50).map(|k| f64::from(k).powf(-exponent)).sum();
            let chi2: f64 = (1..=50)
                .map(|k| {
                    let expected = 200_000.0 * f64::from(k).powf(-exponent) / total;
                    (f64::from(seen[k as usize - 1]) - expected).powi(2) / expected
                })
                .sum();
            assert!(chi2 < 94.6, "exponent {exponent}: χ² = {chi2}");
        }
    }

    #[test]
    fn one_ad_is_always_drawn() {
        let ads = Ads::new(1, 1.0);
        assert_eq!(ads.draw(&mut Key::new(0).stream()), 0);
        assert!(Uuid::try_parse_ascii(ads.id(0)).is_ok());
    }
}
