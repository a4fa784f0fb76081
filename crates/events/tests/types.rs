//! The event types that the crate is built with.

use events::{ALL, CLICKS, IMPRESSIONS};

#[test]
fn a_type_names_its_fields_in_the_order_of_raw_lines() {
    assert_eq!((IMPRESSIONS.id_field(), CLICKS.id_field()), ("impression_id", "click_id"));
    assert_eq!(IMPRESSIONS.field_names().collect::<Vec<_>>(), ["impression_id", "ad_id", "occurred_at"]);
    assert_eq!(CLICKS.field_names().collect::<Vec<_>>(), ["click_id", "impression_id", "ad_id", "occurred_at"]);
    for event_type in ALL {
        assert_eq!(event_type.field_names().nth(event_type.id), Some(event_type.id_field()));
    }
}
