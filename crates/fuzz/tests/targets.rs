//! Runs each target with few cases: inputs that are almost valid, and arbitrary bytes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use fuzz::memory::Counting;
use fuzz::{Target, read, rng, run, targets};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Checks 100 inputs that are almost valid, and as many each of arbitrary bytes and of text that looks like JSON.
/// proptest chooses the seeds and shrinks them on a failure. Of 300 more almost valid inputs, at least `least_taken`
/// percent must be accepted.
fn holds(target: &mut dyn Target, least_taken: u64) {
    let target = std::cell::RefCell::new(target);
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(100) });
    let check = |input: &[u8]| {
        read(*target.borrow_mut(), input);
    };
    runner
        .run(&any::<u64>(), |seed| {
            let input = target.borrow_mut().input(&mut rng("test", seed));
            check(&input);
            Ok(())
        })
        .unwrap();
    for_any(&mut runner, &check);
    let mut target = target.borrow_mut();
    let outcome = run(*target, &mut rng("share", 1), 300, Duration::MAX, |_, _| {});
    assert_eq!(outcome.cases, 300);
    assert!(outcome.taken * 100 >= least_taken * outcome.cases, "{} of {} were accepted", outcome.taken, outcome.cases);
    assert!(outcome.taken < outcome.cases, "every input was accepted");
    assert!(outcome.most.peak >= outcome.most.largest && outcome.most.largest > 0, "{:?}", outcome.most);
}

/// Checks inputs that are independent of the target.
fn for_any(runner: &mut TestRunner, check: &impl Fn(&[u8])) {
    let read = |input: &[u8]| {
        check(input);
        Ok(())
    };
    runner.run(&prop::collection::vec(any::<u8>(), 0..200), |input| read(&input)).unwrap();
    runner.run(&"[\\[\\]{}\":,0-9eE.+\\-\\\\u a-f\r\n\t]{0,120}", |input| read(input.as_bytes())).unwrap();
}

#[test]
fn bodies() {
    holds(&mut targets::Bodies::default(), 25);
}

#[test]
fn requests() {
    holds(&mut targets::Requests::default(), 15);
}

#[test]
fn pages() {
    holds(&mut targets::Pages::default(), 25);
}

#[test]
fn lines() {
    holds(&mut targets::Lines::default(), 50);
}

#[test]
fn firehose() {
    holds(&mut targets::Firehose::default(), 50);
}

#[test]
fn analytics() {
    holds(&mut targets::Analytics::default(), 25);
}

#[test]
fn schemas() {
    holds(&mut targets::Schemas::default(), 25);
}

#[test]
fn gzip() {
    holds(&mut targets::Gzip, 25);
}

#[test]
fn outputs() {
    holds(&mut targets::Outputs, 25);
}

#[test]
fn answers() {
    holds(&mut targets::Answers, 15);
}

#[test]
fn every_target_is_tested_here() {
    let names: Vec<&str> = targets::all().iter().map(|target| target.name()).collect();
    let source = include_str!("targets.rs");
    for name in &names {
        assert!(source.contains(&format!("#[test]\nfn {name}()")), "{name}");
        assert!(include_str!("../README.md").contains(&format!("| `{name}` |")), "{name}");
    }
    assert_eq!(names.len(), 10);
}
