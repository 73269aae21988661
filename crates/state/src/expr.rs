//! Expressions: over the inputs of one event, or over the aggregates of one key.

use std::borrow::Cow;
use std::cmp::Ordering;

use foretell_types::Timestamp;

use crate::function::Scalars;
use crate::{Scalar, Step, ValueType, at_steps};

/// An expression, compiled. It knows its inputs by number only, so it does not matter where they
/// come from: the JSON of an event, a column, or the aggregates of a state.
///
/// Null is unknown, as in SQL. What can't be computed (a division by zero, a text minus a number)
/// is null.
#[derive(Clone, PartialEq, Debug)]
pub enum Expr {
    Literal(Scalar<'static>),
    Input(usize),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    /// Whether it is null.
    IsNull(Box<Expr>),
    /// Whether it is one of these.
    In(Box<Expr>, Vec<Expr>),
    /// Whether text is like a pattern, in lower case if the second is true.
    Like(Box<Expr>, bool, Box<Expr>),
    /// The first of these whose condition is true.
    Case(Vec<(Expr, Expr)>, Box<Expr>),
    /// The first that isn't null.
    Coalesce(Vec<Expr>),
    Cast(Box<Expr>, ValueType),
    /// A time so many nanoseconds later.
    Shift(Box<Expr>, i64),
    Call(Scalars, Vec<Expr>),
    /// What is at these steps into JSON.
    At(Box<Expr>, Vec<Step>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    /// Always of floats: 1 / 2 is 0.5.
    Divide,
    Remainder,
    Concat,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
}

impl Expr {
    pub fn eval<'a>(&'a self, inputs: &'a [Scalar<'a>]) -> Scalar<'a> {
        match self {
            Expr::Literal(value) => value.borrowed(),
            Expr::Input(index) => inputs.get(*index).map_or(Scalar::Null, Scalar::borrowed),
            Expr::Not(inner) => match truth(&inner.eval(inputs)) {
                Some(value) => Scalar::Bool(!value),
                None => Scalar::Null,
            },
            Expr::Negate(inner) => {
                arithmetic(Operator::Subtract, &Scalar::Int(0), &inner.eval(inputs))
            }
            Expr::Binary(Operator::And, left, right) => {
                logic(false, &left.eval(inputs), || right.eval(inputs))
            }
            Expr::Binary(Operator::Or, left, right) => {
                logic(true, &left.eval(inputs), || right.eval(inputs))
            }
            Expr::Binary(operator, left, right) => {
                binary(*operator, &left.eval(inputs), &right.eval(inputs))
            }
            Expr::IsNull(inner) => Scalar::Bool(inner.eval(inputs).is_null()),
            Expr::In(inner, list) => is_in(&inner.eval(inputs), list, inputs),
            Expr::Like(inner, fold, pattern) => match (inner.eval(inputs), pattern.eval(inputs)) {
                (Scalar::Text(text), Scalar::Text(pattern)) if *fold => {
                    Scalar::Bool(like(&text.to_lowercase(), &pattern.to_lowercase()))
                }
                (Scalar::Text(text), Scalar::Text(pattern)) => Scalar::Bool(like(&text, &pattern)),
                _ => Scalar::Null,
            },
            Expr::Case(branches, otherwise) => branches
                .iter()
                .find(|(condition, _)| condition.is_true(inputs))
                .map_or(&**otherwise, |(_, value)| value)
                .eval(inputs),
            Expr::Coalesce(list) => list
                .iter()
                .map(|expr| expr.eval(inputs))
                .find(|value| !value.is_null())
                .unwrap_or_default(),
            Expr::Cast(inner, to) => cast(inner.eval(inputs), *to),
            Expr::Shift(inner, nanos) => match inner.eval(inputs) {
                Scalar::Time(time) => Scalar::Time(time.saturating_add(*nanos)),
                _ => Scalar::Null,
            },
            Expr::Call(function, arguments) => {
                let values: Vec<Scalar<'a>> =
                    arguments.iter().map(|expr| expr.eval(inputs)).collect();
                function.call(values)
            }
            Expr::At(inner, steps) => match inner.eval(inputs) {
                Scalar::Json(Cow::Borrowed(text)) => at_steps(text, steps),
                Scalar::Json(Cow::Owned(text)) => at_steps(&text, steps).into_owned(),
                _ => Scalar::Null,
            },
        }
    }

    /// Whether a condition holds: neither false nor unknown.
    pub fn is_true(&self, inputs: &[Scalar<'_>]) -> bool {
        // The commonest filter, without a copy of either side.
        if let Expr::Binary(Operator::Equal, left, right) = self
            && let (Expr::Input(index), Expr::Literal(value)) = (&**left, &**right)
        {
            return inputs
                .get(*index)
                .is_some_and(|input| input.compare(value) == Some(Ordering::Equal));
        }
        truth(&self.eval(inputs)) == Some(true)
    }

    /// Calls for every input that the expression has.
    pub fn visit_inputs(&self, visit: &mut dyn FnMut(usize)) {
        match self {
            Expr::Literal(_) => {}
            Expr::Input(index) => visit(*index),
            Expr::Not(inner)
            | Expr::Negate(inner)
            | Expr::IsNull(inner)
            | Expr::Cast(inner, _)
            | Expr::Shift(inner, _)
            | Expr::At(inner, _) => inner.visit_inputs(visit),
            Expr::Binary(_, left, right) | Expr::Like(left, _, right) => {
                left.visit_inputs(visit);
                right.visit_inputs(visit);
            }
            Expr::In(inner, list) => {
                inner.visit_inputs(visit);
                list.iter().for_each(|expr| expr.visit_inputs(visit));
            }
            Expr::Case(branches, otherwise) => {
                for (condition, value) in branches {
                    condition.visit_inputs(visit);
                    value.visit_inputs(visit);
                }
                otherwise.visit_inputs(visit);
            }
            Expr::Coalesce(list) | Expr::Call(_, list) => {
                list.iter().for_each(|expr| expr.visit_inputs(visit));
            }
        }
    }

    /// The type of its values, given those of its inputs.
    pub fn value_type(&self, inputs: &dyn Fn(usize) -> ValueType) -> ValueType {
        let common = |list: &[Expr]| {
            list.iter()
                .filter(|expr| **expr != Expr::Literal(Scalar::Null))
                .map(|expr| expr.value_type(inputs))
                .reduce(ValueType::or)
                .unwrap_or(ValueType::Any)
        };
        match self {
            Expr::Literal(value) => ValueType::of(value),
            Expr::Input(index) => inputs(*index),
            Expr::Not(_) | Expr::IsNull(_) | Expr::In(..) | Expr::Like(..) => ValueType::Bool,
            Expr::Negate(inner) => inner.value_type(inputs).as_number(),
            Expr::Cast(_, to) => *to,
            Expr::Shift(..) => ValueType::Time,
            Expr::Binary(operator, left, right) => match operator {
                Operator::Add | Operator::Subtract | Operator::Multiply | Operator::Remainder => {
                    match (left.value_type(inputs), right.value_type(inputs)) {
                        (ValueType::Time, ValueType::Time) => ValueType::Float,
                        (left, right) => left.as_number().or(right.as_number()),
                    }
                }
                Operator::Divide => ValueType::Float,
                Operator::Concat => ValueType::Text,
                _ => ValueType::Bool,
            },
            Expr::Case(branches, otherwise) => {
                let mut values: Vec<Expr> = branches.iter().map(|(_, v)| v.clone()).collect();
                values.push((**otherwise).clone());
                common(&values)
            }
            Expr::Coalesce(list) => common(list),
            Expr::Call(function, list) => function.value_type(list, inputs),
            Expr::At(..) => ValueType::Any,
        }
    }
}

fn truth(value: &Scalar<'_>) -> Option<bool> {
    match value {
        Scalar::Bool(value) => Some(*value),
        _ => None,
    }
}

/// `and` is decided by a false, `or` by a true.
fn logic<'a>(
    decided: bool,
    left: &Scalar<'_>,
    right: impl FnOnce() -> Scalar<'a>,
) -> Scalar<'static> {
    let left = truth(left);
    if left == Some(decided) {
        return Scalar::Bool(decided);
    }
    match (left, truth(&right())) {
        (_, Some(right)) if right == decided => Scalar::Bool(decided),
        (Some(_), Some(_)) => Scalar::Bool(!decided),
        _ => Scalar::Null,
    }
}

fn binary<'a>(operator: Operator, left: &Scalar<'a>, right: &Scalar<'a>) -> Scalar<'static> {
    let compared = |holds: fn(Ordering) -> bool| match left.compare(right) {
        Some(ordering) => Scalar::Bool(holds(ordering)),
        None => Scalar::Null,
    };
    match operator {
        Operator::Equal => compared(Ordering::is_eq),
        Operator::NotEqual => compared(Ordering::is_ne),
        Operator::Less => compared(Ordering::is_lt),
        Operator::LessOrEqual => compared(Ordering::is_le),
        Operator::Greater => compared(Ordering::is_gt),
        Operator::GreaterOrEqual => compared(Ordering::is_ge),
        Operator::Concat => match (left.to_key(), right.to_key()) {
            (Some(left), Some(right)) => Scalar::Text(Cow::Owned(format!("{left}{right}"))),
            _ => Scalar::Null,
        },
        _ => arithmetic(operator, left, right),
    }
}

pub(crate) fn arithmetic(
    operator: Operator,
    left: &Scalar<'_>,
    right: &Scalar<'_>,
) -> Scalar<'static> {
    if let (Scalar::Time(left), Scalar::Time(right), Operator::Subtract) = (left, right, operator) {
        let nanos = i128::from(*left) - i128::from(*right);
        return Scalar::float(nanos as f64 / 1e9);
    }
    if let (Scalar::Int(a), Scalar::Int(b)) = (left, right) {
        let exact = match operator {
            Operator::Add => a.checked_add(*b),
            Operator::Subtract => a.checked_sub(*b),
            Operator::Multiply => a.checked_mul(*b),
            Operator::Remainder if *b == 0 => return Scalar::Null,
            Operator::Remainder => a.checked_rem(*b),
            _ => None,
        };
        if let Some(value) = exact {
            return Scalar::Int(value);
        }
    }
    let as_f64 = |value: &Scalar<'_>| match value {
        Scalar::Int(value) => Some(*value as f64),
        Scalar::Float(value) => Some(*value),
        _ => None,
    };
    let (Some(a), Some(b)) = (as_f64(left), as_f64(right)) else {
        return Scalar::Null;
    };
    Scalar::float(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::Remainder => a % b,
        _ => f64::NAN,
    })
}

/// Unknown if it is none of them and one of them is null.
fn is_in(value: &Scalar<'_>, list: &[Expr], inputs: &[Scalar<'_>]) -> Scalar<'static> {
    if value.is_null() {
        return Scalar::Null;
    }
    let mut unknown = false;
    for expr in list {
        let other = expr.eval(inputs);
        if value.compare(&other) == Some(Ordering::Equal) {
            return Scalar::Bool(true);
        }
        unknown |= other.is_null();
    }
    if unknown {
        Scalar::Null
    } else {
        Scalar::Bool(false)
    }
}

/// `%` is any text, `_` any character, after `\` either is itself.
fn like(text: &str, pattern: &str) -> bool {
    enum Part {
        Any,
        One,
        Exactly(char),
    }
    let mut parts = Vec::new();
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        parts.push(match char {
            '%' => Part::Any,
            '_' => Part::One,
            '\\' => Part::Exactly(chars.next().unwrap_or('\\')),
            char => Part::Exactly(char),
        });
    }
    let text: Vec<char> = text.chars().collect();
    // Where to go on if what follows the last `%` doesn't fit: one character later.
    let (mut at, mut part, mut again) = (0, 0, None);
    while at < text.len() {
        match parts.get(part) {
            Some(Part::Any) => {
                again = Some((at, part + 1));
                part += 1;
                continue;
            }
            Some(Part::One) => {
                (at, part) = (at + 1, part + 1);
                continue;
            }
            Some(Part::Exactly(char)) if *char == text[at] => {
                (at, part) = (at + 1, part + 1);
                continue;
            }
            _ => {}
        }
        let Some((from, after)) = again else {
            return false;
        };
        again = Some((from + 1, after));
        (at, part) = (from + 1, after);
    }
    parts[part..].iter().all(|part| matches!(part, Part::Any))
}

/// Null if the value can't be of that type.
pub(crate) fn cast<'a>(value: Scalar<'a>, to: ValueType) -> Scalar<'a> {
    match (to, value) {
        (_, Scalar::Null) => Scalar::Null,
        (ValueType::Any, value) => value,
        (ValueType::Text, Scalar::Text(text)) => Scalar::Text(text),
        (ValueType::Text, value) => value.to_key().map_or(Scalar::Null, |text| {
            Scalar::Text(Cow::Owned(text.into_owned()))
        }),
        (ValueType::Bool, Scalar::Bool(value)) => Scalar::Bool(value),
        (ValueType::Bool, Scalar::Int(value)) => Scalar::Bool(value != 0),
        (ValueType::Bool, Scalar::Text(text)) => match text.to_ascii_lowercase().as_str() {
            "true" => Scalar::Bool(true),
            "false" => Scalar::Bool(false),
            _ => Scalar::Null,
        },
        (ValueType::Time, Scalar::Time(time)) => Scalar::Time(time),
        (ValueType::Time, Scalar::Text(text)) => Timestamp::from_text_or_date(&text)
            .or_else(|_| Timestamp::from_text_or_utc(&text))
            .map_or(Scalar::Null, |time| Scalar::time(time.instant())),
        (ValueType::Int | ValueType::Float | ValueType::Number, value) => as_number(&value, to),
        _ => Scalar::Null,
    }
}

fn as_number(value: &Scalar<'_>, to: ValueType) -> Scalar<'static> {
    let number = match value {
        Scalar::Int(value) => Scalar::Int(*value),
        Scalar::Float(value) => Scalar::Float(*value),
        Scalar::Bool(value) => Scalar::Int(i128::from(*value)),
        Scalar::Text(text) => {
            let text = text.trim();
            match (text.parse::<i128>(), text.parse::<f64>()) {
                (Ok(value), _) => Scalar::Int(value),
                (_, Ok(value)) => Scalar::float(value),
                _ => Scalar::Null,
            }
        }
        _ => Scalar::Null,
    };
    match (to, number) {
        // To the nearest, halves to even.
        (ValueType::Int, Scalar::Float(value)) if value.abs() < 1e38 => {
            Scalar::Int(value.round_ties_even() as i128)
        }
        (ValueType::Int, Scalar::Float(_)) => Scalar::Null,
        (ValueType::Float, Scalar::Int(value)) => Scalar::Float(value as f64),
        (_, number) => number,
    }
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn patterns() {
        for (text, pattern, expected) in [
            ("order.placed", "order.%", true),
            ("order.placed", "%placed", true),
            ("order.placed", "%e_.p%", true),
            ("order", "order_", false),
            ("", "%", true),
            ("", "_", false),
            ("aab", "%ab", true),
            ("a%", r"a\%", true),
            ("ab", r"a\%", false),
            ("mississippi", "m%iss%pi", true),
        ] {
            assert_eq!(like(text, pattern), expected, "{text} like {pattern}");
        }
    }
}
