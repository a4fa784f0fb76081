//! What the parts came to: counts, failures, and where the time went.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// Passed, failed and skipped tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    pub skipped: u64,
}

impl Tally {
    /// A check that has no tests to count.
    pub const ONE: Self = Self { passed: 1, failed: 0, skipped: 0 };

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// A test that ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    pub name: String,
    pub seconds: f64,
    pub outcome: CaseOutcome,
    /// Why it failed, in the words of its runner.
    pub failure: String,
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaseOutcome {
    Passed,
    Failed,
    Skipped,
}

/// Reads the file that nextest or pytest wrote.
/// <https://github.com/testmoapp/junitxml>
pub fn read_junit(path: &Path) -> Result<Vec<Case>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    let document = roxmltree::Document::parse(&text).with_context(|| format!("failed to parse {}", path.display()))?;
    let is_case = |node: &roxmltree::Node<'_, '_>| node.has_tag_name("testcase");
    Ok(document.descendants().filter(is_case).map(|node| read_case(&node)).collect())
}

fn read_case(node: &roxmltree::Node<'_, '_>) -> Case {
    let attribute = |name| node.attribute(name).unwrap_or_default();
    let find = |names: &[&str]| node.children().find(|child| names.iter().any(|name| child.has_tag_name(*name)));
    let failure = find(&["failure", "error"]);
    let outcome = if failure.is_some() {
        CaseOutcome::Failed
    } else if find(&["skipped"]).is_some() {
        CaseOutcome::Skipped
    } else {
        CaseOutcome::Passed
    };
    let texts = failure.iter().flat_map(|found| [found.text(), found.attribute("message")]).flatten();
    let failure = texts.map(str::trim).find(|text| !text.is_empty()).unwrap_or_default().to_owned();
    let name = format!("{} {}", attribute("classname"), attribute("name")).trim().to_owned();
    Case { name, seconds: attribute("time").parse().unwrap_or_default(), outcome, failure }
}

/// The start and the end of a long text: an assertion is at its start in Rust, at its end in Python.
fn excerpt(text: &str) -> Vec<&str> {
    const FIRST: usize = 5;
    const LAST: usize = 15;
    let mut lines: Vec<_> = text.lines().collect();
    if lines.len() > FIRST + LAST + 1 {
        lines.splice(FIRST..lines.len() - LAST, ["…"]);
    }
    lines
}

/// Counts tests by their outcome.
pub fn tally(cases: &[Case]) -> Tally {
    let count = |outcome| cases.iter().filter(|case| case.outcome == outcome).count() as u64;
    Tally {
        passed: count(CaseOutcome::Passed),
        failed: count(CaseOutcome::Failed),
        skipped: count(CaseOutcome::Skipped),
    }
}

/// All that was run so far.
#[derive(Debug, Default)]
pub struct Report {
    total: Tally,
    steps: Vec<(String, Duration)>,
    cases: Vec<Case>,
    failures: Vec<String>,
}

impl Report {
    /// A step that took its time, whatever came of it.
    pub fn took(&mut self, step: &str, elapsed: Duration) {
        self.steps.push((step.to_owned(), elapsed));
    }

    /// The tests of a step that passed as a whole.
    pub fn passed(&mut self, tally: Tally, cases: Vec<Case>) {
        self.total.add(tally);
        self.cases.extend(cases);
    }

    /// A step that failed: by some of its tests, or before it ran any.
    pub fn failed(&mut self, step: &str, cases: Vec<Case>) {
        let counted = tally(&cases);
        self.total.add(Tally { failed: counted.failed.max(1), ..counted });
        self.cases.extend(cases);
        self.failures.push(step.to_owned());
    }

    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Each failed test, and why it failed.
    pub fn failed_tests(&self) -> String {
        let mut lines = Vec::new();
        for case in self.cases.iter().filter(|case| case.outcome == CaseOutcome::Failed) {
            lines.push(format!("✗ {}", case.name));
            lines.extend(excerpt(&case.failure).into_iter().map(|line| format!("    {line}").trim_end().to_owned()));
        }
        lines.join("\n")
    }

    pub const fn total(&self) -> Tally {
        self.total
    }

    /// Where the time went: seconds by step, and the slowest tests.
    pub fn times(&self) -> String {
        const SLOWEST: usize = 10;
        let mut lines = vec!["Where the time went (steps overlap):".to_owned()];
        let mut steps: Vec<_> = self.steps.iter().collect();
        steps.sort_by_key(|(_, elapsed)| std::cmp::Reverse(*elapsed));
        lines.extend(steps.iter().map(|(name, elapsed)| format!("{:>8.1} s  {name}", elapsed.as_secs_f64())));
        let mut cases: Vec<_> = self.cases.iter().collect();
        cases.sort_by(|left, right| right.seconds.total_cmp(&left.seconds));
        cases.truncate(SLOWEST);
        if !cases.is_empty() {
            lines.push("The slowest tests:".to_owned());
            lines.extend(cases.iter().map(|case| format!("{:>8.1} s  {}", case.seconds, case.name)));
        }
        lines.join("\n")
    }

    /// The last line, which others read.
    pub fn summary(&self) -> String {
        let Tally { passed, failed, skipped } = self.total;
        let skipped = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
        format!("{passed} passed, {failed} failed{skipped}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Case>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("junit.xml");
        std::fs::write(&path, text).unwrap();
        read_junit(&path)
    }

    /// A report in the format of pytest 9.
    const PYTEST: &str = r#"<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4" time="3.4">
<testcase classname="glue.tests.test_etl" name="test_a[x-&lt;y&gt;]" time="1.250" />
<testcase classname="glue.tests.test_etl" name="test_b" time="0.5"><failure message="assert 1 == 2">def test_b()</failure></testcase>
<testcase classname="glue.tests.test_etl" name="test_c" time="0.0"><error message="failed on setup">E</error></testcase>
<testcase classname="glue.tests.test_etl" name="test_d" time="0.0"><skipped type="pytest.skip" message="no" /></testcase>
</testsuite></testsuites>"#;

    #[test]
    fn a_file_of_pytest_is_read() {
        let cases = read(PYTEST).unwrap();
        assert_eq!(tally(&cases), Tally { passed: 1, failed: 2, skipped: 1 });
        let name = "glue.tests.test_etl test_a[x-<y>]".to_owned();
        let failure = String::new();
        assert_eq!(cases[0], Case { name, seconds: 1.25, outcome: CaseOutcome::Passed, failure });
        assert_eq!((cases[1].failure.as_str(), cases[2].failure.as_str()), ("def test_b()", "E"));
    }

    #[test]
    fn a_file_of_nextest_is_read() {
        let text = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="2" failures="1" errors="0" uuid="x" timestamp="2026-11-29T00:00:00.000+00:00" time="2.5">
    <testsuite name="events" tests="2" disabled="0" errors="0" failures="1">
        <testcase name="time::tests::a" classname="events" timestamp="2026-11-29T00:00:00.000+00:00" time="0.005"></testcase>
        <testcase name="time::tests::b" classname="events" timestamp="2026-11-29T00:00:00.000+00:00" time="2.250">
            <failure message="thread panicked" type="test failure with exit code 101">thread panicked</failure>
        </testcase>
    </testsuite>
</testsuites>"#;
        let cases = read(text).unwrap();
        assert_eq!(tally(&cases), Tally { passed: 1, failed: 1, skipped: 0 });
        assert_eq!((cases[1].name.as_str(), cases[1].seconds), ("events time::tests::b", 2.25));
    }

    #[test]
    fn a_truncated_report_is_an_error() {
        assert!(read(&PYTEST[..PYTEST.len() - 20]).is_err());
    }

    #[test]
    fn the_report_has_steps_slowest_first_and_counts_a_step_without_a_test_as_a_failure() {
        let mut report = Report::default();
        report.took("format", Duration::from_millis(1500));
        report.passed(Tally::ONE, Vec::new());
        report.took("jobs", Duration::from_secs(100));
        report.failed("jobs", read(PYTEST).unwrap());
        report.failed("browser", Vec::new());
        assert_eq!(report.summary(), "2 passed, 3 failed, 1 skipped");
        assert_eq!(report.failures(), ["jobs", "browser"]);
        let times = report.times();
        let expected = "Where the time went (steps overlap):\n   100.0 s  jobs\n     1.5 s  format\nThe slowest tests:\n     \
                        1.2 s  glue.tests.test_etl test_a[x-<y>]\n     0.5 s  glue.tests.test_etl test_b\n";
        assert!(times.starts_with(expected), "{times}");
        let failed = "✗ glue.tests.test_etl test_b\n    def test_b()\n✗ glue.tests.test_etl test_c\n    E";
        assert_eq!(report.failed_tests(), failed);
    }

    #[test]
    fn a_long_failure_keeps_its_start_and_its_end() {
        let text = |count: u32| (1..=count).map(|line| line.to_string()).collect::<Vec<_>>().join("\n");
        assert_eq!(excerpt(&text(21)).len(), 21);
        let long = text(30);
        let lines = excerpt(&long);
        assert_eq!(lines[..7], ["1", "2", "3", "4", "5", "…", "16"]);
        assert_eq!((lines.len(), lines.last()), (21, Some(&"30")));
    }
}
