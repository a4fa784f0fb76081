//! The annotation `x-since` and the descriptions of items appear in the documents for analysts and client developers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use event_tooling::{api, page};
use event_types::{EventType, read_type};

const ORDERS: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "Order", "description": "A customer ordered.", "type": "object", "additionalProperties": false,
  "x-group": "shop", "x-id": "order_id", "x-time": "ordered_at", "x-sort": ["ordered_at"], "x-since": "2026-10-31",
  "required": ["ordered_at"],
  "properties": {
    "order_id": {"description": "Own id", "type": "string", "format": "uuid"},
    "ordered_at": {"description": "When", "type": "string", "format": "date-time"},
    "gift": {"description": "Whether it is a gift", "type": "boolean", "x-since": "2026-11-30"},
    "parcels": {
      "description": "Parcels.", "type": "array", "maxItems": 3,
      "items": {"description": "Id at the | carrier", "type": "string", "format": "uuid"}
    },
    "tags": {
      "description": "Tags", "type": "array", "maxItems": 3,
      "items": {"description": "Tag of the shop, as printed", "type": "string", "maxLength": 8}
    }
  }
}"#;

fn orders() -> EventType {
    read_type("orders", ORDERS).unwrap()
}

#[test]
fn annotations_are_on_the_page_for_analysts() {
    let page = page::text(&[orders()]);
    for expected in [
        "There are such events since 2026-10-31.",
        "| `ordered_at` | When | date-time | yes |  | `2026-11-21T08:15:30.250Z` | `timestamp` | 2026-10-31 |",
        "| `gift` | Whether it is a gift | true or false | no |  | `true` | `boolean` | 2026-11-30 |",
        r"| `parcels` | Parcels. Each: Id at the \| carrier | list of uuid |",
        "| `tags` | Tags. Each: Tag of the shop, as printed | list of text |",
    ] {
        assert!(page.contains(expected), "{expected}\n{page}");
    }
}

#[test]
fn annotations_are_in_the_api_description() {
    let empty = "paths:\n  # begin: paths of event types\n  # end: paths of event types\nmodels:\n  \
                 # begin: models of event types\n  # end: models of event types\n";
    let api: serde_yaml_ng::Value = serde_yaml_ng::from_str(&api::text(&[orders()], empty).unwrap()).unwrap();
    let model = &api["models"]["OrdersEvent"];
    assert_eq!(model["description"], "A customer ordered (since 2026-10-31)");
    let field = |name: &str| &model["properties"][name];
    assert_eq!(field("gift")["description"], "Whether it is a gift (since 2026-11-30)");
    assert_eq!(field("tags")["items"]["description"], "Tag of the shop, as printed");
    assert_eq!(field("tags")["items"]["maxLength"], 8);
    // A description next to a plain `$ref` would be ignored.
    let parcel = &field("parcels")["items"];
    assert_eq!(parcel["description"], "Id at the | carrier");
    assert_eq!(parcel["allOf"][0]["$ref"], "#/components/schemas/Id");
}
