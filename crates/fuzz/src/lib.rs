#![doc = include_str!("../README.md")]

pub mod memory;
mod mutate;
mod oracle;
mod stores;
pub mod targets;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::memory::{Usage, measure};

/// Something that reads bytes from outside.
pub trait Target {
    /// Its name, by which it is chosen.
    fn name(&self) -> &'static str;

    /// An input that is right, or nearly.
    fn input(&mut self, rng: &mut Rng) -> Vec<u8>;

    /// Reads the input, and panics where what was read is not what must be. Whether the input was taken.
    fn check(&mut self, input: &[u8]) -> bool;

    /// The most bytes that reading an input may take at once: so much for any, and so much for each of its bytes.
    fn bound(&self) -> (usize, usize);
}

/// What came of many cases.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// How many there were.
    pub cases: u64,
    /// How many inputs were taken.
    pub taken: u64,
    /// The bytes of all inputs.
    pub bytes: u64,
    /// How long they took.
    pub time: Duration,
    /// The most that any took.
    pub most: Usage,
}

/// The random numbers of a target: others for each, the same for the same seed.
#[must_use]
pub fn rng(name: &str, seed: u64) -> Rng {
    let mut hasher = DefaultHasher::new();
    (name, seed).hash(&mut hasher);
    Rng::with_seed(hasher.finish())
}

/// Reads one input; whether it was taken, and what that took.
///
/// # Panics
/// When what was read is wrong, or took more memory than it may.
pub fn read(target: &mut dyn Target, input: &[u8]) -> (bool, Usage) {
    let (taken, usage) = measure(|| target.check(input));
    let (least, factor) = target.bound();
    let bound = least + factor * input.len();
    assert!(usage.peak <= bound, "{} bytes took {} of memory, more than {bound}", input.len(), usage.peak);
    (taken, usage)
}

/// Runs cases until there were so many, or the time is over. `before` sees each input first.
pub fn run(
    target: &mut dyn Target,
    rng: &mut Rng,
    cases: u64,
    time: Duration,
    mut before: impl FnMut(u64, &[u8]),
) -> Outcome {
    /// How many cases there are between two looks at the clock.
    const STRIDE: u64 = 64;
    let started = Instant::now();
    let mut outcome = Outcome::default();
    while outcome.cases < cases {
        if outcome.cases.is_multiple_of(STRIDE) && started.elapsed() >= time {
            break;
        }
        let input = target.input(rng);
        before(outcome.cases, &input);
        let (taken, usage) = read(target, &input);
        outcome.cases += 1;
        outcome.taken += u64::from(taken);
        outcome.bytes += input.len() as u64;
        outcome.most.peak = outcome.most.peak.max(usage.peak);
        outcome.most.largest = outcome.most.largest.max(usage.largest);
    }
    outcome.time = started.elapsed();
    outcome
}
