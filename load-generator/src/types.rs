//! The event types of a run: the two of the ads simulation, and any others as their schemas describe them.

use event_types::{EventType, Sampler};
use serde::{Serialize, Serializer};

use crate::ads::Ads;
use crate::event::Table;

/// The number of ids of a type from which references to it are drawn.
pub const REFERRED: usize = 1_000;

/// A number of random events of a type, in addition to the simulation.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The type.
    pub event_type: EventType,
    /// How many events.
    pub count: u64,
}

/// The event types of a run. They define the numbers of tables.
#[derive(Debug, Clone)]
pub struct Types {
    /// The ads of the simulation.
    pub ads: Ads,
    others: Vec<Other>,
}

#[derive(Debug, Clone)]
struct Other {
    wanted: Wanted,
    sampler: Sampler,
}

impl Types {
    /// Impressions and clicks of these ads, then the others in their order.
    pub fn new(ads: Ads, others: Vec<Wanted>) -> Self {
        let others = others.into_iter().map(|wanted| {
            // Each event has its own seed.
            let sampler = Sampler::new(&wanted.event_type, 0).raw_times();
            Other { wanted, sampler }
        });
        Self { ads, others: others.collect() }
    }

    /// How many types there are.
    pub fn count(&self) -> usize {
        2 + self.others.len()
    }

    /// All of them, in the order of their numbers.
    pub fn tables(&self) -> impl Iterator<Item = Table> + use<> {
        (0..self.count()).map(Table::of)
    }

    /// The type's name: the path of its beacon, the key of its batches and the name of its table.
    pub fn name(&self, table: Table) -> &str {
        match table {
            Table::Impressions => "impressions",
            Table::Clicks => "clicks",
            Table::Other(number) => &self.others[usize::from(number)].wanted.event_type.name,
        }
    }

    /// The folder of the type below `data/raw`.
    pub fn group(&self, table: Table) -> &str {
        match table {
            Table::Impressions | Table::Clicks => "ad",
            Table::Other(number) => &self.others[usize::from(number)].wanted.event_type.group,
        }
    }

    /// The number of events of each other type, with the number of the type.
    pub fn wanted(&self) -> impl Iterator<Item = (u16, u64)> {
        (0..).zip(self.others.iter().map(|other| other.wanted.count))
    }

    /// The number of events of another type.
    pub fn wanted_of(&self, number: u16) -> u64 {
        self.others[usize::from(number)].wanted.count
    }

    /// The random events of another type.
    pub fn sampler(&self, number: u16) -> &Sampler {
        &self.others[usize::from(number)].sampler
    }

    /// Whether another type has references.
    pub fn refer(&self) -> bool {
        let fields = self.others.iter().flat_map(|other| &other.wanted.event_type.object.fields);
        fields.into_iter().any(|field| field.references.is_some())
    }

    /// Sets the ids for references, by table.
    pub fn refer_to(&mut self, ids: Vec<Vec<String>>) {
        for (table, ids) in self.tables().zip(ids) {
            let name = self.name(table).to_owned();
            for other in &mut self.others {
                other.sampler.refer_to(&name, ids.clone());
            }
        }
    }

    /// Values of each type with its name.
    pub fn named<T>(&self, values: impl IntoIterator<Item = T>) -> ByType<T> {
        ByType(self.tables().map(|table| self.name(table).to_owned()).zip(values).collect())
    }
}

/// A value of each type, in the order of the types. In JSON it is an object.
#[derive(Debug, Clone)]
pub struct ByType<T>(pub Vec<(String, T)>);

impl<T> ByType<T> {
    /// The width of a column for the names, at least `least`.
    pub fn width(&self, least: usize) -> usize {
        self.0.iter().map(|(name, _)| name.len()).fold(least, usize::max)
    }
}

impl<T: Serialize> Serialize for ByType<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}
