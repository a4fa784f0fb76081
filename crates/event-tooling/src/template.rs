//! Templates with `<<…>>` placeholders, since CloudFormation uses `${…}` and `{{…}}`.

/// The text with each `<<name>>` replaced by its value. Placeholders in values are not replaced.
pub fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("<<") {
        out.push_str(before);
        let found = after.split_once(">>").and_then(|(name, after)| {
            values.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value, after))
        });
        match found {
            Some((value, after)) => {
                out.push_str(value);
                rest = after;
            }
            None => {
                out.push_str("<<");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_replaced_once() {
        let values = [("a", "<<b>>"), ("b", "2")];
        assert_eq!(fill("<<a>> <<b>> << <<c>> <<b", &values), "<<b>> 2 << <<c>> <<b");
    }
}
