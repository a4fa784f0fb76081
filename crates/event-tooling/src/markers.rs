//! Generated text between two comments of a file that is otherwise written by hand.

use thiserror::Error;

/// A file without the comments around a generated part.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MarkerError {
    /// There is no such part.
    #[error("it has no line `# begin: {0}`: restore it from Git")]
    Missing(String),
    /// A part has no end.
    #[error("line {1}: `# begin: {0}` has no `# end: {0}` of its own: restore it from Git")]
    NoEnd(String, usize),
    /// A part has no beginning.
    #[error("line {1}: `# end: {0}` has no `# begin: {0}`: restore it from Git")]
    NoBegin(String, usize),
}

/// Replaces the text between the comments `# begin: <name>` and `# end: <name>` by `part`, wherever they are. The part is
/// indented like the first comment.
///
/// # Errors
/// When there are no such comments, or one has no counterpart.
pub fn replace(text: &str, name: &str, part: &str) -> Result<String, MarkerError> {
    let (begin, end) = (format!("# begin: {name}"), format!("# end: {name}"));
    let mut out = String::with_capacity(text.len() + part.len());
    // The line of the begin comment, inside a part.
    let mut open = None;
    let mut parts = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let comment = line.trim();
        if comment == begin {
            if let Some(line) = open {
                return Err(MarkerError::NoEnd(name.to_owned(), line));
            }
            open = Some(number + 1);
            parts += 1;
            out.push_str(line);
            out.push_str(&indented(part, line.len() - line.trim_start().len()));
            continue;
        }
        if comment == end && open.take().is_none() {
            return Err(MarkerError::NoBegin(name.to_owned(), number + 1));
        }
        if open.is_none() {
            out.push_str(line);
        }
    }
    match open {
        Some(line) => Err(MarkerError::NoEnd(name.to_owned(), line)),
        None if parts == 0 => Err(MarkerError::Missing(name.to_owned())),
        None => Ok(out),
    }
}

fn indented(part: &str, indent: usize) -> String {
    let blanks = " ".repeat(indent);
    let lines = part.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{blanks}{line}\n") });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a:\n  # begin: part\n  old\n  # end: part\nb:\n";

    #[test]
    fn only_what_is_between_the_comments_changes() {
        let new = replace(TEXT, "part", "1:\n\n  2\n").unwrap();
        assert_eq!(new, "a:\n  # begin: part\n  1:\n\n    2\n  # end: part\nb:\n");
        assert_eq!(replace(&new, "part", "old\n").unwrap(), TEXT);
        assert_eq!(replace(TEXT, "part", "").unwrap(), "a:\n  # begin: part\n  # end: part\nb:\n");
    }

    #[test]
    fn a_part_may_be_in_several_places() {
        let twice = format!("{TEXT}# begin: part\n# end: part\n");
        let new = "a:\n  # begin: part\n  x\n  # end: part\nb:\n# begin: part\nx\n# end: part\n";
        assert_eq!(replace(&twice, "part", "x\n").unwrap(), new);
    }

    #[test]
    fn a_part_needs_both_of_its_comments_in_order() {
        for (text, expected) in [
            ("# begin: part\n", "line 1: `# begin: part` has no `# end: part`"),
            ("\n# end: part\n# begin: part\n", "line 2: `# end: part` has no `# begin: part`"),
            ("# begin: part\n# begin: part\n# end: part\n", "line 1: `# begin: part` has no `# end: part`"),
            ("# begin: part of it\n", "it has no line `# begin: part`"),
        ] {
            let error = replace(text, "part", "new\n").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
