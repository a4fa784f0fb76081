//! A schema from samples of events. Every guess is an [`Assumption`], with how to change it.

mod fields;
mod samples;
mod seen;
mod text;

use event_types::{EventType, Json};

pub use self::samples::SampleError;

use self::fields::Fields;
use self::seen::Members;
use crate::schema_text::pretty;
use crate::words::{capitalised, singular, spaced};

/// The most values that an enum is guessed from.
pub(crate) const MAX_ENUM: usize = 8;

/// The group of a type for which none is given.
pub const GROUP: &str = "app";

/// What is given about a type in addition to its samples.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The type's name.
    pub name: String,
    /// Its group.
    pub group: Option<String>,
    /// The field of its own id.
    pub id: Option<String>,
    /// The field of its time.
    pub time: Option<String>,
}

/// A guess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assumption {
    /// The subject: a field with its path, or an annotation of the schema.
    pub about: String,
    /// What was assumed, and why.
    pub assumed: String,
    /// How to change it.
    pub change: String,
}

impl Assumption {
    fn new(about: &str, assumed: impl Into<String>, change: impl Into<String>) -> Self {
        Self { about: about.to_owned(), assumed: assumed.into(), change: change.into() }
    }
}

/// A schema, and what was guessed for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inferred {
    /// The text of `events/<type>.json`.
    pub schema: String,
    /// The guesses, in the order of the schema.
    pub assumptions: Vec<Assumption>,
}

/// The minimal schema: an own id and a time.
#[must_use]
pub fn minimal(given: &Given) -> Inferred {
    let one = singular(&given.name);
    let id = given.id.clone().unwrap_or_else(|| format!("{one}_id"));
    let time = given.time.clone().unwrap_or_else(|| "occurred_at".to_owned());
    let field = |name: &str, format: &str| {
        let schema = vec![
            ("description".to_owned(), text(&capitalised(&spaced(name)))),
            ("type".to_owned(), text("string")),
            ("format".to_owned(), text(format)),
        ];
        (name.to_owned(), Json::Object(schema))
    };
    let properties = vec![field(&id, "uuid"), field(&time, "date-time")];
    let parts = Parts { id: id.clone(), time: time.clone(), sort: vec![time.clone(), id.clone()], erase: Vec::new() };
    let edit = format!("edit events/{}.json, then run `cargo dataless events sync`", given.name);
    let mut assumptions = vec![
        group_assumption(given),
        Assumption::new("x-id", format!("`{id}`: a uuid, which the server gives when it is absent"), "--id FIELD"),
        Assumption::new("x-time", format!("`{time}`: when the event occurred"), "--time FIELD"),
    ];
    assumptions.push(Assumption::new("properties", "only the own id and the time", edit));
    Inferred { schema: schema(given, &parts, &[time], properties), assumptions }
}

/// A schema that all samples match. `others` are the existing types: a field with the name of an own id refers to it.
///
/// # Errors
/// When a sample is not a JSON object, its fields can't be columns, or none is an own id or a time.
pub fn from_samples(given: &Given, samples: &str, others: &[EventType]) -> Result<Inferred, SampleError> {
    let samples = samples::read(samples)?;
    let mut seen = Members::default();
    for sample in &samples {
        seen.add(&sample.members, "", sample.line)?;
    }
    let mut fields = Fields::new(given, &seen, others);
    let parts = fields.parts()?;
    let (properties, required) = fields.properties(&parts)?;
    let mut assumptions = vec![group_assumption(given)];
    assumptions.append(&mut fields.assumptions);
    Ok(Inferred { schema: schema(given, &parts, &required, properties), assumptions })
}

fn group_assumption(given: &Given) -> Assumption {
    let group = given.group.as_deref().unwrap_or(GROUP);
    let assumed = format!("`{group}`: the folder below data/raw and data/lake that has the type's files");
    Assumption::new("x-group", assumed, "--group NAME")
}

/// Which fields have a role in the type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub id: String,
    pub time: String,
    pub sort: Vec<String>,
    pub erase: Vec<String>,
}

pub(crate) fn text(text: &str) -> Json {
    Json::Text(text.to_owned())
}

pub(crate) fn texts(texts: &[String]) -> Json {
    Json::Array(texts.iter().map(|one| text(one)).collect())
}

fn schema(given: &Given, parts: &Parts, required: &[String], properties: Vec<(String, Json)>) -> String {
    let title = capitalised(&spaced(&singular(&given.name)));
    let mut members = vec![
        ("$schema", text("https://json-schema.org/draft/2020-12/schema")),
        ("title", text(&title)),
        ("description", text(&format!("One {}.", spaced(&singular(&given.name))))),
        ("type", text("object")),
        ("additionalProperties", Json::Bool(false)),
        ("x-group", text(given.group.as_deref().unwrap_or(GROUP))),
        ("x-id", text(&parts.id)),
        ("x-time", text(&parts.time)),
        ("x-sort", texts(&parts.sort)),
    ];
    if !parts.erase.is_empty() {
        members.push(("x-erase", texts(&parts.erase)));
    }
    members.push(("required", texts(required)));
    members.push(("properties", Json::Object(properties)));
    pretty(&Json::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()))
}
