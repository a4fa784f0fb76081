//! The two kinds of events and the fields each has.

/// A kind of event: it decides the batch's key, the event's fields and the table it ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An ad was shown: `impression_id`, `ad_id`, `occurred_at`.
    Impression,
    /// A shown ad was clicked: `click_id`, `impression_id`, `ad_id`, `occurred_at`.
    Click,
}

/// The most ids an event has: a click's own, its impression's and its ad's.
pub(crate) const MAX_IDS: usize = 3;

/// The name of the one field that is no id.
pub(crate) const OCCURRED_AT: &str = "occurred_at";

impl Kind {
    /// The key of a batch's array, which is the name of the kind's table too: `impressions` or `clicks`.
    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Self::Impression => "impressions",
            Self::Click => "clicks",
        }
    }

    /// The names of the id fields in the order of the raw form. The first is the event's own id, which the server
    /// gives when the client does not.
    #[must_use]
    pub const fn ids(self) -> &'static [&'static str] {
        match self {
            Self::Impression => &["impression_id", "ad_id"],
            Self::Click => &["click_id", "impression_id", "ad_id"],
        }
    }
}
