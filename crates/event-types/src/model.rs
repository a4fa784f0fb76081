//! The model of an event type, as its schema defines it.

/// How deep objects and arrays may be nested. The event itself is the first level.
pub const MAX_DEPTH: usize = 3;

/// The most fields an object may have.
pub const MAX_FIELDS: usize = 100;

/// The most characters the name of a type may have: with the stack's name before it, it names functions and jobs.
pub const MAX_TYPE_NAME: usize = 32;

/// The most digits a decimal may have: the limit of Hive and Spark.
pub const MAX_PRECISION: u8 = 38;

/// An event type: `events/<name>.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct EventType {
    /// The file's stem: the key of a batch, the table, the path of the API. Lower case, digits and underscores.
    pub name: String,
    /// `x-group`: the folder of the type below `data/raw` and `data/lake`.
    pub group: String,
    /// `title`: one event in a few words, such as `Impression`.
    pub title: String,
    /// `description`: what an event means, for analysts and for developers of clients.
    pub description: String,
    /// `x-since`: the first day with such events, `YYYY-MM-DD`.
    pub since: Option<String>,
    /// `x-id`: the field of the event's own id, a uuid that is not in `required`: the server gives one when it is absent.
    pub id: String,
    /// `x-time`: the field of the event's time, a required date-time.
    pub time: String,
    /// `x-sort`: the order of rows within a file of the lake, by simple top-level fields.
    pub sort: Vec<String>,
    /// `x-erase`: top-level fields by which the events of a person or a thing are erased.
    pub erase: Vec<String>,
    /// The fields, in the order of raw lines and of columns.
    pub object: Object,
}

/// An object: an event, or a value inside one. Fields that it does not list are refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its fields in the schema's order.
    pub fields: Vec<Field>,
}

/// A field of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Lower case, digits and underscores.
    pub name: String,
    /// `description`: what it means. Never empty.
    pub description: String,
    /// Whether an object without it is refused. The own id of an event is not: the server gives one when it is absent.
    pub required: bool,
    /// Its valid values.
    pub value: Value,
    /// `x-references`: the field of another type that it points to.
    pub references: Option<Reference>,
    /// `x-since`: the first day with the field, `YYYY-MM-DD`.
    pub since: Option<String>,
    /// `examples`: values as JSON, as the schema writes them.
    pub examples: Vec<String>,
    /// `x-sample`: the distribution of its values in random events.
    pub sample: Distribution,
}

/// How the values of random events are distributed. Validation and the lake ignore it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distribution {
    /// All values are equally frequent.
    #[default]
    Uniform,
    /// `normal`: most values are near the middle between the limits.
    Normal,
    /// `zipf`: a few values are frequent, most of all the first or the least.
    Zipf,
}

/// The field that an `x-references` names: `impressions.impression_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The event type.
    pub event_type: String,
    /// Its field.
    pub field: String,
}

/// The valid values of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A hyphenated UUID, in lower case in raw lines.
    Uuid,
    /// A time in UTC with milliseconds. At the top level of an event only.
    DateTime,
    /// A day of the calendar, `YYYY-MM-DD`. At the top level of an event only.
    Date,
    /// Text by its number of characters (Unicode scalar values).
    Text {
        /// `minLength`, 0 when absent.
        min_chars: u32,
        /// `maxLength`.
        max_chars: u32,
    },
    /// One of these texts.
    Enum(Vec<String>),
    /// An integer: digits without point or exponent.
    Integer {
        /// `minimum`, the least bigint when absent.
        min: i64,
        /// `maximum`, the greatest bigint when absent.
        max: i64,
    },
    /// A finite double.
    Number {
        /// `minimum`.
        min: Option<f64>,
        /// `maximum`.
        max: Option<f64>,
    },
    /// An exact decimal: `multipleOf` is its last digit, `maximum` decides how many digits there are.
    Decimal(Decimal),
    /// `true` or `false`.
    Boolean,
    /// A list of values of one type.
    Array {
        /// The valid items.
        items: Box<Value>,
        /// `description` of `items`: what an item means.
        item_description: Option<String>,
        /// `minItems`, 0 when absent.
        min_items: u32,
        /// `maxItems`.
        max_items: u32,
    },
    /// An object inside an event.
    Object(Object),
}

/// The limits of a decimal, as integers in units of its last digit: with scale 2, `1999` is 19.99.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    /// Digits in all: the p of `decimal(p, s)`, enough for both limits.
    pub precision: u8,
    /// Digits after the point: the s of `decimal(p, s)`.
    pub scale: u8,
    /// `minimum`; when absent, the negative of the maximum.
    pub min: i128,
    /// `maximum`.
    pub max: i128,
}

/// The name of a type with hyphens, for names of functions, jobs and streams.
#[must_use]
pub fn kebab_case(event_type: &str) -> String {
    event_type.replace('_', "-")
}

impl EventType {
    /// The field of this name at the top level.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.object.fields.iter().find(|field| field.name == name)
    }

    /// The name in Pascal case, for logical ids in the template: `order_items` is `OrderItems`.
    #[must_use]
    pub fn pascal_case(&self) -> String {
        self.name
            .split('_')
            .map(|word| {
                let mut chars = word.chars();
                chars.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + chars.as_str())
            })
            .collect()
    }

    /// The name with hyphens, for names of functions, jobs and streams.
    #[must_use]
    pub fn kebab_case(&self) -> String {
        kebab_case(&self.name)
    }

    /// Paths of the fields without which the lake rejects a line, the own id first: top-level fields, and members of
    /// required objects as `a.b`.
    #[must_use]
    pub fn required_paths(&self) -> Vec<String> {
        fn collect(object: &Object, prefix: &str, paths: &mut Vec<String>) {
            for field in object.fields.iter().filter(|field| field.required) {
                let path = format!("{prefix}{}", field.name);
                if let Value::Object(inner) = &field.value {
                    let count = paths.len();
                    collect(inner, &format!("{path}."), paths);
                    // An object without a required member is required itself.
                    if paths.len() > count {
                        continue;
                    }
                }
                paths.push(path);
            }
        }
        let mut paths = vec![self.id.clone()];
        collect(&self.object, "", &mut paths);
        paths
    }
}

impl Value {
    /// The type of the lake's column, in Hive's syntax: `decimal(9,2)`, `array<struct<sku:string,price:decimal(9,2)>>`.
    #[must_use]
    pub fn lake_type(&self) -> String {
        match self {
            Self::DateTime => "timestamp".to_owned(),
            Self::Date => "date".to_owned(),
            Self::Uuid | Self::Text { .. } | Self::Enum(_) => "string".to_owned(),
            Self::Integer { .. } => "bigint".to_owned(),
            Self::Number { .. } => "double".to_owned(),
            Self::Decimal(decimal) => format!("decimal({},{})", decimal.precision, decimal.scale),
            Self::Boolean => "boolean".to_owned(),
            Self::Array { items, .. } => format!("array<{}>", items.lake_type()),
            Self::Object(object) => {
                let fields: Vec<String> =
                    object.fields.iter().map(|field| format!("{}:{}", field.name, field.value.lake_type())).collect();
                format!("struct<{}>", fields.join(","))
            }
        }
    }
}
