use foretell_types::{Result, Timestamp};
use sqlparser::ast::{
    self, AccessExpr, BinaryOperator, CeilFloorKind, DataType, Ident, InTarget, Spanned, Subscript,
    UnaryOperator, Value,
};
use sqlparser::tokenizer::Location;

use super::STATE;
use super::aggregate::is_aggregate;
use super::interval;
use super::place::Place;
use crate::kernel::{Function, Window};
use crate::{Aggregate, Expr, Input, Operator, Program, Scalar, Step, ValueType};

/// What an expression is over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// One event.
    Row,
    /// The aggregates of a key.
    Output,
}

pub(super) struct Compiler<'a> {
    pub(super) place: Place<'a>,
    pub(super) inputs: Vec<Input>,
    pub(super) aggregates: Vec<Aggregate>,
    /// The first aggregate is a function, whose state the columns may name.
    folds: bool,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(place: Place<'a>) -> Compiler<'a> {
        Compiler {
            place,
            inputs: Vec::new(),
            aggregates: Vec::new(),
            folds: false,
        }
    }

    /// Makes a function the first aggregate.
    pub(super) fn fold(&mut self, program: Program) {
        let event = self.input(Input::Event);
        self.folds = true;
        self.aggregates.push(Aggregate {
            function: Function::Fold(program),
            argument: Some(event),
            filter: None,
            window: Window::All,
        });
    }

    pub(super) fn row(&mut self, expr: &ast::Expr) -> Result<Expr> {
        self.expr(expr, Level::Row)
    }

    pub(super) fn output(&mut self, expr: &ast::Expr) -> Result<Expr> {
        self.expr(expr, Level::Output)
    }

    /// The input's place, which it is given if it has none.
    pub(super) fn input(&mut self, input: Input) -> Expr {
        let index = match self.inputs.iter().position(|there| *there == input) {
            Some(index) => index,
            None => {
                self.inputs.push(input);
                self.inputs.len() - 1
            }
        };
        Expr::Input(index)
    }

    pub(super) fn expr(&mut self, expr: &ast::Expr, level: Level) -> Result<Expr> {
        let at = expr.span().start;
        let boxed =
            |compiler: &mut Self, expr: &ast::Expr| compiler.expr(expr, level).map(Box::new);
        let negate = |negated: bool, expr: Expr| match negated {
            true => Expr::Not(Box::new(expr)),
            false => expr,
        };
        Ok(match expr {
            ast::Expr::Identifier(_)
            | ast::Expr::CompoundIdentifier(_)
            | ast::Expr::CompoundFieldAccess { .. } => self.path(expr, level, at)?,
            ast::Expr::Nested(inner) => self.expr(inner, level)?,
            ast::Expr::Value(value) => Expr::Literal(self.literal(&value.value, at)?),
            ast::Expr::TypedString(typed) => self.typed(typed, at)?,
            ast::Expr::Interval(length) => {
                // Where it isn't added to a time, a length of time is a number of seconds.
                let nanos = interval::nanos(self.place, at, length)?;
                Expr::Literal(Scalar::float(
                    crate::kernel::TimeUnit::Second.of_nanos(nanos),
                ))
            }
            ast::Expr::UnaryOp { op, expr } => match op {
                UnaryOperator::Not => Expr::Not(boxed(self, expr)?),
                UnaryOperator::Minus => match self.expr(expr, level)? {
                    Expr::Literal(Scalar::Int(value)) => Expr::Literal(Scalar::Int(-value)),
                    Expr::Literal(Scalar::Float(value)) => Expr::Literal(Scalar::float(-value)),
                    other => Expr::Negate(Box::new(other)),
                },
                UnaryOperator::Plus => self.expr(expr, level)?,
                other => {
                    return Err(self
                        .place
                        .error(at, format!("there is no operator {other}")));
                }
            },
            ast::Expr::BinaryOp { left, op, right } => self.binary(left, op, right, level, at)?,
            ast::Expr::IsNull(inner) => Expr::IsNull(boxed(self, inner)?),
            ast::Expr::IsNotNull(inner) => Expr::Not(Box::new(Expr::IsNull(boxed(self, inner)?))),
            ast::Expr::IsTrue(inner) => is_certainly(self.expr(inner, level)?, true),
            ast::Expr::IsFalse(inner) => is_certainly(self.expr(inner, level)?, false),
            ast::Expr::In {
                expr,
                target: InTarget::List(list),
                negated,
                ..
            } => {
                let list = list.iter().map(|expr| self.expr(expr, level));
                let list = list.collect::<Result<Vec<Expr>>>()?;
                negate(*negated, Expr::In(boxed(self, expr)?, list))
            }
            ast::Expr::Between {
                expr,
                negated,
                low,
                high,
            } => {
                let from = self.binary(expr, &BinaryOperator::GtEq, low, level, at)?;
                let until = self.binary(expr, &BinaryOperator::LtEq, high, level, at)?;
                negate(
                    *negated,
                    Expr::Binary(Operator::And, Box::new(from), Box::new(until)),
                )
            }
            ast::Expr::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char: None,
            } => {
                let like = Expr::Like(boxed(self, expr)?, false, boxed(self, pattern)?);
                negate(*negated, like)
            }
            ast::Expr::ILike {
                negated,
                any: false,
                expr,
                pattern,
                escape_char: None,
            } => {
                let like = Expr::Like(boxed(self, expr)?, true, boxed(self, pattern)?);
                negate(*negated, like)
            }
            ast::Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.case(
                operand.as_deref(),
                conditions,
                else_result.as_deref(),
                level,
            )?,
            ast::Expr::Cast {
                expr, data_type, ..
            } => Expr::Cast(boxed(self, expr)?, self.value_type(data_type, at)?),
            ast::Expr::Extract { field, expr, .. } => {
                let part = Expr::Literal(Scalar::Text(field.to_string().into()));
                let time = self.expr(expr, level)?;
                self.call_named("date_part", vec![part, time], at)?
            }
            ast::Expr::Ceil {
                expr,
                field: CeilFloorKind::DateTimeField(_),
            } => {
                let value = self.expr(expr, level)?;
                self.call_named("ceil", vec![value], at)?
            }
            ast::Expr::Floor {
                expr,
                field: CeilFloorKind::DateTimeField(_),
            } => {
                let value = self.expr(expr, level)?;
                self.call_named("floor", vec![value], at)?
            }
            ast::Expr::Trim {
                trim_where: None,
                trim_what: None,
                expr,
                trim_characters: None,
            } => {
                let value = self.expr(expr, level)?;
                self.call_named("trim", vec![value], at)?
            }
            ast::Expr::Substring {
                expr,
                substring_from,
                substring_for,
                ..
            } => {
                let mut arguments = vec![self.expr(expr, level)?];
                for bound in [substring_from, substring_for].into_iter().flatten() {
                    arguments.push(self.expr(bound, level)?);
                }
                self.call_named("substr", arguments, at)?
            }
            ast::Expr::Function(function) => self.function_call(function, level, at)?,
            other => {
                let what = format!(
                    "{other} is more than a projection can tell: use paths, arithmetic, comparisons, CASE, CAST, functions and aggregates"
                );
                return Err(self.place.error(at, what));
            }
        })
    }

    fn function_call(
        &mut self,
        function: &ast::Function,
        level: Level,
        at: Location,
    ) -> Result<Expr> {
        let name = function.name.to_string().to_ascii_lowercase();
        match (is_aggregate(&name), level) {
            (true, Level::Output) => self.aggregate_value(function, at),
            (true, Level::Row) => {
                let what = format!(
                    "the aggregate {name} can't stand inside an aggregate, a key or a condition on events"
                );
                Err(self.place.error(at, what))
            }
            (false, _) => self.scalar_call(function, level, at),
        }
    }

    fn path(&mut self, expr: &ast::Expr, level: Level, at: Location) -> Result<Expr> {
        let steps = self.steps(expr, at)?;
        let shown = expr.to_string();
        if level == Level::Output {
            if let [Step::Member(name), rest @ ..] = &steps[..]
                && self.folds
                && name == STATE
            {
                let state = Expr::Input(0);
                return Ok(match rest {
                    [] => state,
                    rest => Expr::At(Box::new(state), rest.to_vec()),
                });
            }
            let what = format!(
                "{shown} stands outside an aggregate: which event's is meant? Write last({shown}), or another aggregate of it"
            );
            return Err(self.place.error(at, what));
        }
        let input = match &steps[..] {
            [Step::Member(name)] if name == "time" => Input::Time,
            [Step::Member(name), rest @ ..] if name == "data" => Input::Data(rest.to_vec()),
            [Step::Member(name)] => Input::Attribute(name.clone()),
            _ => {
                let what = format!(
                    "{shown} is no attribute of an event: what lies in its data begins with data, as in data.{shown}"
                );
                return Err(self.place.error(at, what));
            }
        };
        Ok(self.input(input))
    }

    fn steps(&self, expr: &ast::Expr, at: Location) -> Result<Vec<Step>> {
        let member = |ident: &Ident| Step::Member(ident.value.clone());
        let wrong = || {
            let what =
                format!("{expr} is no path: write data.name, data.\"odd name\" or data.list[0]");
            self.place.error(at, what)
        };
        match expr {
            ast::Expr::Identifier(ident) => Ok(vec![member(ident)]),
            ast::Expr::CompoundIdentifier(idents) => Ok(idents.iter().map(member).collect()),
            ast::Expr::CompoundFieldAccess { root, access_chain } => {
                let mut steps = self.steps(root, at)?;
                for access in access_chain {
                    match access {
                        AccessExpr::Dot(ast::Expr::Identifier(ident)) => steps.push(member(ident)),
                        AccessExpr::Subscript(Subscript::Index {
                            index: ast::Expr::Value(value),
                        }) => {
                            steps.push(match &value.value {
                                Value::Number(text, _) => {
                                    Step::Element(text.parse().map_err(|_| wrong())?)
                                }
                                Value::SingleQuotedString(name) => Step::Member(name.clone()),
                                _ => return Err(wrong()),
                            });
                        }
                        _ => return Err(wrong()),
                    }
                }
                Ok(steps)
            }
            _ => Err(wrong()),
        }
    }

    fn literal(&self, value: &Value, at: Location) -> Result<Scalar<'static>> {
        match value {
            Value::Null => Ok(Scalar::Null),
            Value::Boolean(value) => Ok(Scalar::Bool(*value)),
            Value::SingleQuotedString(text) => Ok(Scalar::Text(text.clone().into())),
            Value::Number(text, _) => {
                let number = match (text.parse::<i128>(), text.parse::<f64>()) {
                    (Ok(value), _) => Scalar::Int(value),
                    (_, Ok(value)) => Scalar::float(value),
                    _ => Scalar::Null,
                };
                match number {
                    Scalar::Null => Err(self.place.error(at, format!("{text} is no number"))),
                    number => Ok(number),
                }
            }
            other => Err(self.place.error(at, format!("{other} is no value that a projection knows: write a number, 'text', TRUE, FALSE or NULL"))),
        }
    }

    fn typed(&self, typed: &ast::TypedString, at: Location) -> Result<Expr> {
        let to = self.value_type(&typed.data_type, at)?;
        let text = match &typed.value.value {
            Value::SingleQuotedString(text) => Scalar::Text(text.clone().into()),
            _ => Scalar::Null,
        };
        match crate::expr::cast(text, to) {
            Scalar::Null => Err(self.place.error(at, format!("{typed} is none"))),
            value => Ok(Expr::Literal(value.into_owned())),
        }
    }

    fn value_type(&self, data_type: &DataType, at: Location) -> Result<ValueType> {
        Ok(match data_type {
            DataType::Int(_)
            | DataType::Integer(_)
            | DataType::BigInt(_)
            | DataType::SmallInt(_)
            | DataType::TinyInt(_)
            | DataType::Int8(_)
            | DataType::Int64 => ValueType::Int,
            DataType::Float(_)
            | DataType::Double(_)
            | DataType::DoublePrecision
            | DataType::Real
            | DataType::Float8
            | DataType::Float64 => ValueType::Float,
            DataType::Text | DataType::Varchar(_) | DataType::String(_) | DataType::Char(_) => {
                ValueType::Text
            }
            DataType::Boolean | DataType::Bool => ValueType::Bool,
            DataType::Timestamp(..) | DataType::Datetime(_) | DataType::Date => ValueType::Time,
            other => {
                let what = format!(
                    "there is no type {other}: use BIGINT, DOUBLE, TEXT, BOOLEAN or TIMESTAMP"
                );
                return Err(self.place.error(at, what));
            }
        })
    }

    fn case(
        &mut self,
        operand: Option<&ast::Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&ast::Expr>,
        level: Level,
    ) -> Result<Expr> {
        let mut branches = Vec::with_capacity(conditions.len());
        for when in conditions {
            let condition = match operand {
                Some(operand) => {
                    let at = when.condition.span().start;
                    self.binary(operand, &BinaryOperator::Eq, &when.condition, level, at)?
                }
                None => self.expr(&when.condition, level)?,
            };
            branches.push((condition, self.expr(&when.result, level)?));
        }
        let otherwise = match otherwise {
            Some(expr) => self.expr(expr, level)?,
            None => Expr::Literal(Scalar::Null),
        };
        Ok(Expr::Case(branches, Box::new(otherwise)))
    }

    fn binary(
        &mut self,
        left: &ast::Expr,
        operator: &BinaryOperator,
        right: &ast::Expr,
        level: Level,
        at: Location,
    ) -> Result<Expr> {
        let compiled = match operator {
            BinaryOperator::Plus => Operator::Add,
            BinaryOperator::Minus => Operator::Subtract,
            BinaryOperator::Multiply => Operator::Multiply,
            BinaryOperator::Divide => Operator::Divide,
            BinaryOperator::Modulo => Operator::Remainder,
            BinaryOperator::StringConcat => Operator::Concat,
            BinaryOperator::Eq => Operator::Equal,
            BinaryOperator::NotEq => Operator::NotEqual,
            BinaryOperator::Lt => Operator::Less,
            BinaryOperator::LtEq => Operator::LessOrEqual,
            BinaryOperator::Gt => Operator::Greater,
            BinaryOperator::GtEq => Operator::GreaterOrEqual,
            BinaryOperator::And => Operator::And,
            BinaryOperator::Or => Operator::Or,
            other => {
                return Err(self
                    .place
                    .error(at, format!("there is no operator {other}")));
            }
        };
        let mut first = self.expr(left, level)?;
        // A time and a length of time.
        if let ast::Expr::Interval(length) = right
            && self.type_of(&first, level) == ValueType::Time
        {
            let nanos = interval::nanos(self.place, right.span().start, length)?;
            match compiled {
                Operator::Add => return Ok(Expr::Shift(Box::new(first), nanos)),
                Operator::Subtract => return Ok(Expr::Shift(Box::new(first), -nanos)),
                _ => {}
            }
        }
        let mut second = self.expr(right, level)?;
        let (is_first, is_second) = (
            self.type_of(&first, level) == ValueType::Time,
            self.type_of(&second, level) == ValueType::Time,
        );
        if is_first != is_second {
            let text = if is_first { &mut second } else { &mut first };
            self.text_to_time(text, at)?;
        }
        Ok(Expr::Binary(compiled, Box::new(first), Box::new(second)))
    }

    /// A text that is compared with a time is one.
    fn text_to_time(&self, expr: &mut Expr, at: Location) -> Result<()> {
        if let Expr::Literal(Scalar::Text(text)) = expr {
            let time = Timestamp::from_text_or_date(text)
                .map_err(|error| self.place.error(at, error.message()))?;
            *expr = Expr::Literal(Scalar::time(time.instant()));
        }
        Ok(())
    }

    fn type_of(&self, expr: &Expr, level: Level) -> ValueType {
        let input = |index: usize| {
            self.inputs
                .get(index)
                .map_or(ValueType::Any, Input::value_type)
        };
        match level {
            Level::Row => expr.value_type(&input),
            Level::Output => expr.value_type(&|index| {
                self.aggregates
                    .get(index)
                    .map_or(ValueType::Any, |aggregate| aggregate.value_type(&input))
            }),
        }
    }
}

/// Whether a condition is known, and this.
fn is_certainly(condition: Expr, wanted: bool) -> Expr {
    let condition = if wanted {
        condition
    } else {
        Expr::Not(Box::new(condition))
    };
    Expr::Coalesce(vec![condition, Expr::Literal(Scalar::Bool(false))])
}
