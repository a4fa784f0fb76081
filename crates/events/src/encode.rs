//! One pass over an event: each value is checked and written as soon as it is read.

use chrono::{DateTime, Utc};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::batch::MAX_LINE_BYTES;
use crate::id;
use crate::number;
use crate::problem::{Problem, Reason};
use crate::table::{EventType, Field, Object, Value};
use crate::text;
use crate::time::{OutOfRange, Range, Time, is_date};

/// What a check says of a value: nothing, or what is wrong with it.
type Checked<T = ()> = Result<T, Box<Problem>>;

/// Checks events and writes their lines, one behind the other.
pub(crate) struct Encoder {
    event_type: &'static EventType,
    range: Range,
    /// The lines.
    out: Vec<u8>,
    /// Where the line of the event that is being read begins.
    event_start: usize,
    /// The members that were written of the objects that are being read, the outermost object's first.
    members: Vec<Member>,
    /// For objects whose fields must change places.
    scratch: Vec<u8>,
    /// Whether values are first looked at as a whole, so that the reader never fails at one.
    careful: bool,
}

/// A member as it was written, with the comma before it.
#[derive(Clone, Copy)]
struct Member {
    /// The place of its field in the schema.
    place: usize,
    start: usize,
    end: usize,
}

/// What was found of an object while it is read.
#[derive(Default)]
struct Found {
    /// The bits of the fields that were there.
    seen: u128,
    /// The place behind that of the last member that was in the schema's order.
    next: usize,
    /// Whether a member came behind one that it belongs before.
    is_disordered: bool,
    /// Where the digits of the event's own id belong.
    id_hole: Option<usize>,
    /// The first field, in the order of the body, that does not belong there.
    misplaced: Option<Box<Problem>>,
    /// The first field, in the order of the schema, whose value is not good, with its place.
    invalid: Option<(usize, Box<Problem>)>,
}

impl Found {
    /// The place of the next member, unless it does not belong there.
    #[inline(always)]
    fn place(&mut self, object: &'static Object, name: Name) -> Option<usize> {
        match name {
            Name::Field(place) if self.seen & object.fields[place].bit == 0 => {
                self.seen |= object.fields[place].bit;
                return Some(place);
            }
            Name::Field(place) => {
                self.misplace(Problem::new(Reason::Duplicate).in_field(object.fields[place].name));
            }
            Name::Unknown(problem) => self.misplace(problem),
        }
        None
    }

    #[cold]
    fn misplace(&mut self, problem: Box<Problem>) {
        self.misplaced.get_or_insert(problem);
    }

    #[cold]
    fn refuse(&mut self, place: usize, problem: Box<Problem>, name: &str) {
        if self.invalid.as_ref().is_none_or(|(first, _)| place < *first) {
            self.invalid = Some((place, problem.in_field(name)));
        }
    }

    /// The one error that the object has, if any: that a field does not belong there, in the order of the body;
    /// otherwise that a field is missing or has no good value, in the order of the schema.
    fn problem(self, object: &'static Object) -> Option<Box<Problem>> {
        if self.misplaced.is_some() {
            return self.misplaced;
        }
        let missing = object.required & !self.seen;
        let missing = (missing != 0).then(|| missing.trailing_zeros() as usize);
        match (self.invalid, missing) {
            (Some((place, problem)), missing) if missing.is_none_or(|missing| place < missing) => Some(problem),
            (_, Some(place)) => Some(Problem::new(Reason::Missing).in_field(object.fields[place].name)),
            _ => None,
        }
    }
}

/// A valid event whose line is written, but for the id that the server must give it.
pub(crate) struct Encoded {
    pub(crate) start: usize,
    /// Where the digits of its own id belong, if the client gave none.
    pub(crate) id_hole: Option<usize>,
}

impl Encoder {
    /// An encoder for a body of this size.
    pub(crate) fn new(event_type: &'static EventType, now: DateTime<Utc>, size: usize) -> Self {
        let out = Vec::with_capacity(size);
        Self {
            event_type,
            range: Range::around(now),
            out,
            event_start: 0,
            members: Vec::new(),
            scratch: Vec::new(),
            careful: false,
        }
    }

    /// Forgets the lines. From now on a value that is not what it must be never fails the reader, which takes longer.
    pub(crate) fn start_again_with_care(&mut self) {
        self.out.clear();
        self.careful = true;
    }

    pub(crate) fn lines(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Takes back what was written of an event at which the reader failed.
    pub(crate) fn drop_event(&mut self) {
        self.out.truncate(self.event_start);
    }

    /// Reads an event and writes its line, or nothing if it is not valid.
    pub(crate) fn event<'de, D: Deserializer<'de>>(&mut self, event: D) -> Result<Checked<Encoded>, D::Error> {
        let start = self.out.len();
        self.event_start = start;
        self.members.clear();
        let mut checked = event.deserialize_any(AnySeed { value: None, encoder: self })?;
        if self.out.len() - start >= MAX_LINE_BYTES {
            // Not before: what is wrong with a field says more.
            checked = checked.and_then(|_| Err(Problem::new(Reason::TooLong)));
        }
        match &checked {
            Ok(_) => self.out.push(b'\n'),
            Err(_) => self.out.truncate(start),
        }
        Ok(checked.map(|id_hole| Encoded { start, id_hole }))
    }

    /// Reads an object and writes its members. Says where the digits of its own id belong, if it has none.
    fn object<'de, A: MapAccess<'de>>(
        &mut self,
        object: &'static Object,
        own_id: Option<usize>,
        mut map: A,
    ) -> Result<Checked<Option<usize>>, A::Error> {
        let (base, start) = (self.members.len(), self.out.len());
        let mut found = Found::default();
        while let Some(name) = map.next_key_seed(NameSeed { object, next: found.next })? {
            let Some(place) = found.place(object, name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if place < found.next {
                found.is_disordered = true;
            } else {
                if let Some(own_id) = own_id.filter(|own_id| (found.next..place).contains(own_id)) {
                    found.id_hole = Some(self.hole(own_id, &object.fields[own_id]));
                }
                found.next = place + 1;
            }
            let field = &object.fields[place];
            let member_start = self.out.len();
            self.out.extend_from_slice(field.key.as_bytes());
            if let Err(problem) = map.next_value_seed(ValueSeed { value: &field.value, encoder: self })? {
                found.refuse(place, problem, field.name);
            }
            self.members.push(Member { place, start: member_start, end: self.out.len() });
        }
        if let Some(own_id) = own_id {
            self.settle_hole(own_id, &object.fields[own_id], &mut found);
        }
        let (is_disordered, id_hole) = (found.is_disordered, found.id_hole);
        if let Some(problem) = found.problem(object) {
            return Ok(Err(problem));
        }
        if is_disordered {
            self.rearrange(base, start);
        }
        let id_hole = match (id_hole, own_id) {
            (Some(_), Some(own_id)) if is_disordered => self.digits_of(own_id, base, start, &object.fields[own_id]),
            _ => id_hole,
        };
        self.members.truncate(base);
        self.close(start, b"{}");
        Ok(Ok(id_hole))
    }

    /// Puts brackets around members or items: the first in place of the first comma.
    fn close(&mut self, start: usize, [open, close]: &[u8; 2]) {
        match self.out.get_mut(start) {
            Some(comma) => *comma = *open,
            None => self.out.push(*open),
        }
        self.out.push(*close);
    }

    /// Writes the event's own id, whose digits are not known yet, and says where they belong.
    fn hole(&mut self, place: usize, field: &Field) -> usize {
        let start = self.out.len();
        self.out.extend_from_slice(field.key.as_bytes());
        let digits = self.out.len() + 1;
        self.out.extend_from_slice(b"\"00000000-0000-0000-0000-000000000000\"");
        self.members.push(Member { place, start, end: self.out.len() });
        digits
    }

    /// At the end of the event there is a hole exactly if it has no id of its own.
    #[inline(never)]
    fn settle_hole(&mut self, own_id: usize, field: &Field, found: &mut Found) {
        if found.seen & field.bit == 0 {
            if found.id_hole.is_none() {
                found.id_hole = Some(self.hole(own_id, field));
            }
        } else if found.id_hole.take().is_some() {
            // The id came late. The hole was written before it.
            let hole = self.members.iter().position(|member| member.place == own_id);
            self.members.remove(hole.unwrap_or_default());
        }
    }

    /// Where the digits of the own id are, once the members are in the schema's order.
    fn digits_of(&self, own_id: usize, base: usize, start: usize, field: &Field) -> Option<usize> {
        let before = self.members[base..].iter().filter(|member| member.place < own_id);
        let before: usize = before.map(|member| member.end - member.start).sum();
        Some(start + before + field.key.len() + 1)
    }

    /// Writes the members of an object again, in the order of the schema.
    fn rearrange(&mut self, base: usize, start: usize) {
        self.scratch.clear();
        self.members[base..].sort_unstable_by_key(|member| member.place);
        for member in &self.members[base..] {
            self.scratch.extend_from_slice(&self.out[member.start..member.end]);
        }
        self.out.truncate(start);
        self.out.extend_from_slice(&self.scratch);
    }

    /// Reads the items of an array. What is wrong with their number goes before what is wrong with one of them.
    fn array<'de, A: SeqAccess<'de>>(
        &mut self,
        value: &'static Value,
        (items, min, max): (&'static Value, u32, u32),
        mut array: A,
    ) -> Result<Checked, A::Error> {
        let mut count: u32 = 0;
        let start = self.out.len();
        let mut invalid = None;
        while count < max {
            let end = self.out.len();
            self.out.push(b',');
            let Some(checked) = array.next_element_seed(ValueSeed { value: items, encoder: self })? else {
                self.out.truncate(end);
                break;
            };
            if let Err(problem) = checked {
                invalid.get_or_insert_with(|| problem.in_item(count));
            }
            count += 1;
        }
        let mut too_many = false;
        while array.next_element::<IgnoredAny>()?.is_some() {
            too_many = true;
        }
        if too_many || count < min {
            return Ok(Err(Problem::new(Reason::Invalid(value))));
        }
        self.close(start, b"[]");
        Ok(invalid.map_or(Ok(()), Err))
    }

    /// Checks a text, which in the body `is_plain` if it had no escapes, and writes it.
    fn text(&mut self, value: &'static Value, text: &str, is_plain: bool) -> Checked {
        let invalid = || Err(Problem::new(Reason::Invalid(value)));
        match value {
            Value::Uuid if id::write(text, &mut self.out) => {}
            Value::EventTime | Value::DateTime => {
                let Some(time) = Time::parse(text) else { return invalid() };
                if matches!(value, Value::EventTime) {
                    time.check(self.range).map_err(|out_of_range| {
                        Problem::new(match out_of_range {
                            OutOfRange::Early => Reason::Early,
                            OutOfRange::Late => Reason::Late,
                        })
                    })?;
                }
                time.write(&mut self.out);
            }
            Value::Date if is_date(text) => text::write(text, is_plain, &mut self.out),
            Value::Text { min, max } if text::has_chars(text, *min, *max) => text::write(text, is_plain, &mut self.out),
            Value::Enum(texts) => {
                let start = self.out.len();
                text::write(text, is_plain, &mut self.out);
                if !texts.iter().any(|text| text.as_bytes() == &self.out[start..]) {
                    return invalid();
                }
            }
            _ => return invalid(),
        }
        Ok(())
    }

    /// Checks a value that must be a number, and writes it as it is.
    #[inline]
    fn number(&mut self, value: &'static Value, raw: &str) -> Checked {
        let is_valid = match value {
            Value::Integer { min, max } => number::integer(raw).is_some_and(|number| (*min..=*max).contains(&number)),
            Value::Number { min, max } => number::double(raw)
                .is_some_and(|number| min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max)),
            Value::Decimal { scale, min, max } => {
                number::decimal(raw, *scale).is_some_and(|number| (*min..=*max).contains(&number))
            }
            _ => false,
        };
        if !is_valid {
            return Err(Problem::new(Reason::Invalid(value)));
        }
        self.out.extend_from_slice(raw.as_bytes());
        Ok(())
    }
}

/// Reads the value of a field or an item.
struct ValueSeed<'e> {
    value: &'static Value,
    encoder: &'e mut Encoder,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Checked;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Checked, D::Error> {
        let Self { value, encoder } = self;
        if matches!(value, Value::Integer { .. } | Value::Number { .. } | Value::Decimal { .. }) {
            return Ok(encoder.number(value, <&RawValue>::deserialize(deserializer)?.get()));
        }
        let careful = encoder.careful;
        let seed = AnySeed { value: Some(value), encoder };
        let checked = if careful {
            // Whatever the value is, the reader can go on behind it.
            let raw = <&RawValue>::deserialize(deserializer)?.get();
            serde_json::Deserializer::from_str(raw).deserialize_any(seed).unwrap_or_else(|_| {
                let is_text = matches!(value, Value::Text { .. }) && raw.starts_with('"');
                Err(Problem::new(if is_text { Reason::HalfPair } else { Reason::Invalid(value) }))
            })
        } else {
            deserializer.deserialize_any(seed)?
        };
        Ok(checked.map(|_| ()))
    }
}

/// Reads any JSON value but those that must be numbers, which are wanted as they are written.
struct AnySeed<'e> {
    /// What it must be. None for the event itself, which says where its own id is missing.
    value: Option<&'static Value>,
    encoder: &'e mut Encoder,
}

impl AnySeed<'_> {
    fn refused<E>(self) -> Result<Checked<Option<usize>>, E> {
        let reason = self.value.map_or(Reason::NotAnObject(self.encoder.event_type), Reason::Invalid);
        Ok(Err(Problem::new(reason)))
    }
}

impl<'de> DeserializeSeed<'de> for AnySeed<'_> {
    type Value = Checked<Option<usize>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnySeed<'_> {
    type Value = Checked<Option<usize>>;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let event_type = self.encoder.event_type;
        match self.value {
            None => self.encoder.object(&event_type.object, Some(event_type.id), map),
            Some(Value::Object(object)) => self.encoder.object(object, None, map),
            Some(_) => {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                self.refused()
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        if let Some(value @ Value::Array { items, min, max }) = self.value {
            return Ok(self.encoder.array(value, (items, *min, *max), array)?.map(|()| None));
        }
        while array.next_element::<IgnoredAny>()?.is_some() {}
        self.refused()
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        let Some(value) = self.value else { return self.refused() };
        // The reader would have made a copy if there were escapes in it.
        Ok(self.encoder.text(value, text, true).map(|()| None))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        let Some(value) = self.value else { return self.refused() };
        Ok(self.encoder.text(value, text, false).map(|()| None))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        let Some(Value::Boolean) = self.value else { return self.refused() };
        self.encoder.out.extend_from_slice(if flag { b"true" } else { b"false" });
        Ok(Ok(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        self.refused()
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        self.refused()
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        self.refused()
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        self.refused()
    }
}

/// A name in an object: the place of its field, or the problem that there is none.
enum Name {
    Field(usize),
    Unknown(Box<Problem>),
}

/// Reads a name. The field that the schema has `next` is the most likely one.
struct NameSeed {
    object: &'static Object,
    next: usize,
}

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Name;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        let (before, after) = self.object.fields.split_at(self.next);
        let find = |fields: &[Field]| fields.iter().position(|field| field.name == name);
        Ok(match find(after).map(|place| self.next + place).or_else(|| find(before)) {
            Some(place) => Name::Field(place),
            None => Name::Unknown(Problem::unknown(self.object, name)),
        })
    }
}
