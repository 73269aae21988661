//! A plain reference of projections: definitions are drawn here and written as SQL; their values
//! are found by loops over lists. It uses none of the code that it is held against.

pub mod draw;

use std::cmp::Ordering;

use serde_json::{Value as Json, json};

pub const SECOND: i64 = 1_000_000_000;

#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

/// An event, at a whole second.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its place among the topics, in the order of their names.
    pub topic: usize,
    pub position: u64,
    pub time: i64,
    /// The keys that it names.
    pub keys: Vec<&'static str>,
    pub kind: &'static str,
    pub a: Option<i64>,
    pub f: Option<f64>,
    pub t: Option<&'static str>,
    pub b: Option<bool>,
}

#[derive(Clone, Debug)]
pub enum Expr {
    Field(&'static str),
    Literal(Value),
    /// `+`, `-`, `*`
    Math(char, Box<Expr>, Box<Expr>),
    /// `=`, `<`, `>=`
    Compare(&'static str, Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    IsNull(Box<Expr>),
    Case(Box<Expr>, Box<Expr>, Box<Expr>),
    Coalesce(Box<Expr>, Box<Expr>),
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Function {
    Count,
    Distinct,
    Sum,
    Average,
    Deviation,
    Min,
    Max,
    First,
    Last,
    NthLast(usize),
    Collect(usize),
    Mode,
    DecayedSum(i64),
    DecayedCount(i64),
    SinceLast,
    SinceFirst,
}

/// Lengths are in seconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Window {
    All,
    Range(i64),
    Rows(usize),
    Session(i64),
}

#[derive(Clone, Debug)]
pub struct Aggregate {
    pub function: Function,
    /// `None` where the function takes none.
    pub argument: Option<Expr>,
    pub filter: Option<Expr>,
    pub window: Window,
}

#[derive(Clone, Debug)]
pub struct Definition {
    pub topics: usize,
    pub filter: Option<Expr>,
    pub aggregates: Vec<Aggregate>,
    /// A last column is a function's: it lists all events in the order in which they are folded.
    pub listed: bool,
}

const LIST: &str = "FOLD $$
function fold(state, event) {
    return [...(state ?? []), [epoch(event.time), event.type, event.data.a ?? null]];
}
$$ ";

pub const TOPICS: [&str; 2] = ["shop", "till"];

impl Definition {
    pub fn sql(&self) -> String {
        let columns = self.aggregates.iter().enumerate();
        let mut columns: Vec<String> = columns
            .map(|(index, aggregate)| format!("{} AS c{index}", aggregate.sql()))
            .collect();
        if self.listed {
            columns.push(format!("state AS c{}", columns.len()));
        }
        let filter = self.filter.as_ref();
        format!(
            "CREATE PROJECTION p ON {} KEY data.k AS {}SELECT {}{}",
            TOPICS[..self.topics].join(", "),
            if self.listed { LIST } else { "" },
            columns.join(", "),
            filter.map_or(String::new(), |filter| format!(" WHERE {}", filter.sql()))
        )
    }

    /// The columns at an instant, given the events of a key that are seen.
    pub fn values(&self, seen: &[&Event], at: i64) -> Vec<Json> {
        let columns = self.aggregates.iter();
        let mut values: Vec<Json> = columns.map(|column| column.value(seen, at)).collect();
        if self.listed {
            let listed = seen
                .iter()
                .map(|event| json!([event.time, event.kind, event.a]));
            values.push(match seen {
                [] => Json::Null,
                _ => listed.collect(),
            });
        }
        values
    }

    pub fn passes(&self, event: &Event) -> bool {
        let filter = self.filter.as_ref();
        filter.is_none_or(|filter| filter.eval(event) == Value::Bool(true))
    }
}

impl Expr {
    pub fn sql(&self) -> String {
        match self {
            Expr::Field("type") => "type".into(),
            Expr::Field(name) => format!("data.{name}"),
            Expr::Literal(value) => match value {
                Value::Null => "NULL".into(),
                Value::Bool(value) => value.to_string().to_uppercase(),
                Value::Int(value) => value.to_string(),
                Value::Float(value) => format!("{value:?}"),
                Value::Text(text) => format!("'{text}'"),
            },
            Expr::Math(operator, left, right) => {
                format!("({} {operator} {})", left.sql(), right.sql())
            }
            Expr::Compare(operator, left, right) => {
                format!("({} {operator} {})", left.sql(), right.sql())
            }
            Expr::And(left, right) => format!("({} AND {})", left.sql(), right.sql()),
            Expr::Or(left, right) => format!("({} OR {})", left.sql(), right.sql()),
            Expr::Not(inner) => format!("(NOT {})", inner.sql()),
            Expr::IsNull(inner) => format!("({} IS NULL)", inner.sql()),
            Expr::Case(condition, then, otherwise) => format!(
                "(CASE WHEN {} THEN {} ELSE {} END)",
                condition.sql(),
                then.sql(),
                otherwise.sql()
            ),
            Expr::Coalesce(left, right) => format!("coalesce({}, {})", left.sql(), right.sql()),
        }
    }

    pub fn eval(&self, event: &Event) -> Value {
        let truth = |expr: &Expr| match expr.eval(event) {
            Value::Bool(value) => Some(value),
            _ => None,
        };
        let of = |truth: Option<bool>| truth.map_or(Value::Null, Value::Bool);
        match self {
            Expr::Literal(value) => value.clone(),
            Expr::Field(name) => match *name {
                "a" => event.a.map_or(Value::Null, Value::Int),
                "f" => event.f.map_or(Value::Null, Value::Float),
                "t" => event.t.map_or(Value::Null, |text| Value::Text(text.into())),
                "b" => event.b.map_or(Value::Null, Value::Bool),
                _ => Value::Text(event.kind.into()),
            },
            Expr::Math(operator, left, right) => {
                let (left, right) = (left.eval(event), right.eval(event));
                if let (Value::Int(left), Value::Int(right)) = (&left, &right) {
                    return Value::Int(match operator {
                        '+' => left + right,
                        '-' => left - right,
                        _ => left * right,
                    });
                }
                match (number(&left), number(&right)) {
                    (Some(left), Some(right)) => Value::Float(match operator {
                        '+' => left + right,
                        '-' => left - right,
                        _ => left * right,
                    }),
                    _ => Value::Null,
                }
            }
            Expr::Compare(operator, left, right) => {
                let (left, right) = (left.eval(event), right.eval(event));
                if rank(&left) != rank(&right) || left == Value::Null {
                    return Value::Null;
                }
                let ordering = order(&left, &right);
                Value::Bool(match *operator {
                    "=" => ordering.is_eq(),
                    "<" => ordering.is_lt(),
                    _ => ordering.is_ge(),
                })
            }
            Expr::And(left, right) => of(match (truth(left), truth(right)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            }),
            Expr::Or(left, right) => of(match (truth(left), truth(right)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            }),
            Expr::Not(inner) => of(truth(inner).map(|value| !value)),
            Expr::IsNull(inner) => Value::Bool(inner.eval(event) == Value::Null),
            Expr::Case(condition, then, otherwise) => match truth(condition) {
                Some(true) => then.eval(event),
                _ => otherwise.eval(event),
            },
            Expr::Coalesce(left, right) => match left.eval(event) {
                Value::Null => right.eval(event),
                value => value,
            },
        }
    }
}

impl Aggregate {
    pub fn sql(&self) -> String {
        let argument = self.argument.as_ref().map_or("*".into(), Expr::sql);
        let call = match self.function {
            Function::Count => format!("count({argument})"),
            Function::Distinct => format!("count(DISTINCT {argument})"),
            Function::Sum => format!("sum({argument})"),
            Function::Average => format!("avg({argument})"),
            Function::Deviation => format!("stddev({argument})"),
            Function::Min => format!("min({argument})"),
            Function::Max => format!("max({argument})"),
            Function::First => format!("first({argument})"),
            Function::Last => format!("last({argument})"),
            Function::NthLast(n) => format!("nth_last({argument}, {n})"),
            Function::Collect(n) => format!("collect({argument}, {n})"),
            Function::Mode => format!("mode({argument})"),
            Function::DecayedSum(half) => {
                format!("decayed_sum({argument}, INTERVAL '{half} seconds')")
            }
            Function::DecayedCount(half) => format!("decayed_count(INTERVAL '{half} seconds')"),
            Function::SinceLast => "time_since_last()".into(),
            Function::SinceFirst => "time_since_first()".into(),
        };
        let filter = self.filter.as_ref();
        let filter = filter.map(|filter| format!(" FILTER (WHERE {})", filter.sql()));
        let window = match self.window {
            Window::All => String::new(),
            Window::Range(width) => format!(" OVER (RANGE INTERVAL '{width} seconds' PRECEDING)"),
            Window::Rows(count) => format!(" OVER (ROWS {count} PRECEDING)"),
            Window::Session(gap) => format!(" OVER (SESSION INTERVAL '{gap} seconds')"),
        };
        format!("{call}{}{window}", filter.unwrap_or_default())
    }

    /// What is taken of the events in the window: time and value, in their order.
    pub fn taken(&self, seen: &[&Event], at: i64) -> Vec<(i64, Value)> {
        let numeric = matches!(
            self.function,
            Function::Sum | Function::Average | Function::Deviation | Function::DecayedSum(_)
        );
        let mut taken = Vec::new();
        for event in seen {
            let filter = self.filter.as_ref();
            if filter.is_some_and(|filter| filter.eval(event) != Value::Bool(true)) {
                continue;
            }
            let argument = self.argument.as_ref();
            let value = argument.map_or(Value::Bool(true), |argument| argument.eval(event));
            if value != Value::Null && (!numeric || number(&value).is_some()) {
                taken.push((event.time, value));
            }
        }
        match self.window {
            Window::All => {}
            Window::Range(width) => taken.retain(|(time, _)| *time > at - width),
            Window::Rows(count) => drop(taken.drain(..taken.len().saturating_sub(count))),
            Window::Session(gap) => {
                let mut begin = taken.len();
                let mut next = at;
                while begin > 0 && next - taken[begin - 1].0 < gap {
                    begin -= 1;
                    next = taken[begin].0;
                }
                drop(taken.drain(..begin));
            }
        }
        taken
    }

    fn value(&self, seen: &[&Event], at: i64) -> Json {
        let taken = self.taken(seen, at);
        let values: Vec<&Value> = taken.iter().map(|(_, value)| value).collect();
        let numbers: Vec<f64> = values.iter().filter_map(|value| number(value)).collect();
        let nth = |index: Option<usize>| {
            let value = index.and_then(|index| values.get(index));
            value.map_or(Json::Null, |value| to_json(value))
        };
        let since = |time: Option<&(i64, Value)>| {
            time.map_or(Json::Null, |(time, _)| json!((at - time) as f64))
        };
        match self.function {
            Function::Count => json!(values.len()),
            Function::Distinct => {
                let mut sorted = values.clone();
                sorted.sort_by(|a, b| order(a, b));
                sorted.dedup_by(|a, b| order(a, b).is_eq());
                json!(sorted.len())
            }
            Function::Sum if values.is_empty() => Json::Null,
            Function::Sum => sum(&values),
            Function::Average if numbers.is_empty() => Json::Null,
            Function::Average => json!(numbers.iter().sum::<f64>() / numbers.len() as f64),
            Function::Deviation if numbers.len() < 2 => Json::Null,
            Function::Deviation => {
                let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
                let squares: f64 = numbers.iter().map(|x| (x - mean) * (x - mean)).sum();
                json!((squares / (numbers.len() - 1) as f64).sqrt())
            }
            Function::Min => extreme(&values, Ordering::Less),
            Function::Max => extreme(&values, Ordering::Greater),
            Function::First => nth(Some(0)),
            Function::Last => nth(values.len().checked_sub(1)),
            Function::NthLast(n) => nth(values.len().checked_sub(n)),
            Function::Collect(_) if values.is_empty() => Json::Null,
            Function::Collect(n) => {
                let from = values.len().saturating_sub(n);
                values[from..].iter().map(|value| to_json(value)).collect()
            }
            Function::Mode => {
                let times = |value: &Value| {
                    let same = values.iter().filter(|other| order(other, value).is_eq());
                    same.count()
                };
                let best = values.iter().max_by(|a, b| {
                    // Of several, the smallest.
                    times(a).cmp(&times(b)).then_with(|| order(b, a))
                });
                best.map_or(Json::Null, |value| to_json(value))
            }
            Function::DecayedSum(_) if taken.is_empty() => Json::Null,
            Function::DecayedSum(half) | Function::DecayedCount(half) => {
                let weight = |time: i64| (-((at - time) as f64) / half as f64).exp2();
                let parts = taken
                    .iter()
                    .map(|(time, value)| number(value).unwrap_or(1.0) * weight(*time));
                json!(parts.sum::<f64>())
            }
            Function::SinceLast => since(taken.last()),
            Function::SinceFirst => since(taken.first()),
        }
    }

    /// Whether each event in the window counts, rather than one of them deciding.
    pub fn is_of_all(&self) -> bool {
        matches!(
            self.function,
            Function::Count
                | Function::Distinct
                | Function::Sum
                | Function::Average
                | Function::Deviation
                | Function::DecayedSum(_)
                | Function::DecayedCount(_)
        )
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(value) => Some(*value as f64),
        Value::Float(value) => Some(*value),
        _ => None,
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Int(_) | Value::Float(_) => 2,
        Value::Text(_) => 3,
    }
}

/// By kind, then by value. All numbers here are small, or quarters: a float tells them exactly.
fn order(left: &Value, right: &Value) -> Ordering {
    rank(left)
        .cmp(&rank(right))
        .then_with(|| match (left, right) {
            (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
            (Value::Text(left), Value::Text(right)) => left.cmp(right),
            _ => {
                let (left, right) = (number(left).unwrap_or(0.0), number(right).unwrap_or(0.0));
                left.partial_cmp(&right).unwrap_or(Ordering::Equal)
            }
        })
}

fn sum(values: &[&Value]) -> Json {
    let integers = values.iter().map(|value| match value {
        Value::Int(value) => Some(*value),
        _ => None,
    });
    match integers.sum::<Option<i64>>() {
        Some(total) => json!(total),
        None => json!(values.iter().filter_map(|value| number(value)).sum::<f64>()),
    }
}

fn extreme(values: &[&Value], wins: Ordering) -> Json {
    let mut best: Option<&Value> = None;
    for value in values {
        if best.is_none_or(|best| order(value, best) == wins) {
            best = Some(value);
        }
    }
    best.map_or(Json::Null, to_json)
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        // One zero.
        Value::Float(value) => json!(value + 0.0),
        Value::Text(text) => json!(text),
    }
}

/// Whether two values are the same: 1 and 1.0 are, and what is computed in another order may
/// differ in the last digits.
pub fn same(ours: &Json, plain: &Json) -> bool {
    match (ours, plain) {
        (Json::Array(ours), Json::Array(plain)) => {
            ours.len() == plain.len() && ours.iter().zip(plain).all(|(a, b)| same(a, b))
        }
        (Json::Number(a), Json::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap_or(0.0), b.as_f64().unwrap_or(0.0));
            (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-3)
        }
        _ => ours == plain,
    }
}
