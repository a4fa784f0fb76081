//! How commands end.

/// How a command ended, as its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done = 0,
    /// It ran and found a problem: books that do not balance, a failing test, something missing.
    Failed = 1,
    /// The arguments are wrong, according to a program that they were passed to.
    Usage = 2,
}

impl From<bool> for Outcome {
    fn from(good: bool) -> Self {
        if good { Self::Done } else { Self::Failed }
    }
}
