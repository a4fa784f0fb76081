//! Compares what the sender knows about each event with every place that should contain it. It does not know where the
//! figures come from.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The number of copies of each event at a place.
pub type Copies = HashMap<Uuid, u32>;

/// The most ids that a report lists of one kind. Counts are always complete.
const MOST_LISTED: usize = 1_000;

/// What the sender knows about an event, the least certain first. If an event was sent more than once, the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// The answer said that it is not a valid event.
    Refused,
    /// The answer said that it could not be stored. A copy may have been stored all the same, before the failure.
    NotStored,
    /// No answer, or none with its fate.
    Unknown,
    /// The answer acknowledged it.
    Acknowledged,
}

/// A place that an acknowledged event must reach, in order.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Raw lines in S3.
    Raw,
    /// Still in `raw-errors/`, where Firehose set it aside.
    SetAside,
    /// Rows of the type's table.
    Lake,
    /// Rows of `advertising`: impressions only.
    Derived,
}

/// Where events of a type were found.
#[derive(Debug, Default)]
pub struct Observed {
    pub raw: Copies,
    pub set_aside: Copies,
    pub lake: Copies,
    /// `None` if no derived table has the event's id.
    pub derived: Option<Copies>,
    /// Erased events, which must be nowhere.
    pub erased: HashSet<Uuid>,
}

/// The number of events of one kind, and their ids.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct EventList {
    pub count: u64,
    pub ids: Vec<Uuid>,
}

impl EventList {
    fn add(&mut self, id: Uuid) {
        self.count += 1;
        if self.ids.len() < MOST_LISTED {
            self.ids.push(id);
        }
    }
}

/// The fates of the events of a type, by their own ids.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Account {
    pub acknowledged: u64,
    pub refused: u64,
    pub not_stored: u64,
    pub unknown: u64,
    /// Unknown events that were stored. The others are nowhere.
    pub unknown_stored: u64,
    /// Events that could not be stored, according to the answer, and that were stored.
    pub not_stored_but_stored: u64,
    /// Events with several raw lines: a sender may retry, and the lake keeps one.
    pub sent_again: u64,
    /// Events that were erased, and are nowhere.
    pub erased: u64,
    /// Acknowledged or stored events that did not reach the last stage, by the first stage that lacks them.
    pub missing: BTreeMap<Stage, EventList>,
    /// More than one row.
    pub doubled: BTreeMap<Stage, EventList>,
    /// Refused as invalid, but stored.
    pub refused_but_stored: EventList,
    /// Stored, but never sent.
    pub never_sent: EventList,
    /// Erased, but still stored.
    pub not_erased: EventList,
}

impl Account {
    /// Whether every event is exactly once where it must be, and nowhere else.
    pub fn balances(&self) -> bool {
        let others = [&self.refused_but_stored, &self.never_sent, &self.not_erased];
        self.lost() == 0 && self.doubled() == 0 && others.iter().all(|listed| listed.count == 0)
    }

    pub fn lost(&self) -> u64 {
        self.missing.values().map(|listed| listed.count).sum()
    }

    pub fn doubled(&self) -> u64 {
        self.doubled.values().map(|listed| listed.count).sum()
    }
}

/// Compares what was sent with what was found. Lists are sorted by id.
pub fn account(sent: &HashMap<Uuid, Fate>, observed: &Observed) -> Account {
    let mut account = Account::default();
    let stored = [&observed.raw, &observed.set_aside, &observed.lake];
    let stored = stored.into_iter().chain(&observed.derived).flat_map(HashMap::keys);
    let mut unexpected: Vec<Uuid> = stored.filter(|id| !sent.contains_key(*id)).copied().collect();
    unexpected.sort_unstable();
    unexpected.dedup();
    unexpected.into_iter().for_each(|id| account.never_sent.add(id));

    let mut ids: Vec<(&Uuid, &Fate)> = sent.iter().collect();
    ids.sort_unstable();
    for (&id, &fate) in ids {
        settle(&mut account, id, fate, observed);
    }
    account
}

fn settle(account: &mut Account, id: Uuid, fate: Fate, observed: &Observed) {
    let found = EventCopies::of(id, observed);
    match fate {
        Fate::Acknowledged => account.acknowledged += 1,
        Fate::Refused => account.refused += 1,
        Fate::NotStored => account.not_stored += 1,
        Fate::Unknown => account.unknown += 1,
    }
    if observed.erased.contains(&id) {
        if found.is_anywhere() {
            account.not_erased.add(id)
        } else {
            account.erased += 1
        }
        return;
    }
    match fate {
        Fate::Acknowledged => {}
        _ if !found.is_anywhere() => return,
        Fate::Refused => return account.refused_but_stored.add(id),
        Fate::NotStored => account.not_stored_but_stored += 1,
        Fate::Unknown => account.unknown_stored += 1,
    }
    // A stored event must reach all stages, whatever its sender knows.
    if let Some(stage) = found.missing_stage() {
        account.missing.entry(stage).or_default().add(id);
    }
    for (stage, copies) in [(Stage::Lake, found.lake), (Stage::Derived, found.derived.unwrap_or_default())] {
        if copies > 1 {
            account.doubled.entry(stage).or_default().add(id);
        }
    }
    account.sent_again += u64::from(found.raw > 1);
}

/// The copies of one event.
struct EventCopies {
    raw: u32,
    set_aside: u32,
    lake: u32,
    derived: Option<u32>,
}

impl EventCopies {
    fn of(id: Uuid, observed: &Observed) -> Self {
        let at = |copies: &Copies| copies.get(&id).copied().unwrap_or_default();
        Self {
            raw: at(&observed.raw),
            set_aside: at(&observed.set_aside),
            lake: at(&observed.lake),
            derived: observed.derived.as_ref().map(at),
        }
    }

    fn is_anywhere(&self) -> bool {
        self.raw + self.set_aside + self.lake + self.derived.unwrap_or_default() > 0
    }

    /// The first stage that it has not reached.
    fn missing_stage(&self) -> Option<Stage> {
        match self {
            Self { raw: 0, set_aside: 1.., .. } => Some(Stage::SetAside),
            Self { raw: 0, .. } => Some(Stage::Raw),
            Self { lake: 0, .. } => Some(Stage::Lake),
            Self { derived: Some(0), .. } => Some(Stage::Derived),
            _ => None,
        }
    }
}

/// An ad and a day.
pub type AdDay = (String, String);

/// Impressions and clicked impressions by ad and day.
pub type Traffic = BTreeMap<AdDay, (u64, u64)>;

/// An ad's day that differs between the three. A missing row is null.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct TrafficDifference {
    pub ad: String,
    pub day: String,
    /// Counted in `advertising`, row by row.
    pub advertising: Option<(u64, u64)>,
    pub ad_traffic: Option<(u64, u64)>,
    pub dynamodb: Option<(u64, u64)>,
}

/// Compares all days of all ads.
pub fn compare_traffic(advertising: &Traffic, ad_traffic: &Traffic, dynamodb: &Traffic) -> Vec<TrafficDifference> {
    let mut keys: Vec<&AdDay> = [advertising, ad_traffic, dynamodb].into_iter().flat_map(BTreeMap::keys).collect();
    keys.sort_unstable();
    keys.dedup();
    let differences = keys.into_iter().filter_map(|key| {
        let [advertising, ad_traffic, dynamodb] =
            [advertising, ad_traffic, dynamodb].map(|side| side.get(key).copied());
        let (ad, day) = key.clone();
        (advertising != ad_traffic || ad_traffic != dynamodb).then_some(TrafficDifference {
            ad,
            day,
            advertising,
            ad_traffic,
            dynamodb,
        })
    });
    differences.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn ids(numbers: &[u128]) -> EventList {
        EventList { count: numbers.len() as u64, ids: numbers.iter().copied().map(id).collect() }
    }

    fn copies(numbers: &[u128]) -> Copies {
        let mut copies = Copies::new();
        for number in numbers {
            *copies.entry(id(*number)).or_default() += 1;
        }
        copies
    }

    fn sent<const N: usize>(events: [(u128, Fate); N]) -> HashMap<Uuid, Fate> {
        events.map(|(number, fate)| (id(number), fate)).into()
    }

    fn impressions(raw: &[u128], lake: &[u128], derived: &[u128]) -> Observed {
        Observed { raw: copies(raw), lake: copies(lake), derived: Some(copies(derived)), ..Default::default() }
    }

    const ALL: [(u128, Fate); 3] = [(1, Fate::Acknowledged), (2, Fate::Acknowledged), (3, Fate::Acknowledged)];

    #[test]
    fn events_that_are_everywhere_once_balance() {
        let account = account(&sent(ALL), &impressions(&[1, 2, 3], &[1, 2, 3], &[1, 2, 3]));
        assert_eq!(account, Account { acknowledged: 3, ..Default::default() });
        assert!(account.balances());
    }

    #[test]
    fn an_acknowledged_event_that_is_nowhere_is_lost_before_raw() {
        let account = account(&sent(ALL), &impressions(&[1, 3], &[1, 3], &[1, 3]));
        assert_eq!(account.missing, [(Stage::Raw, ids(&[2]))].into());
        assert_eq!((account.lost(), account.balances()), (1, false));
    }

    #[test]
    fn a_lost_event_is_named_with_the_first_stage_that_lacks_it() {
        let mut observed = impressions(&[2, 3, 4], &[3, 4], &[4]);
        observed.set_aside = copies(&[1]);
        let sent = sent([1, 2, 3, 4].map(|number| (number, Fate::Acknowledged)));
        let account = account(&sent, &observed);
        let expected = [(Stage::SetAside, ids(&[1])), (Stage::Lake, ids(&[2])), (Stage::Derived, ids(&[3]))];
        assert_eq!(account.missing, expected.into());
        assert_eq!(account.lost(), 3);
    }

    #[test]
    fn a_row_of_the_lake_without_its_raw_line_is_missing_in_raw() {
        let account = account(&sent(ALL), &impressions(&[1, 2], &[1, 2, 3], &[1, 2, 3]));
        assert_eq!(account.missing, [(Stage::Raw, ids(&[3]))].into());
    }

    #[test]
    fn clicks_need_no_row_in_derived_tables() {
        let observed = Observed { raw: copies(&[1, 2, 3]), lake: copies(&[1, 2, 3]), ..Default::default() };
        assert!(account(&sent(ALL), &observed).balances());
    }

    #[test]
    fn a_second_row_is_doubled_and_a_second_raw_line_is_not() {
        let account = account(&sent(ALL), &impressions(&[1, 1, 1, 2, 3], &[1, 2, 2, 3], &[1, 2, 3, 3]));
        assert_eq!(account.doubled, [(Stage::Lake, ids(&[2])), (Stage::Derived, ids(&[3]))].into());
        assert_eq!((account.doubled(), account.sent_again, account.lost()), (2, 1, 0));
        assert!(!account.balances());
    }

    #[test]
    fn an_unknown_event_is_stored_or_absent_and_either_balances() {
        let sent = sent([(1, Fate::Unknown), (2, Fate::Unknown), (3, Fate::Unknown)]);
        let account = account(&sent, &impressions(&[2], &[2], &[2]));
        assert_eq!(account, Account { unknown: 3, unknown_stored: 1, ..Default::default() });
        assert!(account.balances());
    }

    #[test]
    fn an_unknown_event_that_is_in_raw_must_be_in_the_lake() {
        let account = account(&sent([(1, Fate::Unknown)]), &impressions(&[1], &[], &[]));
        assert_eq!(account.missing, [(Stage::Lake, ids(&[1]))].into());
    }

    #[test]
    fn an_event_reported_as_not_stored_can_still_be_stored() {
        let sent = sent([(1, Fate::NotStored), (2, Fate::NotStored)]);
        let account = account(&sent, &impressions(&[1], &[1], &[1]));
        assert_eq!(account, Account { not_stored: 2, not_stored_but_stored: 1, ..Default::default() });
    }

    #[test]
    fn a_refused_event_must_not_be_stored() {
        let sent = sent([(1, Fate::Refused), (2, Fate::Refused), (3, Fate::Refused)]);
        let mut observed = impressions(&[2], &[], &[]);
        observed.set_aside = copies(&[3]);
        let account = account(&sent, &observed);
        assert_eq!(account.refused_but_stored, ids(&[2, 3]));
        assert_eq!((account.refused, account.lost(), account.balances()), (3, 0, false));
    }

    #[test]
    fn an_event_that_was_never_sent_is_listed_once() {
        let account = account(&sent(ALL), &impressions(&[1, 2, 3, 9, 8], &[1, 2, 3, 9], &[1, 2, 3, 9, 7]));
        assert_eq!(account.never_sent, ids(&[7, 8, 9]));
        assert!(!account.balances());
    }

    #[test]
    fn an_erased_event_must_be_nowhere() {
        let observed = |lake: &[u128]| Observed { erased: [id(2), id(3)].into(), ..impressions(&[1], lake, &[1]) };
        let gone = account(&sent(ALL), &observed(&[1]));
        assert_eq!(gone, Account { acknowledged: 3, erased: 2, ..Default::default() });
        let left = account(&sent(ALL), &observed(&[1, 3]));
        assert_eq!((left.not_erased.clone(), left.balances()), (ids(&[3]), false));
    }

    #[test]
    fn the_better_answer_counts_for_an_event_that_was_sent_twice() {
        let order = [Fate::Refused, Fate::NotStored, Fate::Unknown, Fate::Acknowledged];
        assert!(order.is_sorted());
    }

    #[test]
    fn a_report_lists_some_and_counts_all() {
        let events = (0..1_500).map(|number| (id(number), Fate::Acknowledged)).collect();
        let missing = &account(&events, &Observed::default()).missing[&Stage::Raw];
        assert_eq!((missing.count, missing.ids.len(), missing.ids[999]), (1_500, 1_000, id(999)));
    }

    #[test]
    fn traffic_must_agree_in_all_three_tables() {
        let traffic = |rows: &[(&str, &str, u64, u64)]| -> Traffic {
            let rows =
                rows.iter().map(|(ad, day, seen, clicked)| (((*ad).to_owned(), (*day).to_owned()), (*seen, *clicked)));
            rows.collect()
        };
        let good = traffic(&[("a", "2026-11-20", 4, 1), ("a", "2026-11-21", 2, 0), ("b", "2026-11-20", 6, 2)]);
        assert_eq!(compare_traffic(&good, &good, &good), []);

        let stale = traffic(&[("a", "2026-11-20", 4, 1), ("a", "2026-11-21", 1, 0), ("c", "2026-11-20", 1, 1)]);
        let differences = compare_traffic(&good, &good, &stale);
        let difference = |ad: &str, day: &str, lake, dynamodb| TrafficDifference {
            ad: ad.into(),
            day: day.into(),
            advertising: lake,
            ad_traffic: lake,
            dynamodb,
        };
        let expected = [
            difference("a", "2026-11-21", Some((2, 0)), Some((1, 0))),
            difference("b", "2026-11-20", Some((6, 2)), None),
            difference("c", "2026-11-20", None, Some((1, 1))),
        ];
        assert_eq!(differences, expected);
    }
}
