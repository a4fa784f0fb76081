//! Runs the commands of the README.

use super::{root, run};

fn section(heading: &str) -> String {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let rest = readme.split(&format!("\n## {heading}\n")).nth(1).unwrap();
    rest.split("\n## ").next().unwrap().to_owned()
}

/// Runs the first command of the README. It prints what the README shows, in wider columns. The number of clicks
/// depends on the day, and the README has that of another day.
pub fn demo() -> String {
    let section = section("Try it");
    let block = |mark: &str| section.split(mark).nth(1).unwrap().split("```").next().unwrap();
    let typed = block("```sh\n").lines().next().unwrap().split('#').next().unwrap().trim();
    let printed = run(&typed.strip_prefix("cargo dataless ").unwrap().split(' ').collect::<Vec<_>>());
    let narrow = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let clicks = |line: &str| Some(narrow(line).split_once(" accepted ")?.1.split_once(" + ")?.0.to_owned());
    let shown = block("```text\n").lines().find_map(clicks).unwrap();
    let counted = printed.lines().find_map(clicks).unwrap();
    let lines: Vec<String> = printed.lines().map(narrow).collect();
    let checks: Vec<&str> = block("```text\n").lines().filter(|line| line.starts_with('✓')).collect();
    assert!(checks.len() > 5);
    for check in checks {
        let check = narrow(check).replace(&shown, &counted);
        assert!(lines.contains(&check), "not printed: {check}\n{printed}");
    }
    assert!(lines.iter().any(|line| line.starts_with("The books balance. ")), "{printed}");
    printed
}

/// The shell blocks of the section "A warehouse that stays" of the README, as a reader would paste them.
pub fn commands() -> String {
    let section = section("A warehouse that stays");
    let blocks = section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.collect::<Vec<_>>().concat()
}
