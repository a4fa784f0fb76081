//! How commands end.

/// How a command ended, as its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done = 0,
    /// It ran, and found what should not be: books that do not balance, a failing test, something missing.
    Failed = 1,
    /// The command line is wrong, as a program says to which it was handed on.
    Usage = 2,
}

impl From<bool> for Outcome {
    fn from(good: bool) -> Self {
        if good { Self::Done } else { Self::Failed }
    }
}
