use foretell_protocol::Filter;
use foretell_types::limits::ADVANCED_FILTER_CHARS;
use foretell_types::{Data, ErrorKind, ExtensionValue, NewEvent};
use proptest::prelude::*;
use serde_json::{Value, json};

const OPERATORS: [&str; 19] = [
    "NumberIn",
    "NumberNotIn",
    "NumberLessThan",
    "NumberGreaterThan",
    "NumberLessThanOrEquals",
    "NumberGreaterThanOrEquals",
    "NumberInRange",
    "NumberNotInRange",
    "BoolEquals",
    "StringIn",
    "StringNotIn",
    "StringContains",
    "StringNotContains",
    "StringBeginsWith",
    "StringNotBeginsWith",
    "StringEndsWith",
    "StringNotEndsWith",
    "IsNullOrUndefined",
    "IsNotNull",
];

fn event(data: &str) -> NewEvent {
    NewEvent {
        id: "Event-7".to_owned(),
        source: "/Topics/Shop".to_owned(),
        event_type: "order.Placed".to_owned(),
        subject: Some("Customer/7".to_owned()),
        extensions: vec![
            (
                "dataversion".to_owned(),
                ExtensionValue::String("2".to_owned()),
            ),
            ("flag".to_owned(), ExtensionValue::Boolean(true)),
            ("retries".to_owned(), ExtensionValue::Integer(3)),
        ],
        data: Data::json(data),
        ..NewEvent::default()
    }
}

/// `values` is the field `value` for the operators that take one.
fn advanced(operator: &str, key: &str, values: &Value) -> Value {
    let mut filter = json!({"operatorType": operator, "key": key});
    if !operator.starts_with("Is") {
        let field = if values.is_array() { "values" } else { "value" };
        filter[field] = values.clone();
    }
    filter
}

fn filter(advanced: &[Value], on_arrays: bool) -> Filter {
    let json = json!({"advancedFilters": advanced, "enableAdvancedFilteringOnArrays": on_arrays});
    let filter = Filter::from_json(Some(&json)).unwrap_or_else(|error| panic!("{json}: {error}"));
    read_back(&filter);
    filter
}

/// As it is answered, and as it is journaled.
fn read_back(filter: &Filter) {
    assert_eq!(Filter::from_json(Some(&filter.to_json())).unwrap(), *filter);
    let journaled = serde_json::to_vec(filter).unwrap();
    assert_eq!(
        serde_json::from_slice::<Filter>(&journaled).unwrap(),
        *filter
    );
}

fn values_for(operator: &str) -> Value {
    match operator {
        "NumberIn" | "NumberNotIn" => json!([1, 2]),
        "NumberInRange" | "NumberNotInRange" => json!([[1, 2]]),
        "BoolEquals" => json!(true),
        _ if operator.starts_with("Number") => json!(1),
        _ => json!(["a"]),
    }
}

#[test]
fn each_operator() {
    let data = r#"{"n":5,"f":2.50,"yes":true,"s":"Hello","big":9007199254740993,"none":null,"o":{"N":{"x":1}}}"#;
    for (operator, key, values, expected) in [
        ("NumberIn", "data.n", json!([4, 5]), true),
        ("NumberIn", "data.n", json!([5.0]), true),
        ("NumberIn", "data.n", json!([4, 6]), false),
        ("NumberIn", "data.f", json!([2.5]), true),
        (
            "NumberIn",
            "data.big",
            json!([9_007_199_254_740_992_u64]),
            false,
        ),
        (
            "NumberIn",
            "data.big",
            json!([9_007_199_254_740_993_u64]),
            true,
        ),
        (
            "NumberGreaterThan",
            "data.big",
            json!(9_007_199_254_740_992.0),
            true,
        ),
        ("NumberNotIn", "data.n", json!([4, 6]), true),
        ("NumberNotIn", "data.n", json!([4, 5]), false),
        ("NumberLessThan", "data.n", json!(5), false),
        ("NumberLessThan", "data.n", json!(5.1), true),
        ("NumberLessThanOrEquals", "data.n", json!(5), true),
        ("NumberLessThanOrEquals", "data.n", json!(4.9), false),
        ("NumberGreaterThan", "data.n", json!(5), false),
        ("NumberGreaterThan", "data.n", json!(-5), true),
        ("NumberGreaterThanOrEquals", "data.n", json!(5), true),
        ("NumberGreaterThanOrEquals", "data.n", json!(6), false),
        ("NumberInRange", "data.n", json!([[1, 2], [5, 9]]), true),
        ("NumberInRange", "data.n", json!([[1, 5]]), true),
        ("NumberInRange", "data.n", json!([[5.001, 9]]), false),
        ("NumberNotInRange", "data.n", json!([[1, 2], [5, 9]]), false),
        ("NumberNotInRange", "data.n", json!([[1, 2], [6, 9]]), true),
        ("BoolEquals", "data.yes", json!(true), true),
        ("BoolEquals", "data.yes", json!(false), false),
        ("StringIn", "data.s", json!(["x", "hELLO"]), true),
        ("StringIn", "data.s", json!(["hell"]), false),
        ("StringNotIn", "data.s", json!(["hello"]), false),
        ("StringNotIn", "data.s", json!(["hell"]), true),
        ("StringContains", "data.s", json!(["x", "LL"]), true),
        ("StringContains", "data.s", json!(["lol"]), false),
        ("StringNotContains", "data.s", json!(["x", "LL"]), false),
        ("StringNotContains", "data.s", json!(["lol"]), true),
        ("StringBeginsWith", "data.s", json!(["x", "he"]), true),
        ("StringBeginsWith", "data.s", json!(["ello"]), false),
        ("StringNotBeginsWith", "data.s", json!(["x", "he"]), false),
        ("StringNotBeginsWith", "data.s", json!(["ello"]), true),
        ("StringEndsWith", "data.s", json!(["x", "LO"]), true),
        ("StringEndsWith", "data.s", json!(["hell"]), false),
        ("StringNotEndsWith", "data.s", json!(["x", "LO"]), false),
        ("StringNotEndsWith", "data.s", json!(["hell"]), true),
        ("IsNullOrUndefined", "data.none", json!(null), true),
        ("IsNullOrUndefined", "data.nothing", json!(null), true),
        ("IsNullOrUndefined", "data.o", json!(null), false),
        ("IsNotNull", "data.none", json!(null), false),
        ("IsNotNull", "data.nothing", json!(null), false),
        ("IsNotNull", "data.o", json!(null), true),
        ("numberin", "data.o.n.X", json!([1]), true),
    ] {
        let filter = filter(&[advanced(operator, key, &values)], false);
        let passes = filter.matches(&event(data));
        assert_eq!(passes, expected, "{operator} {key} {values}");
    }
}

#[test]
fn without_a_value_of_its_type() {
    let passing = [
        "NumberNotIn",
        "NumberNotInRange",
        "StringNotIn",
        "IsNullOrUndefined",
    ];
    for operator in OPERATORS {
        for data in ["{}", r#"{"x":null}"#, "7", r#""text""#] {
            let filter = filter(&[advanced(operator, "data.x", &values_for(operator))], true);
            let passes = filter.matches(&event(data));
            assert_eq!(passes, passing.contains(&operator), "{operator} {data}");
        }
        for on_arrays in [false, true] {
            let filter = filter(
                &[advanced(operator, "data.x", &values_for(operator))],
                on_arrays,
            );
            let passes = filter.matches(&event(r#"{"x":{"a":1}}"#));
            let expected = operator == "IsNotNull"
                || passing.contains(&operator) && !operator.starts_with("Is");
            assert_eq!(passes, expected, "{operator}");
            // Data that isn't JSON has nothing.
            for data in [
                Data::None,
                Data::Text("{\"x\":1}".to_owned()),
                Data::Binary(vec![1]),
            ] {
                let event = NewEvent {
                    data,
                    ..NewEvent::default()
                };
                assert_eq!(filter.matches(&event), passing.contains(&operator));
            }
        }
    }
}

#[test]
fn arrays() {
    let data =
        r#"{"x":["b",1,null,["a"],{"a":1},"Cat",true],"none":[],"numbers":[1,9],"o":[{"y":1}]}"#;
    for (operator, key, values, on, off) in [
        ("StringIn", "data.x", json!(["cat"]), true, false),
        ("StringIn", "data.x", json!(["a"]), false, false),
        ("StringNotIn", "data.x", json!(["cat"]), false, true),
        ("StringNotIn", "data.x", json!(["a"]), true, true),
        ("StringContains", "data.x", json!(["a"]), true, false),
        ("StringNotContains", "data.x", json!(["a"]), false, false),
        ("StringNotContains", "data.x", json!(["z"]), true, false),
        ("StringNotContains", "data.none", json!(["z"]), true, false),
        ("StringContains", "data.none", json!([""]), false, false),
        ("NumberIn", "data.x", json!([1]), true, false),
        ("NumberNotIn", "data.x", json!([1]), false, true),
        ("NumberGreaterThan", "data.numbers", json!(8), true, false),
        ("NumberGreaterThan", "data.numbers", json!(9), false, false),
        (
            "NumberInRange",
            "data.numbers",
            json!([[2, 8]]),
            false,
            false,
        ),
        (
            "NumberNotInRange",
            "data.numbers",
            json!([[2, 8]]),
            true,
            true,
        ),
        (
            "NumberNotInRange",
            "data.numbers",
            json!([[2, 9]]),
            false,
            true,
        ),
        ("BoolEquals", "data.x", json!(true), true, false),
        ("BoolEquals", "data.x", json!(false), false, false),
        ("IsNotNull", "data.none", json!(null), true, true),
        ("IsNotNull", "data.o.y", json!(null), false, false),
    ] {
        for (on_arrays, expected) in [(true, on), (false, off)] {
            let filter = filter(&[advanced(operator, key, &values)], on_arrays);
            let passes = filter.matches(&event(data));
            assert_eq!(passes, expected, "{operator} {key} {values} {on_arrays}");
        }
    }
    let whole = filter(&[advanced("NumberIn", "data", &json!([2]))], true);
    assert!(whole.matches(&event("[1,2]")) && whole.matches(&event("2")));
}

#[test]
fn keys_of_both_schemas() {
    for (key, value) in [
        ("Id", "event-7"),
        ("id", "EVENT-7"),
        ("Topic", "/topics/shop"),
        ("source", "/topics/shop"),
        ("Subject", "customer/7"),
        ("subject", "customer/7"),
        ("EventType", "order.placed"),
        ("type", "order.placed"),
        ("DataVersion", "2"),
        ("dataversion", "2"),
        ("specversion", "1.0"),
        ("Data.Kind", "a"),
        ("data.kind", "a"),
    ] {
        let filter = filter(&[advanced("StringIn", key, &json!([value]))], false);
        assert!(filter.matches(&event(r#"{"kind":"A"}"#)), "{key}");
        let other = NewEvent::default();
        assert_eq!(filter.matches(&other), key == "specversion", "{key}");
    }
    let both = [
        advanced("BoolEquals", "Flag", &json!(true)),
        advanced("NumberLessThan", "retries", &json!(3.5)),
    ];
    assert!(filter(&both, false).matches(&event("null")));
    // The very name comes before one that differs in case.
    let exact = filter(&[advanced("NumberIn", "data.a", &json!([1]))], false);
    assert!(exact.matches(&event(r#"{"A":2,"a":1}"#)));
    assert!(!exact.matches(&event(r#"{"A":1,"a":2}"#)));
    assert!(exact.matches(&event(r#"{"\u0041":1}"#)));
    // A number that no double holds spoils nothing beside it.
    let large = [
        advanced("NumberGreaterThan", "data.b", &json!(1e300)),
        advanced("NumberIn", "data.a", &json!([1])),
    ];
    assert!(filter(&large, false).matches(&event(r#"{"a":1,"b":1e400}"#)));
}

#[test]
fn refusals_name_the_field() {
    let one = |filter: Value| json!([filter]);
    let with = |operator: &str, key: &str, field: &str, value: Value| json!([{"operatorType": operator, "key": key, field: value}]);
    let long = "x".repeat(ADVANCED_FILTER_CHARS + 1);
    let many: Vec<Value> = (0..26)
        .map(|_| advanced("IsNotNull", "data.a", &json!(null)))
        .collect();
    let numbers: Vec<u32> = (0..13).collect();
    let twice = advanced("NumberIn", "data.a", &json!(numbers));
    for (filters, expected) in [
        (
            json!({}),
            "filter.advancedFilters must be an array of objects, not an object",
        ),
        (
            json!([1]),
            "filter.advancedFilters[0] must be an object, not a number",
        ),
        (
            one(json!({"key": "data.a"})),
            "filter.advancedFilters[0].operatorType is missing",
        ),
        (
            one(json!({"operatorType": "IsNotNull"})),
            "filter.advancedFilters[0].key is missing",
        ),
        (
            with("NumberIs", "data.a", "value", json!(1)),
            "filter.advancedFilters[0].operatorType is \"NumberIs\": expected NumberIn, NumberNotIn,",
        ),
        (
            with("NumberIn", "data.a", "value", json!(1)),
            "filter.advancedFilters[0].values is missing: expected an array of numbers",
        ),
        (
            with("NumberIn", "data.a", "values", json!([1, "2"])),
            "filter.advancedFilters[0].values must be an array of numbers, but item 1 doesn't fit",
        ),
        (
            with("NumberLessThan", "data.a", "value", json!("1")),
            "filter.advancedFilters[0].value must be a number, not a string",
        ),
        (
            with("NumberInRange", "data.a", "values", json!([1, 2])),
            "filter.advancedFilters[0].values must be an array of ranges [low, high], but item 0",
        ),
        (
            with(
                "NumberInRange",
                "data.a",
                "values",
                json!([[1, 2], [1, 2, 3]]),
            ),
            "filter.advancedFilters[0].values must be an array of ranges [low, high], but item 1",
        ),
        (
            with("NumberNotInRange", "data.a", "values", json!([[2, 1]])),
            "filter.advancedFilters[0].values holds the range [2, 1]: the smaller number",
        ),
        (
            with("BoolEquals", "data.a", "value", json!("true")),
            "filter.advancedFilters[0].value must be a boolean, not a string",
        ),
        (
            with("StringIn", "data.a", "values", json!("a")),
            "filter.advancedFilters[0].values must be an array of strings, not a string",
        ),
        (
            with("StringIn", "data.a", "values", json!([])),
            "filter.advancedFilters[0].values is empty",
        ),
        (
            with("StringIn", "data.a", "values", json!([long])),
            "filter.advancedFilters[0].values holds a string of 513 characters: at most 512",
        ),
        (
            with("StringIn", &long, "values", json!(["a"])),
            "filter.advancedFilters[0].key holds a string of 513 characters",
        ),
        (
            with("IsNotNull", "data.a", "value", json!(1)),
            "filter.advancedFilters[0].value is not known: expected operatorType, key",
        ),
        (
            json!(many),
            "filter.advancedFilters has 26 filters: at most 25",
        ),
        (
            json!([twice, twice]),
            "filter.advancedFilters has 26 values in all: at most 25",
        ),
    ] {
        let filter = json!({ "advancedFilters": filters });
        let error = Filter::from_json(Some(&filter)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().starts_with(expected), "{error}\n{expected}");
    }
    for key in [
        "",
        "data.",
        "data..a",
        ".a",
        "a.b",
        "time",
        "eventTime",
        "position",
        "metadataVersion",
        "a b",
    ] {
        let filters = json!([advanced("IsNotNull", key, &json!(null))]);
        let error = Filter::from_json(Some(&json!({ "advancedFilters": filters }))).unwrap_err();
        assert!(
            error.message().starts_with(&format!(
                "filter.advancedFilters[0].key is {key:?}: expected id"
            )),
            "{error}"
        );
    }
}

/// The rules again, over a parsed tree. `None`: there is no value of the type.
fn passes(filter: &Value, on_arrays: bool, data: &Value) -> bool {
    let operator = filter["operatorType"].as_str().unwrap();
    let names = filter["key"].as_str().unwrap().split('.').skip(1);
    let value = names.fold(data, |value, name| value.get(name).unwrap_or(&Value::Null));
    let wanted = match &filter["values"] {
        Value::Array(values) => values.clone(),
        _ => vec![filter["value"].clone()],
    };
    if operator.starts_with("Is") {
        return value.is_null() == (operator == "IsNullOrUndefined");
    }
    let fits = |value: &Value| -> Option<bool> {
        let any = |fits: &dyn Fn(&Value) -> bool| Some(wanted.iter().any(fits));
        if operator.starts_with("Number") {
            let n = value.as_f64()?;
            return match operator {
                "NumberLessThan" => any(&|w| n < w.as_f64().unwrap()),
                "NumberLessThanOrEquals" => any(&|w| n <= w.as_f64().unwrap()),
                "NumberGreaterThan" => any(&|w| n > w.as_f64().unwrap()),
                "NumberGreaterThanOrEquals" => any(&|w| n >= w.as_f64().unwrap()),
                "NumberIn" | "NumberNotIn" => any(&|w| n == w.as_f64().unwrap()),
                _ => any(&|w| n >= w[0].as_f64().unwrap() && n <= w[1].as_f64().unwrap()),
            };
        }
        if operator == "BoolEquals" {
            return value.as_bool().map(|b| wanted[0] == b);
        }
        let text = value.as_str()?.to_lowercase();
        let place = operator.replace("Not", "");
        any(&|w| {
            let w = w.as_str().unwrap().to_lowercase();
            match place.as_str() {
                "StringIn" => text == w,
                "StringContains" => text.contains(&w),
                "StringBeginsWith" => text.starts_with(&w),
                _ => text.ends_with(&w),
            }
        })
    };
    let found = match value {
        Value::Array(items) if on_arrays => Some(items.iter().any(|item| fits(item) == Some(true))),
        value => fits(value),
    };
    match operator {
        "NumberNotIn" | "NumberNotInRange" | "StringNotIn" => !found.unwrap_or(false),
        "StringNotContains" | "StringNotBeginsWith" | "StringNotEndsWith" => !found.unwrap_or(true),
        _ => found.unwrap_or(false),
    }
}

fn text() -> impl Strategy<Value = String> {
    "[aAbBäÄ\"]{0,3}"
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-3..3i64).prop_map(Value::from),
        (-6..6i32).prop_map(|half| Value::from(f64::from(half) / 2.0)),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        text().prop_map(Value::from),
    ]
}

fn member() -> impl Strategy<Value = Value> {
    let nested = prop_oneof![
        scalar(),
        prop::collection::vec(scalar(), 0..3).prop_map(Value::from),
        Just(json!({})),
    ];
    prop_oneof![
        2 => scalar(),
        2 => prop::collection::vec(nested.clone(), 0..4).prop_map(Value::from),
        1 => nested.prop_map(|value| json!({ "b": value })),
    ]
}

fn one() -> impl Strategy<Value = Value> {
    let operator = prop::sample::select(OPERATORS.to_vec());
    let key = prop::sample::select(vec!["data.a", "data.a.b", "data.b"]);
    let numbers = prop::collection::vec(number(), 2..5);
    let texts = prop::collection::vec(text(), 1..3);
    (operator, key, numbers, texts, any::<bool>()).prop_map(|(operator, key, n, texts, yes)| {
        let mut range = [n[0].clone(), n[1].clone()];
        range.sort_by(|a, b| a.as_f64().partial_cmp(&b.as_f64()).unwrap());
        let values = match values_for(operator) {
            Value::Array(items) if items[0].is_array() => json!([range]),
            Value::Array(items) if items[0].is_number() => json!(n),
            Value::Array(_) => json!(texts),
            Value::Number(_) => n[0].clone(),
            _ => json!(yes),
        };
        advanced(operator, key, &values)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn equals_a_plain_restatement(
        filters in prop::collection::vec(one(), 1..3), a in member(), b in scalar(), on_arrays: bool,
    ) {
        let data = json!({"a": a, "b": b});
        let expected = filters.iter().all(|filter| passes(filter, on_arrays, &data));
        prop_assert_eq!(filter(&filters, on_arrays).matches(&event(&data.to_string())), expected);
    }
    #[test]
    fn anything_is_read_or_refused(
        operator in prop::sample::select([&OPERATORS[..], &["", "numberin"]].concat()),
        key in prop_oneof!["(data|id|x)(\\.[a-z.é]{0,4})?", ".{0,8}"],
        value in prop::option::of(member()), values in prop::option::of(member()),
        a in member(), on_arrays in scalar(),
    ) {
        let one = json!({"operatorType": operator, "key": key, "value": value, "values": values});
        let one: Value = one.as_object().unwrap().clone().into_iter().filter(|(_, v)| !v.is_null()).collect();
        let json = json!({"advancedFilters": [one], "enableAdvancedFilteringOnArrays": on_arrays});
        if let Ok(filter) = Filter::from_json(Some(&json)) {
            read_back(&filter);
            filter.matches(&event(&json!({"a": a}).to_string()));
        }
    }
}
