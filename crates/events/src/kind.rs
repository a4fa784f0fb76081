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

    /// What a line of the raw zone looks like.
    pub(crate) const fn raw_line(self) -> &'static RawLine {
        match self {
            Self::Impression => &IMPRESSION_LINE,
            Self::Click => &CLICK_LINE,
        }
    }
}

/// A line of the raw zone with its ids and its time still to be filled in.
#[derive(Debug)]
pub(crate) struct RawLine {
    pub(crate) template: &'static str,
    /// Where the ids stand, in the order of [`Kind::ids`].
    pub(crate) ids: &'static [usize],
    /// Where the time stands.
    pub(crate) occurred_at: usize,
}

const IMPRESSION_LINE: RawLine = RawLine {
    template: concat!(
        r#"{"impression_id":"00000000-0000-0000-0000-000000000000","#,
        r#""ad_id":"00000000-0000-0000-0000-000000000000","#,
        r#""occurred_at":"0000-00-00 00:00:00.000"}"#,
        "\n"
    ),
    ids: &[18, 65],
    occurred_at: 118,
};

const CLICK_LINE: RawLine = RawLine {
    template: concat!(
        r#"{"click_id":"00000000-0000-0000-0000-000000000000","#,
        r#""impression_id":"00000000-0000-0000-0000-000000000000","#,
        r#""ad_id":"00000000-0000-0000-0000-000000000000","#,
        r#""occurred_at":"0000-00-00 00:00:00.000"}"#,
        "\n"
    ),
    ids: &[13, 68, 115],
    occurred_at: 168,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_of_a_raw_line_are_behind_the_names_of_its_fields() {
        for kind in [Kind::Impression, Kind::Click] {
            let line = kind.raw_line();
            let place_of = |name: &str| {
                let name = format!("\"{name}\":\"");
                line.template.find(&name).unwrap() + name.len()
            };
            let ids: Vec<usize> = kind.ids().iter().map(|name| place_of(name)).collect();
            assert_eq!(line.ids, ids, "{kind:?}");
            assert_eq!(line.occurred_at, place_of(OCCURRED_AT), "{kind:?}");
        }
    }
}
