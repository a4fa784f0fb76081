//! Runs the commands of `docs/tutorial.md` and `docs/your-own-events.md` in a separate checkout. They take minutes:
//! `cargo dataless test end-to-end` runs them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A command for a program in a folder, without the variables that cargo sets for a test. Build scripts that read them
/// would run again.
fn program(name: impl AsRef<std::ffi::OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(name);
    for (variable, _) in std::env::vars().filter(|(variable, _)| variable.starts_with("CARGO_")) {
        command.env_remove(variable);
    }
    command.current_dir(folder).stdin(Stdio::null());
    command
}

fn succeed(mut command: Command) -> String {
    let output = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
    text
}

/// Names of the crates of the workspace, and of their programs and tests.
fn own_crates(root: &Path) -> Vec<String> {
    let folders = fs::read_dir(root.join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let mut names = vec!["loadgen".to_owned()];
    for folder in folders.chain([root.join("load-generator")]).filter(|folder| folder.is_dir()) {
        names.push(folder.file_name().unwrap().to_str().unwrap().to_owned());
        for part in ["tests", "benches", "examples"] {
            let files = fs::read_dir(folder.join(part)).into_iter().flatten().map(|entry| entry.unwrap().path());
            names.extend(files.filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned())));
        }
    }
    names
}

/// A checkout with the files, the tools and the build output of this one. It stops its warehouse when it is dropped.
struct Checkout(TempDir);

impl Checkout {
    fn new() -> Self {
        let checkout = Self(tempfile::tempdir().unwrap());
        let (root, here) = (root(), checkout.path());
        let mut listed = program("git", &root);
        listed.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
        for file in succeed(listed).lines().filter(|file| root.join(file).is_file()) {
            let target = here.join(file);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(root.join(file), target).unwrap();
        }
        fs::create_dir_all(here.join(".dataless")).unwrap();
        std::os::unix::fs::symlink(root.join(".dataless/tools"), here.join(".dataless/tools")).unwrap();
        // Dependencies are the same, so hard links to them cost neither time nor space. The workspace's own crates are
        // removed: build scripts write to existing files, and would change those of this checkout.
        let built = Path::new(env!("CARGO_BIN_EXE_dataless")).parent().unwrap();
        fs::create_dir_all(here.join("target/debug")).unwrap();
        let own = own_crates(&root);
        for part in ["deps", "build", ".fingerprint"] {
            let mut link = program("cp", here);
            link.args(["--archive", "--link"]).arg(built.join(part)).arg("target/debug");
            succeed(link);
            for entry in fs::read_dir(here.join("target/debug").join(part)).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                let is_own = |own: &String| {
                    [own.clone(), own.replace('-', "_")].iter().any(|own| {
                        name.strip_prefix("lib")
                            .unwrap_or(name)
                            .strip_prefix(own.as_str())
                            .is_some_and(|rest| rest.starts_with('-'))
                    })
                };
                if own.iter().any(is_own) {
                    if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.unwrap();
                }
            }
        }
        for args in [
            &["init", "--quiet"][..],
            &["config", "user.name", "test"],
            &["config", "user.email", "test@example.com"],
            &["config", "commit.gpgsign", "false"],
            &["add", "--all"],
            &["commit", "--quiet", "--message", "start"],
        ] {
            let mut git = program("git", here);
            git.args(args);
            succeed(git);
        }
        checkout
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _ = program(env!("CARGO_BIN_EXE_dataless"), self.path()).args(["down", "--purge"]).status();
    }
}

/// The code blocks of a page that are marked with the word, in page order.
fn blocks<'a>(page: &'a str, word: &str) -> Vec<&'a str> {
    let mark = format!("\n```{word}\n");
    page.split(&mark[..]).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// Runs commands in a shell in the checkout, and returns their output.
fn paste(checkout: &Checkout, commands: &str) -> String {
    let mut bash = program("bash", checkout.path());
    // On a desktop, no browser opens.
    let path = format!("{}:{}", checkout.path().join(BROWSER).display(), std::env::var("PATH").unwrap());
    bash.env("PATH", path).arg("-c").arg(format!("set -euo pipefail\n{commands}"));
    succeed(bash)
}

fn assert_printed(printed: &str, answers: &[&str]) {
    for line in answers.iter().flat_map(|answer| answer.lines()).filter(|line| !line.is_empty()) {
        assert!(printed.contains(line.trim_end()), "not printed: {line}\n{printed}");
    }
}

/// One checkout for both pages: it takes minutes to build.
#[test]
#[ignore = "needs the emulator and Spark: cargo dataless test runs it"]
fn the_tutorial_and_the_page_on_event_types_work_when_pasted() {
    let checkout = Checkout::new();
    the_tutorial_leads_from_a_machine_to_a_changed_query(&checkout);
    an_event_type_of_ones_own_goes_from_samples_to_an_answer(&checkout);
}

/// A folder of the checkout with programs that record an address instead of opening a browser.
const BROWSER: &str = ".dataless/browser";

/// The second terminal of the tutorial.
const DASHBOARD: &str = "cargo dataless dashboard --open\n";
const DEMO: &str = "cargo dataless demo\n";

/// Replaces two of the blocks for the test.
fn pasted(commands: &str) -> String {
    match commands {
        DASHBOARD => {
            format!("{} >/dev/null 2>&1 &\ntrap \"kill $! 2>/dev/null || true\" EXIT\n", DASHBOARD.trim_end())
        }
        // The tests of `demo` already run it as in the README.
        DEMO => String::new(),
        _ => commands.to_owned(),
    }
}

/// Runs the tutorial, and returns the output of each block.
fn paste_the_tutorial(checkout: &Checkout) -> Vec<String> {
    const END: &str = "=== end of the block";
    let browser = checkout.path().join(BROWSER);
    fs::create_dir_all(&browser).unwrap();
    for name in ["xdg-open", "open"] {
        let program = browser.join(name);
        fs::write(&program, "#!/bin/sh\necho \"$1\" >\"$(dirname \"$0\")/address\"\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let page = fs::read_to_string(root().join("docs/tutorial.md")).unwrap();
    let blocks_of_commands = blocks(&page, "sh");
    assert!(blocks_of_commands.contains(&DASHBOARD) && blocks_of_commands.contains(&DEMO));
    let commands: String =
        blocks_of_commands.iter().map(|commands| format!("{}\necho '{END}'\n", pasted(commands))).collect();
    // The page is served until the warehouse stops.
    let look = format!("curl -s \"$(cat {BROWSER}/address)\" >{BROWSER}/page.html\n");
    let printed = paste(checkout, &commands.replace("rm pipeline/hive", &format!("{look}rm pipeline/hive")));
    assert_printed(&printed, &blocks(&page, "text"));
    assert!(fs::read_to_string(browser.join("page.html")).unwrap().contains("id=\"dashboards\""));
    printed.split(END).take(blocks_of_commands.len()).map(str::to_owned).collect()
}

/// The words of the first line for which `is_row` is true.
fn row(text: &str, is_row: impl Fn(&str) -> bool) -> Vec<&str> {
    let found = text.lines().find(|line| is_row(line));
    found.unwrap_or_else(|| panic!("no such row\n{text}")).split_whitespace().collect()
}

fn the_tutorial_leads_from_a_machine_to_a_changed_query(checkout: &Checkout) {
    let printed = paste_the_tutorial(checkout);
    let blocks: Vec<&str> = printed.iter().map(String::as_str).collect();
    let [doctor, _, up, refused, twice, _, load, raw, books, asked, change, failed, before, after, tests, _] =
        blocks[..]
    else {
        panic!("the tutorial has other blocks: {printed:?}");
    };
    assert!(doctor.contains("✓ Java 17") && up.contains("stream of clicks"), "{doctor}{up}");
    assert!(refused.contains("InvalidId"), "{refused}");
    assert!(twice.contains(r#"{"failed_count":0,"records":[{"failed":false},{"failed":false}]}"#), "{twice}");
    assert!(load.contains("Complete: every event was acknowledged."), "{load}");
    assert!(raw.contains("data/raw/ad/clicks/") && raw.contains("data/raw/ad/impressions/"), "{raw}");
    // The one click that was sent twice.
    let clicks = row(books, |line| line.contains("  clicks  "));
    assert_eq!((clicks[0], clicks[5]), ("✓", "1"), "{books}");
    let in_the_lake = row(asked, |line| line.find(' ') == Some(36) && !line.starts_with('-'));
    let served = row(asked, |line| line.find(' ') == Some(10) && line.starts_with("20"));
    assert_eq!(in_the_lake[1..], served[1..3], "{asked}");
    assert!(change.contains("\n+") && failed.contains("refused"), "{change}{failed}");
    let sums = |text: &str| -> Vec<u64> {
        text.trim_end().lines().last().unwrap().split_whitespace().map(|sum| sum.parse().unwrap()).collect()
    };
    let (before, after) = (sums(before), sums(after));
    assert_eq!((before[0], after[0]), (2001, 2001));
    // Views are clicked after three to seven seconds. In whole seconds, three in eight are below five. With 600 clicks,
    // five standard deviations are a tenth of them.
    assert!(after[1] * 1000 > before[1] * 275 && after[1] * 1000 < before[1] * 475, "{before:?} {after:?}");
    assert!(tests.contains(" passed"), "{tests}");
    let mut left = program("git", checkout.path());
    left.args(["status", "--porcelain"]);
    assert_eq!(succeed(left), "", "the change was not undone");
}

fn an_event_type_of_ones_own_goes_from_samples_to_an_answer(checkout: &Checkout) {
    let page = fs::read_to_string(root().join("docs/your-own-events.md")).unwrap();
    let commands = blocks(&page, "sh").concat();
    assert!(commands.contains("events new orders") && commands.contains("--against HEAD || echo"), "{commands}");
    // Blocks with command output are after the first command and before the reference at the end.
    let pasted = page.split_once("\n```sh\n").unwrap().1.split_once("\n## What a schema can have\n").unwrap().0;
    let answers = blocks(pasted, "text");
    assert!(answers.len() >= 4, "{answers:?}");

    let printed = paste(checkout, &commands);
    assert_printed(&printed, &answers);
    // The books of both batches balance: 200 samples, then 100 more.
    for orders in [" 200 ", " 300 "] {
        assert!(
            printed.lines().any(|line| line.starts_with('✓') && line.contains("orders") && line.contains(orders)),
            "{printed}"
        );
    }
    let mut left = program("git", checkout.path());
    left.args(["status", "--porcelain"]);
    assert_eq!(succeed(left), "", "a change was not committed, or the refused one was not undone");
}
