//! What is drawn at random.

use proptest::prelude::*;

use super::*;

const KEYS: [&str; 3] = ["k0", "k1", "k2"];
const KINDS: [&str; 2] = ["placed", "paid"];
const TEXTS: [&str; 3] = ["x", "y", "zz"];

/// Times are few, so that many events share one; they come in any order.
pub fn events(topics: usize) -> impl Strategy<Value = Vec<Event>> {
    let keys = prop::sample::subsequence(KEYS.to_vec(), 0..=2);
    let event = (
        (
            0..topics,
            0i64..60,
            keys,
            prop::sample::select(KINDS.to_vec()),
        ),
        (
            prop::option::weighted(0.8, -3i64..6),
            prop::option::weighted(0.8, (-8i32..16).prop_map(|n| f64::from(n) / 4.0)),
            prop::option::weighted(0.7, prop::sample::select(TEXTS.to_vec())),
            prop::option::of(any::<bool>()),
        ),
    );
    prop::collection::vec(event, 1..90).prop_map(|drawn| {
        let mut positions = [0; TOPICS.len()];
        let number = drawn
            .into_iter()
            .map(|((topic, time, keys, kind), (a, f, t, b))| {
                positions[topic] += 1;
                Event {
                    topic,
                    position: positions[topic],
                    time,
                    keys,
                    kind,
                    a,
                    f,
                    t,
                    b,
                }
            });
        number.collect()
    })
}

pub fn definition(topics: usize) -> impl Strategy<Value = Definition> {
    let aggregates = prop::collection::vec(aggregate(), 1..7);
    let filter = prop::option::weighted(0.2, condition());
    let drawn = (filter, aggregates, prop::bool::weighted(0.4));
    drawn.prop_map(move |(filter, aggregates, listed)| Definition {
        topics,
        filter,
        aggregates,
        listed,
    })
}

fn aggregate() -> impl Strategy<Value = Aggregate> {
    let taking = prop_oneof![
        Just(Function::Count),
        Just(Function::Distinct),
        Just(Function::Sum),
        Just(Function::Average),
        Just(Function::Deviation),
        Just(Function::Min),
        Just(Function::Max),
        Just(Function::First),
        Just(Function::Last),
        (1usize..4).prop_map(Function::NthLast),
        (1usize..5).prop_map(Function::Collect),
        Just(Function::Mode),
        (1i64..20).prop_map(Function::DecayedSum),
    ];
    let plain = prop_oneof![
        Just(Function::Count),
        Just(Function::SinceLast),
        Just(Function::SinceFirst),
        (1i64..20).prop_map(Function::DecayedCount),
    ];
    let call = prop_oneof![
        4 => (taking, value()).prop_map(|(function, argument)| (function, Some(argument))),
        1 => plain.prop_map(|function| (function, None)),
    ];
    let window = prop_oneof![
        2 => Just(Window::All),
        2 => (1i64..30).prop_map(Window::Range),
        1 => (1usize..6).prop_map(Window::Rows),
        1 => (1i64..15).prop_map(Window::Session),
    ];
    let filter = prop::option::weighted(0.3, condition());
    (call, filter, window).prop_map(|((function, argument), filter, window)| {
        // What decays has no window.
        let decays = matches!(
            function,
            Function::DecayedSum(_) | Function::DecayedCount(_)
        );
        let window = match window {
            Window::Range(_) | Window::Rows(_) if decays => Window::All,
            window => window,
        };
        Aggregate {
            function,
            argument,
            filter,
            window,
        }
    })
}

fn leaf() -> impl Strategy<Value = Expr> {
    prop_oneof![
        6 => prop::sample::select(vec!["a", "f", "t", "b", "type"]).prop_map(Expr::Field),
        1 => (0i64..4).prop_map(|value| Expr::Literal(Value::Int(value))),
        1 => (1i32..8).prop_map(|n| Expr::Literal(Value::Float(f64::from(n) / 4.0))),
        1 => prop::sample::select(TEXTS.to_vec())
            .prop_map(|text| Expr::Literal(Value::Text(text.into()))),
    ]
}

/// Depth is small, so that no float is ever rounded.
fn value() -> impl Strategy<Value = Expr> {
    leaf().prop_recursive(2, 8, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            (prop::sample::select(vec!['+', '-', '*']), two.clone()).prop_map(
                |(operator, (left, right))| Expr::Math(operator, left.into(), right.into())
            ),
            two.prop_map(|(left, right)| Expr::Coalesce(left.into(), right.into())),
            (condition(), inner.clone(), inner).prop_map(|(condition, then, otherwise)| {
                Expr::Case(condition.into(), then.into(), otherwise.into())
            }),
        ]
    })
}

fn condition() -> impl Strategy<Value = Expr> {
    let compare = (prop::sample::select(vec!["=", "<", ">="]), leaf(), leaf())
        .prop_map(|(operator, left, right)| Expr::Compare(operator, left.into(), right.into()));
    let test = prop_oneof![
        3 => compare,
        1 => leaf().prop_map(|inner| Expr::IsNull(inner.into())),
        1 => Just(Expr::Field("b")),
    ];
    test.prop_recursive(2, 6, 2, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            two.clone()
                .prop_map(|(left, right)| Expr::And(left.into(), right.into())),
            two.prop_map(|(left, right)| Expr::Or(left.into(), right.into())),
            inner.prop_map(|inner| Expr::Not(inner.into())),
        ]
    })
}
