//! Validates and encodes an event in one pass: each value is checked and written as soon as it is read.

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

/// The result of a check: a value, or the problem.
type Checked<T = ()> = Result<T, Box<Problem>>;

/// Checks events and writes their lines, one after another.
pub(crate) struct Encoder {
    event_type: &'static EventType,
    range: Range,
    /// The lines.
    out: Vec<u8>,
    /// The start of the line of the current event.
    event_start: usize,
    /// The members written so far of the open objects, those of the outermost object first.
    members: Vec<Member>,
    /// A buffer to reorder the members of an object.
    scratch: Vec<u8>,
    /// Whether each value is first read as raw JSON, so that an invalid one does not stop the reader.
    careful: bool,
}

/// A written member of an object, with the comma before it.
#[derive(Clone, Copy)]
struct Member {
    /// The index of its field in the schema.
    index: usize,
    start: usize,
    end: usize,
}

/// The state of an object while it is read.
#[derive(Default)]
struct ObjectState {
    /// The bits of the fields that were read.
    seen: u128,
    /// The index after that of the last member in the schema's order.
    next: usize,
    /// Whether a member came after one that follows it in the schema.
    is_disordered: bool,
    /// Where to write the digits of the event's own id, if the client gave none.
    id_slot: Option<usize>,
    /// The first field, in the order of the body, that is unknown or a duplicate.
    misplaced: Option<Box<Problem>>,
    /// The first field, in the order of the schema, with an invalid value, and its index.
    invalid: Option<(usize, Box<Problem>)>,
}

impl ObjectState {
    /// The index of a member's field. None if the member is unknown or a duplicate.
    #[inline(always)]
    fn index(&mut self, object: &'static Object, name: Name) -> Option<usize> {
        match name {
            Name::Field(index) if self.seen & object.fields[index].bit == 0 => {
                self.seen |= object.fields[index].bit;
                return Some(index);
            }
            Name::Field(index) => {
                self.misplace(Problem::new(Reason::Duplicate).in_field(object.fields[index].name));
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
    fn refuse(&mut self, index: usize, problem: Box<Problem>, name: &str) {
        if self.invalid.as_ref().is_none_or(|(first, _)| index < *first) {
            self.invalid = Some((index, problem.in_field(name)));
        }
    }

    /// The one error of the object, if it has any: the first unknown or duplicate field in the order of the body; otherwise
    /// the first field in the order of the schema that is missing or invalid.
    fn problem(self, object: &'static Object) -> Option<Box<Problem>> {
        if self.misplaced.is_some() {
            return self.misplaced;
        }
        let missing = object.required & !self.seen;
        let missing = (missing != 0).then(|| missing.trailing_zeros() as usize);
        match (self.invalid, missing) {
            (Some((index, problem)), missing) if missing.is_none_or(|missing| index < missing) => Some(problem),
            (_, Some(index)) => Some(Problem::new(Reason::Missing).in_field(object.fields[index].name)),
            _ => None,
        }
    }
}

/// A valid event whose line is written, except for an id that the server must give it.
pub(crate) struct Encoded {
    pub(crate) start: usize,
    /// Where to write the digits of its own id, if the client gave none.
    pub(crate) id_slot: Option<usize>,
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

    /// Drops the lines. From now on an invalid value never stops the reader, at some cost in speed.
    pub(crate) fn restart_careful(&mut self) {
        self.out.clear();
        self.careful = true;
    }

    pub(crate) fn lines(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Drops what was written of an event at which the reader failed.
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
            // Only now: the problem of a field is more helpful.
            checked = checked.and_then(|_| Err(Problem::new(Reason::TooLong)));
        }
        match &checked {
            Ok(_) => self.out.push(b'\n'),
            Err(_) => self.out.truncate(start),
        }
        Ok(checked.map(|id_slot| Encoded { start, id_slot }))
    }

    /// Reads an object and writes its members. Returns where to write the digits of its own id, if it has none.
    fn object<'de, A: MapAccess<'de>>(
        &mut self,
        object: &'static Object,
        own_id: Option<usize>,
        mut map: A,
    ) -> Result<Checked<Option<usize>>, A::Error> {
        let (base, start) = (self.members.len(), self.out.len());
        let mut state = ObjectState::default();
        while let Some(name) = map.next_key_seed(NameSeed { object, next: state.next })? {
            let Some(index) = state.index(object, name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if index < state.next {
                state.is_disordered = true;
            } else {
                if let Some(own_id) = own_id.filter(|own_id| (state.next..index).contains(own_id)) {
                    state.id_slot = Some(self.write_id_slot(own_id, &object.fields[own_id]));
                }
                state.next = index + 1;
            }
            let field = &object.fields[index];
            let member_start = self.out.len();
            self.out.extend_from_slice(field.key.as_bytes());
            if let Err(problem) = map.next_value_seed(ValueSeed { value: &field.value, encoder: self })? {
                state.refuse(index, problem, field.name);
            }
            self.members.push(Member { index, start: member_start, end: self.out.len() });
        }
        if let Some(own_id) = own_id {
            self.settle_id_slot(own_id, &object.fields[own_id], &mut state);
        }
        let (is_disordered, id_slot) = (state.is_disordered, state.id_slot);
        if let Some(problem) = state.problem(object) {
            return Ok(Err(problem));
        }
        if is_disordered {
            self.rearrange(base, start);
        }
        let id_slot = match (id_slot, own_id) {
            (Some(_), Some(own_id)) if is_disordered => self.digits_of(own_id, base, start, &object.fields[own_id]),
            _ => id_slot,
        };
        self.members.truncate(base);
        self.close(start, b"{}");
        Ok(Ok(id_slot))
    }

    /// Puts brackets around members or items. The opening one replaces the first comma.
    fn close(&mut self, start: usize, [open, close]: &[u8; 2]) {
        match self.out.get_mut(start) {
            Some(comma) => *comma = *open,
            None => self.out.push(*open),
        }
        self.out.push(*close);
    }

    /// Writes the event's own id with zeros, and returns where to write its digits.
    fn write_id_slot(&mut self, index: usize, field: &Field) -> usize {
        let start = self.out.len();
        self.out.extend_from_slice(field.key.as_bytes());
        let digits = self.out.len() + 1;
        self.out.extend_from_slice(b"\"00000000-0000-0000-0000-000000000000\"");
        self.members.push(Member { index, start, end: self.out.len() });
        digits
    }

    /// Adds the slot of the own id at the end of an event without one, or removes the slot if the id came after it.
    #[inline(never)]
    fn settle_id_slot(&mut self, own_id: usize, field: &Field, state: &mut ObjectState) {
        if state.seen & field.bit == 0 {
            if state.id_slot.is_none() {
                state.id_slot = Some(self.write_id_slot(own_id, field));
            }
        } else if state.id_slot.take().is_some() {
            let slot = self.members.iter().position(|member| member.index == own_id);
            self.members.remove(slot.unwrap_or_default());
        }
    }

    /// Where the digits of the own id are, once the members are in the schema's order.
    fn digits_of(&self, own_id: usize, base: usize, start: usize, field: &Field) -> Option<usize> {
        let before = self.members[base..].iter().filter(|member| member.index < own_id);
        let before: usize = before.map(|member| member.end - member.start).sum();
        Some(start + before + field.key.len() + 1)
    }

    /// Writes the members of an object again, in the order of the schema.
    fn rearrange(&mut self, base: usize, start: usize) {
        self.scratch.clear();
        self.members[base..].sort_unstable_by_key(|member| member.index);
        for member in &self.members[base..] {
            self.scratch.extend_from_slice(&self.out[member.start..member.end]);
        }
        self.out.truncate(start);
        self.out.extend_from_slice(&self.scratch);
    }

    /// Reads the items of an array. A wrong number of items takes precedence over an invalid item.
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

    /// Checks a text and writes it. `is_plain`: it has no escapes in the body.
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

    /// Checks a value that must be a number, and writes it unchanged.
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
            // The reader continues after the value, valid or not.
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

/// Reads any JSON value, except where a number is expected: numbers are read as raw text.
struct AnySeed<'e> {
    /// The valid values. None for the event itself, for which the slot of its own id is returned.
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
        // A text with escapes would have been copied.
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

/// A name in an object: the index of its field, or the problem that there is none.
enum Name {
    Field(usize),
    Unknown(Box<Problem>),
}

/// Reads a name. The `next` field of the schema is the most likely one.
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
        Ok(match find(after).map(|index| self.next + index).or_else(|| find(before)) {
            Some(index) => Name::Field(index),
            None => Name::Unknown(Problem::unknown(self.object, name)),
        })
    }
}
