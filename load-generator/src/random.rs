//! Random numbers that depend only on the seed, the day, the user and the view.
//!
//! Every view has its own stream, derived from its [`Key`] without drawing earlier numbers. The events are therefore the same
//! for any number of threads, speed of the server, and order in which they are made.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use uuid::{Builder, Uuid};

/// The golden ratio in 64 bits, the increment of SplitMix64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): one bit in changes about half of the bits out.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Names a stream of random numbers; keys form a tree: seed, day, user, view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(u64, u64);

impl Key {
    /// The root of the tree for a seed.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed ^ GOLDEN), mix(seed.wrapping_add(GOLDEN)))
    }

    /// The `n`th child of this key.
    #[inline]
    pub fn child(self, n: u64) -> Self {
        let step = n.wrapping_add(1).wrapping_mul(GOLDEN);
        Self(mix(self.0 ^ step), mix(self.1.wrapping_add(step) ^ self.0.rotate_left(32)))
    }

    /// The stream of this key.
    #[inline]
    pub fn stream(self) -> Stream {
        let mut seed = [0_u8; 32];
        let words = [self.0, self.1, mix(self.0 ^ GOLDEN), mix(self.1 ^ GOLDEN.rotate_left(1))];
        for (bytes, word) in seed.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Stream(Xoshiro256PlusPlus::from_seed(seed))
    }
}

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Stream(Xoshiro256PlusPlus);

impl Stream {
    /// The next 64 bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Evenly distributed over [0, 1), in steps of 2⁻⁵³.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Evenly distributed over `middle` ± `variance`.
    #[inline]
    pub fn around(&mut self, middle: f64, variance: f64) -> f64 {
        middle + variance * (2.0 * self.unit() - 1.0)
    }

    /// A UUID in the layout of version 4 (RFC 9562, section 5.4).
    #[inline]
    pub fn uuid(&mut self) -> Uuid {
        let bits = (u128::from(self.bits()) << 64) | u128::from(self.bits());
        Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_stream_and_other_keys_have_others() {
        let user = Key::new(7).child(3);
        assert_eq!(user.stream().uuid(), Key::new(7).child(3).stream().uuid());
        let mut ids: Vec<Uuid> = (0..10_000).map(|view| user.child(view).stream().uuid()).collect();
        ids.extend((0..10_000).map(|other| Key::new(7).child(other).stream().uuid()));
        ids.extend((0..10_000).map(|seed| Key::new(seed).stream().uuid()));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 30_000);
    }

    #[test]
    fn ids_have_the_layout_of_version_4() {
        let mut stream = Key::new(1).stream();
        for _ in 0..1_000 {
            let id = stream.uuid();
            assert_eq!((id.get_version_num(), id.get_variant()), (4, uuid::Variant::RFC4122));
        }
    }

    /// The first numbers of neighbouring streams are as evenly distributed as the numbers of one stream. The 99.99 %
    /// point of χ² over 64 cells, at 63 degrees of freedom, is 113.5.
    #[test]
    fn the_first_numbers_of_neighbouring_streams_are_even() {
        let user = Key::new(42).child(9);
        let mut cells = [0_u32; 64];
        for view in 0..64_000 {
            cells[(user.child(view).stream().unit() * 64.0) as usize] += 1;
        }
        let chi2: f64 = cells.iter().map(|&n| (f64::from(n) - 1_000.0).powi(2) / 1_000.0).sum();
        assert!(chi2 < 113.5, "χ² = {chi2}");
    }
}
