//! Every `cargo dataless` command in the documents is valid.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;

use super::Arguments;

const PROGRAM: &str = "cargo dataless ";

/// Placeholders that a reader replaces, and the day that the check uses for them.
const PLACEHOLDERS: [&str; 2] = ["D", "D2"];
const DAY: &str = "2026-11-20";

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folders = ["", "docs", "docs/decisions", "load-generator", "tests", "glue/bench", "examples/browser"];
    let folders = folders.iter().map(|folder| root.join(folder));
    let crates = fs::read_dir(root.join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let files = folders.chain(crates).filter(|folder| folder.is_dir()).flat_map(|folder| fs::read_dir(folder).unwrap());
    files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|kind| kind == "md")).collect()
}

/// A command in a document, and whether it is complete. Running text can name a command without its arguments.
#[derive(Debug, PartialEq)]
struct FoundCommand {
    words: Vec<String>,
    is_complete: bool,
}

fn commands(page: &str) -> Vec<FoundCommand> {
    let (mut found, mut rest, mut fence) = (Vec::new(), page, None);
    while let Some(line_end) = rest.find('\n').or((!rest.is_empty()).then_some(rest.len())) {
        let line = &rest[..line_end];
        if let Some(language) = line.trim_start().strip_prefix("```") {
            fence = if fence.is_some() { None } else { Some(language.to_owned()) };
        } else {
            let spans = fence.is_none();
            for (start, _) in line.match_indices(PROGRAM) {
                let is_code = if spans { line[..start].ends_with('`') } else { true };
                // A quoted command, as in the output of a program, ends with its quote.
                if is_code {
                    found.push(FoundCommand {
                        words: words(&rest[start + PROGRAM.len()..], spans),
                        is_complete: !spans,
                    });
                }
            }
        }
        rest = rest.get(line_end + 1..).unwrap_or_default();
    }
    found.retain(|one| !one.words.is_empty() && !one.words.iter().any(|word| word.contains('…')));
    found
}

/// Splits a command into words as a shell would, up to the end of the command.
fn words(text: &str, is_span: bool) -> Vec<String> {
    let (mut words, mut word, mut quote, mut chars) = (Vec::new(), None::<String>, None, text.chars().peekable());
    while let Some(char) = chars.next() {
        match char {
            _ if quote == Some(char) => quote = None,
            _ if quote.is_some() => word.get_or_insert_default().push(char),
            '\'' | '"' => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            '\\' if chars.peek() == Some(&'\n') => {
                chars.next();
            }
            // A span continues on the next line.
            '\n' if !is_span => break,
            '`' | '|' | ';' | '&' | ')' => break,
            '#' if word.is_none() => break,
            _ if char.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    let is_day = |word: &String| PLACEHOLDERS.contains(&word.as_str()) || word.starts_with('$') && word != "$AD";
    words.into_iter().map(|word| if is_day(&word) { DAY.to_owned() } else { word }).map(number).collect()
}

/// Replaces the placeholder `N`, as in `-n N`, with a number.
fn number(word: String) -> String {
    if word == "N" { "10".to_owned() } else { word }
}

fn check(command: &FoundCommand) -> Result<(), String> {
    let arguments = ["cargo dataless"].into_iter().chain(command.words.iter().map(String::as_str));
    let Err(error) = Arguments::try_parse_from(arguments) else { return Ok(()) };
    let names_only = matches!(
        error.kind(),
        ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if error.kind() == ErrorKind::DisplayHelp || names_only && !command.is_complete {
        return Ok(());
    }
    Err(error.to_string())
}

#[test]
fn commands_in_documents_are_valid() {
    let mut count = 0;
    for path in documents() {
        for command in commands(&fs::read_to_string(&path).unwrap()) {
            count += 1;
            if let Err(problem) = check(&command) {
                panic!("{}: cargo dataless {}: {problem}", path.display(), command.words.join(" "));
            }
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn a_command_ends_where_a_shell_ends_it() {
    let page = "Run `cargo dataless batch\n--day D`, or cargo dataless nothing.\n```sh\n\
                cargo dataless query '\n  SELECT 1' | head # cargo\nX=$(cargo dataless status --json)\n\
                cargo dataless etl --day \\\n  \"$TODAY\" || echo\ncargo dataless -v …\n```\n";
    let found = commands(page);
    let words: Vec<_> = found.iter().map(|one| one.words.iter().map(String::as_str).collect::<Vec<_>>()).collect();
    assert_eq!(
        words,
        [
            vec!["batch", "--day", DAY],
            vec!["query", "\n  SELECT 1"],
            vec!["status", "--json"],
            vec!["etl", "--day", DAY]
        ]
    );
    assert_eq!(found.iter().map(|one| one.is_complete).collect::<Vec<_>>(), [false, true, true, true]);
}

#[test]
fn a_wrong_command_is_found() {
    let found = |text: &str| check(&commands(&format!("```sh\ncargo dataless {text}\n```\n"))[0]);
    for good in ["ledger", "batch --day D --to D2", "demo --help", "events sample orders -n N --batch"] {
        assert_eq!(found(good), Ok(()), "{good}");
    }
    for bad in ["leger", "batch", "batch --day tomorrow", "ledger --days D", "query"] {
        assert!(found(bad).is_err(), "{bad}");
    }
    let named = commands("`cargo dataless replay` and `cargo dataless replays`");
    assert_eq!(named.iter().map(|one| check(one).is_ok()).collect::<Vec<_>>(), [true, false]);
}
