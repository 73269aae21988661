//! Projections as text: what compiles to what, and how errors point into the file.

use foretell_state::kernel::{Function, TimeUnit, Window};
use foretell_state::{Definition, Expr, Scalar, ValueType};

const DAY: i64 = 86_400_000_000_000;

fn parse(text: &str) -> Definition {
    Definition::parse(text, "customer.sql").unwrap()
}

#[test]
fn the_example_of_the_design_compiles() {
    let definition = parse(
        "CREATE PROJECTION customer ON shop KEY data.customer_id AS SELECT
           count(*) FILTER (WHERE type = 'order.placed')                      AS orders,
           sum(data.total) OVER (RANGE INTERVAL '30 days' PRECEDING)          AS spend_30d,
           last(data.status)                                                  AS status,
           time_since_last() FILTER (WHERE type = 'order.placed')             AS recency
         ;",
    );
    assert_eq!(definition.name, "customer");
    assert_eq!(definition.topics, ["shop"]);
    let inputs: Vec<String> = definition.inputs.iter().map(ToString::to_string).collect();
    assert_eq!(
        inputs,
        ["data.customer_id", "type", "data.total", "data.status"]
    );
    let functions: Vec<_> = definition
        .aggregates
        .iter()
        .map(|aggregate| {
            (
                aggregate.function.clone(),
                aggregate.window,
                aggregate.filter.is_some(),
            )
        })
        .collect();
    assert_eq!(
        functions,
        [
            (Function::Count, Window::All, true),
            (Function::Sum, Window::Range(30 * DAY), false),
            (Function::Last, Window::All, false),
            (Function::SinceLast(TimeUnit::Second), Window::All, true),
        ]
    );
    assert_eq!(
        definition.types(),
        [
            ValueType::Int,
            ValueType::Number,
            ValueType::Any,
            ValueType::Float
        ]
    );
}

#[test]
fn every_aggregate_and_window_has_a_form() {
    for (text, function, window) in [
        ("count()", Function::Count, Window::All),
        (
            "count(DISTINCT data.a)",
            Function::CountDistinct,
            Window::All,
        ),
        (
            "approx_count_distinct(a)",
            Function::ApproximateDistinct,
            Window::All,
        ),
        ("avg(data.a.b[0])", Function::Average, Window::All),
        ("stddev(data.\"odd key\")", Function::Deviation, Window::All),
        ("min(time)", Function::Min, Window::All),
        ("max(data['x y'])", Function::Max, Window::All),
        (
            "first(id) OVER (ROWS 3 PRECEDING)",
            Function::First,
            Window::Rows(3),
        ),
        ("nth_last(data.a, 2)", Function::NthLast(1), Window::All),
        ("collect(type, 5)", Function::Collect(5), Window::All),
        (
            "mode(source) OVER (SESSION INTERVAL '30 minutes')",
            Function::Mode,
            Window::Session(DAY / 48),
        ),
        (
            "sum(data.a) OVER (SESSION '1 hour')",
            Function::Sum,
            Window::Session(DAY / 24),
        ),
        (
            "sum(data.a) OVER (RANGE '1 day 12 hours' PRECEDING)",
            Function::Sum,
            Window::Range(DAY + DAY / 2),
        ),
        (
            "sum(data.a) OVER (RANGE INTERVAL '1.5' DAY PRECEDING)",
            Function::Sum,
            Window::Range(DAY + DAY / 2),
        ),
        (
            "sum(data.a) OVER (RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW)",
            Function::Sum,
            Window::Range(DAY),
        ),
        (
            "sum(data.a) OVER (ROWS UNBOUNDED PRECEDING)",
            Function::Sum,
            Window::All,
        ),
        (
            "decayed_sum(data.a, INTERVAL '7 days')",
            Function::DecayedSum(7 * DAY),
            Window::All,
        ),
        (
            "time_since_last('microseconds')",
            Function::SinceLast(TimeUnit::Microsecond),
            Window::All,
        ),
        (
            "time_since_first('day')",
            Function::SinceFirst(TimeUnit::Day),
            Window::All,
        ),
    ] {
        let definition = parse(&format!(
            "create projection p on shop as select {text} as x"
        ));
        let aggregate = &definition.aggregates[0];
        assert_eq!(
            (aggregate.function.clone(), aggregate.window),
            (function, window),
            "{text}"
        );
    }
}

#[test]
fn equal_aggregates_are_kept_once() {
    let definition = parse(
        "CREATE PROJECTION p ON shop, other-topic, shop AS SELECT sum(data.a) / count(data.a) AS mean,
         coalesce(sum(data.a), 0) AS total WHERE type LIKE 'order.%'",
    );
    assert_eq!(definition.topics, ["other-topic", "shop"]);
    assert_eq!(definition.aggregates.len(), 2);
    assert!(definition.filter.is_some());
    assert_eq!(definition.inputs[0].to_string(), "subject");
    assert_eq!(
        definition.outputs[1].expr,
        Expr::Coalesce(vec![Expr::Input(0), Expr::Literal(Scalar::Int(0))])
    );
}

#[test]
fn errors_point_into_the_file() {
    let mut wrong = Vec::new();
    for (text, expected) in [
        ("", "customer.sql:1:1: expected CREATE, found the end: "),
        (
            "CREATE TABLE x",
            "customer.sql:1:8: expected PROJECTION, found TABLE: ",
        ),
        (
            "CREATE PROJECTION merge ON shop AS SELECT count(*) AS n",
            "customer.sql:1:19: \"merge\" is the projection that needs no definition",
        ),
        (
            "CREATE PROJECTION p ON a AS SELECT count(*) AS n",
            "customer.sql:1:24: ",
        ),
        (
            "CREATE PROJECTION p ON shop KEY data.x\nSELECT count(*) AS n",
            "customer.sql:2:1: expected AS SELECT or AS FOLD, found SELECT",
        ),
        (
            "CREATE PROJECTION p ON shop AS SELECT count(*)",
            "customer.sql:1:47: a column needs a name: write AS name",
        ),
        (
            "CREATE PROJECTION p ON shop AS SELECT count(*) AS n, sum(data.x) AS n",
            "customer.sql:1:69: there are two columns \"n\"",
        ),
        (
            "CREATE PROJECTION p ON shop AS SELECT\n  data.x AS x",
            "customer.sql:2:3: data.x stands outside an aggregate: which event's is meant? Write last(data.x)",
        ),
        (
            "CREATE PROJECTION p ON shop AS SELECT sum(customer.x) AS x",
            "customer.sql:1:43: customer.x is no attribute of an event: what lies in its data begins with data, as in data.customer.x",
        ),
        (
            "CREATE PROJECTION p ON shop AS SELECT sum(data.x) OVER (RANGE INTERVAL '1 month' PRECEDING) AS x",
            "customer.sql:1:72: a window can't be in month: their lengths differ; write days",
        ),
        (
            "CREATE PROJECTION p ON shop AS SELECT median(data.x) AS x",
            "customer.sql:1:39: there is no function median; there are the aggregates count, sum, avg",
        ),
        (
            "CREATE PROJECTION p ON shop AS SELECT sum(count(*)) AS x",
            "customer.sql:1:43: the aggregate count can't stand inside an aggregate",
        ),
        (
            "CREATE PROJECTION p ON shop AS SELECT count(*) AS n FROM shop",
            "customer.sql:1:53: FROM has no place here",
        ),
        (
            "CREATE PROJECTION p ON shop AS SELECT count(*) AS n GROUP BY x",
            "customer.sql:1:53: GROUP BY has no place here",
        ),
        (
            "CREATE PROJECTION p ON shop AS SELECT sum(data.x) OVER (PARTITION BY y) AS n",
            "customer.sql:1:39: PARTITION BY and ORDER BY have no place",
        ),
        (
            "CREATE PROJECTION p ON shop AS SELECT sum(data.x OVER () AS n",
            "customer.sql:1:50: expected: )",
        ),
        (
            "CREATE PROJECTION p ON shop AS SELECT approx_count_distinct(data.x) OVER (RANGE '1 day' PRECEDING) AS n",
            "customer.sql:1:39: approx_count_distinct can't forget",
        ),
        (
            "CREATE PROJECTION p ON shop AS SELECT last(time) < 'yesterday' AS n",
            "customer.sql:1:39: \"yesterday\" is not a time",
        ),
        (
            "CREATE PROJECTION p ON shop AS SELECT 'a",
            "customer.sql:1:39: unterminated string literal",
        ),
        (
            "CREATE PROJECTION p ON shop AS SELECT count(*) OVER (GROUPS 3 PRECEDING) AS n",
            "customer.sql:1:54: there is no window GROUPS",
        ),
        (
            "CREATE PROJECTION p ON shop AS SELECT (SELECT 1) AS n",
            "customer.sql:1:40: (SELECT 1) is more than a projection can tell",
        ),
        (
            "CREATE PROJECTION p ON shop AS SELECT substr(last(data.x)) AS n",
            "customer.sql:1:46: substr takes 2 to 3 arguments, not 1",
        ),
    ] {
        let error = Definition::parse(text, "customer.sql").unwrap_err();
        if !error.message().starts_with(expected) {
            wrong.push(format!("{text}\n  {}\n  {expected}", error.message()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_text_is_too_deep_or_too_odd() {
    let deep = [
        format!(
            "CREATE PROJECTION p ON shop AS SELECT {}1{} AS x",
            "(".repeat(5000),
            ")".repeat(5000)
        ),
        format!(
            "CREATE PROJECTION p ON shop AS SELECT 1{} AS x",
            "+1".repeat(20_000)
        ),
        format!(
            "CREATE PROJECTION p ON shop AS SELECT {} 1 AS x",
            "NOT ".repeat(20_000)
        ),
        format!(
            "CREATE PROJECTION p ON shop AS SELECT {} AS x",
            "-".repeat(999)
        ),
        "CREATE PROJECTION p ON shop AS SELECT count(*) AS n; DROP".to_owned(),
        "CREATE PROJECTION p ON shop KEY".to_owned(),
        "CREATE PROJECTION \u{0} ON shop".to_owned(),
    ];
    for text in &deep {
        assert!(Definition::parse(text, "x.sql").is_err());
    }
}

/// Values over one event.
#[test]
fn expressions_give_values() {
    let event = foretell_types::RecordedEvent {
        event: foretell_types::NewEvent {
            event_type: "order.placed".into(),
            subject: Some("c/1".into()),
            time: Some("2024-02-29T23:30:00Z".parse().unwrap()),
            data: foretell_types::Data::json(
                r#"{"n":3,"f":0.5,"t":"Ab","when":"2024-03-01","list":[1,2],"yes":true}"#,
            ),
            ..Default::default()
        },
        position: foretell_types::Position::FIRST,
        revision: None,
        recorded_time: foretell_types::Instant::from_nanos(0),
        erased: false,
    };
    for (text, expected) in [
        ("data.n + 1", "4"),
        ("data.n / 2", "1.5"),
        ("data.n % 2", "1"),
        ("data.n / 0", "null"),
        ("data.t + 1", "null"),
        ("-data.f * 4", "-2.0"),
        ("data.n = 3.0 AND data.f < 1", "true"),
        ("data.missing = 1 OR data.yes", "true"),
        ("NOT data.missing", "null"),
        ("data.missing IS NULL", "true"),
        ("data.n BETWEEN 1 AND 3", "true"),
        ("data.n NOT IN (1, 2)", "true"),
        ("data.n IN (1, NULL)", "null"),
        ("type LIKE 'order.%'", "true"),
        ("data.t ILIKE 'AB'", "true"),
        (
            "CASE data.n WHEN 1 THEN 'one' WHEN 3 THEN 'three' ELSE 'more' END",
            "\"three\"",
        ),
        ("CASE WHEN data.n > 5 THEN 1 END", "null"),
        ("coalesce(data.missing, data.f)", "0.5"),
        ("CAST('12' AS BIGINT) + 1", "13"),
        ("CAST(data.f AS BIGINT)", "0"),
        ("CAST(data.when AS TIMESTAMP)", "\"2024-03-01T00:00:00Z\""),
        ("data.when::timestamp > time", "true"),
        ("time < '2024-03-01'", "true"),
        ("time + INTERVAL '1 day'", "\"2024-03-01T23:30:00Z\""),
        ("CAST(data.when AS TIMESTAMP) - time", "1800.0"),
        ("date_trunc('month', time)", "\"2024-02-01T00:00:00Z\""),
        ("date_trunc('week', time)", "\"2024-02-26T00:00:00Z\""),
        ("date_part('isodow', time)", "4"),
        ("extract(hour FROM time)", "23"),
        ("lower(data.t) || '-' || data.n", "\"ab-3\""),
        ("substring(data.t FROM 2)", "\"b\""),
        ("length(subject)", "3"),
        ("round(data.f * 3, 1)", "1.5"),
        ("greatest(data.n, data.f, NULL)", "3"),
        ("data.list", "[1,2]"),
        ("data.list[1]", "2"),
        ("trim('  x ')", "\"x\""),
        ("nullif(data.n, 3)", "null"),
    ] {
        let definition = parse(&format!(
            "CREATE PROJECTION p ON shop AS SELECT last({text}) AS x"
        ));
        let mut inputs = Vec::new();
        definition.extractor.read(&event, &mut inputs);
        let value = definition.aggregates[0].value(&inputs);
        assert_eq!(value.to_json(), expected, "{text}");
        let declared = definition.types()[0];
        let fits = value.is_null()
            || declared == ValueType::Any
            || declared.or(ValueType::of(&value)) == declared;
        assert!(fits, "{text} is declared {declared:?}, and is {value:?}");
    }
}
