//! Names as words.

use event_types::EventType;

/// `order_items` as `order items`.
pub fn spaced(name: &str) -> String {
    name.replace('_', " ")
}

/// The first letter in upper case.
pub fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// The singular of a regular English plural: `orders`, `entries`, `boxes`.
pub fn singular(plural: &str) -> String {
    let ending = |end: &str| plural.strip_suffix(end).filter(|stem| stem.len() > 1);
    if let Some(stem) = ending("ies") {
        return format!("{stem}y");
    }
    for end in ["sses", "xes", "ches", "shes"] {
        if ending(end).is_some() {
            return plural[..plural.len() - 2].to_owned();
        }
    }
    if plural.ends_with("ss") || plural.ends_with("us") || plural.ends_with("is") {
        return plural.to_owned();
    }
    ending("s").unwrap_or(plural).to_owned()
}

/// Texts as `a`, `a and b`, or `a, b and c`.
pub fn list(texts: &[String]) -> String {
    match texts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The name of a type in texts: in words.
pub fn plural(event_type: &EventType) -> String {
    spaced(&event_type.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plural_has_a_singular() {
        for (plural, expected) in [
            ("orders", "order"),
            ("entries", "entry"),
            ("boxes", "box"),
            ("status", "status"),
            ("press", "press"),
            ("s", "s"),
            ("order_items", "order_item"),
            ("telemetry", "telemetry"),
        ] {
            assert_eq!(singular(plural), expected);
        }
    }
}
