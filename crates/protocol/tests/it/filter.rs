use foretell_protocol::Filter;
use foretell_types::{ErrorKind, NewEvent};
use proptest::prelude::*;
use serde_json::{Value, json};

fn event(event_type: &str, subject: Option<&str>) -> NewEvent {
    NewEvent {
        event_type: event_type.to_owned(),
        subject: subject.map(str::to_owned),
        ..NewEvent::default()
    }
}

#[test]
fn table() {
    let order = event("Order.Placed", Some("/Orders/7.jpg"));
    let none = event("x", None);
    for (filter, event, expected) in [
        (Value::Null, &order, true),
        (json!({}), &none, true),
        (json!({"includedEventTypes": null}), &order, true),
        (json!({"includedEventTypes": ["All"]}), &order, true),
        (
            json!({"includedEventTypes": ["order.placed", "b"]}),
            &order,
            true,
        ),
        (json!({"includedEventTypes": ["order"]}), &order, false),
        (
            json!({"subjectBeginsWith": "/orders/", "subjectEndsWith": ".JPG"}),
            &order,
            true,
        ),
        (
            json!({"subjectBeginsWith": "/orders/", "isSubjectCaseSensitive": true}),
            &order,
            false,
        ),
        (json!({"subjectEndsWith": ".png"}), &order, false),
        (
            json!({"subjectBeginsWith": "/orders/7.jpg/more"}),
            &order,
            false,
        ),
        (
            json!({"subjectBeginsWith": "", "subjectEndsWith": ""}),
            &none,
            true,
        ),
        (json!({"subjectEndsWith": "a"}), &none, false),
        (
            json!({"advancedFilters": [], "enableAdvancedFilteringOnArrays": false}),
            &none,
            true,
        ),
    ] {
        assert_eq!(
            Filter::from_json(Some(&filter)).unwrap().matches(event),
            expected,
            "{filter}"
        );
    }
}

#[test]
fn refusals_name_the_field() {
    for (filter, expected) in [
        (json!([]), "filter must be an object, not an array"),
        (
            json!({"subjectBeginsWith": 1}),
            "filter.subjectBeginsWith must be a string, not a number",
        ),
        (
            json!({"isSubjectCaseSensitive": "true"}),
            "filter.isSubjectCaseSensitive must be a boolean",
        ),
        (
            json!({"includedEventTypes": "a"}),
            "filter.includedEventTypes must be an array of strings",
        ),
        (
            json!({"includedEventTypes": [1]}),
            "filter.includedEventTypes must be an array of strings",
        ),
        (
            json!({"includedEventTypes": [""]}),
            "filter.includedEventTypes holds an empty type",
        ),
        (
            json!({"subjectEndsWith": "x".repeat(5000)}),
            "filter.subjectEndsWith has 5000 bytes",
        ),
        (json!({"subject": "x"}), "filter.subject is not known"),
    ] {
        let error = Filter::from_json(Some(&filter)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().starts_with(expected), "{error}");
    }
}

fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

proptest! {
    #[test]
    fn equals_a_plain_restatement(
        types in prop::collection::vec("[aAbBäÄ]{1,2}", 0..3), begin in "[aAbBäÄ]{0,2}",
        end in "[aAbBäÄ]{0,2}", sensitive: bool, event_type in "[aAbBäÄ]{1,2}",
        subject in prop::option::of("[aAbBäÄ]{1,4}"),
    ) {
        let filter = Filter {
            included_event_types: types.clone(),
            subject_begins_with: begin.clone(),
            subject_ends_with: end.clone(),
            subject_case_sensitive: sensitive,
            ..Filter::default()
        };
        let fold = |text: &str| if sensitive { text.to_owned() } else { lower(text) };
        let text = fold(subject.as_deref().unwrap_or(""));
        let expected = (types.is_empty() || types.iter().any(|t| lower(t) == lower(&event_type)))
            && text.starts_with(&fold(&begin))
            && text.ends_with(&fold(&end));
        prop_assert_eq!(filter.matches(&event(&event_type, subject.as_deref())), expected);
        prop_assert_eq!(Filter::from_json(Some(&filter.to_json())).unwrap(), filter);
    }
}
