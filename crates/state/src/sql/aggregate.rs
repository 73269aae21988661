use foretell_types::Result;
use sqlparser::ast::{
    self, DuplicateTreatment, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned,
    WindowFrameBound, WindowFrameUnits, WindowType,
};
use sqlparser::tokenizer::Location;

use super::compile::Compiler;
use super::interval;
use crate::kernel::{Function, TimeUnit, Window};
use crate::{Aggregate, Expr, Scalar};
use foretell_types::limits::COLLECTED_VALUES;

/// The aggregate functions, for messages.
pub(super) const AGGREGATES: &str = "count, sum, avg, stddev, min, max, first, last, nth_last, collect, mode, approx_count_distinct, decayed_sum, decayed_count, time_since_last, time_since_first";

/// The arguments of a call, as they stand.
struct Call<'e> {
    name: String,
    arguments: Vec<&'e ast::Expr>,
    star: bool,
    distinct: bool,
    at: Location,
}

/// Whether a function is an aggregate.
pub(super) fn is_aggregate(name: &str) -> bool {
    AGGREGATES.split(", ").any(|aggregate| aggregate == name)
}

impl Compiler<'_> {
    /// Compiles a call of an aggregate; gives its place among the aggregates.
    pub(super) fn aggregate(&mut self, function: &ast::Function, at: Location) -> Result<usize> {
        let call = self.call(function, at)?;
        let (function_of, argument) = self.function(&call)?;
        let argument = argument.map(|argument| self.row(argument)).transpose()?;
        let filter = match &function.filter {
            Some(filter) => Some(self.row(filter)?),
            None => None,
        };
        let window = self.window(function, at)?;
        let untimed = matches!(
            function_of,
            Function::DecayedSum(_) | Function::DecayedCount(_) | Function::ApproximateDistinct
        );
        if untimed && matches!(window, Window::Range(_) | Window::Rows(_)) {
            let what = match function_of {
                Function::ApproximateDistinct => "approx_count_distinct can't forget what leaves a window: leave OVER out, or use count(DISTINCT …)".to_owned(),
                _ => format!("{} has no window: what is old decays", call.name),
            };
            return Err(self.place.error(at, what));
        }
        let aggregate = Aggregate {
            function: function_of,
            argument,
            filter,
            window,
        };
        // Equal aggregates are kept once.
        if let Some(index) = self.aggregates.iter().position(|there| *there == aggregate) {
            return Ok(index);
        }
        self.aggregates.push(aggregate);
        Ok(self.aggregates.len() - 1)
    }

    fn call<'e>(&self, function: &'e ast::Function, at: Location) -> Result<Call<'e>> {
        let name = function.name.to_string().to_ascii_lowercase();
        let mut call = Call {
            name,
            arguments: Vec::new(),
            star: false,
            distinct: false,
            at,
        };
        let FunctionArguments::List(list) = &function.args else {
            return Ok(call);
        };
        call.distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        for argument in &list.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => call.arguments.push(expr),
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => call.star = true,
                other => {
                    return Err(self
                        .place
                        .error(at, format!("{other} is no argument of {}", call.name)));
                }
            }
        }
        if !list.clauses.is_empty()
            || function.null_treatment.is_some()
            || !function.within_group.is_empty()
        {
            let what = format!(
                "{} takes no such clause: events are in the order of their times, and nulls are ignored",
                call.name
            );
            return Err(self.place.error(at, what));
        }
        if call.distinct && call.name != "count" {
            return Err(self.place.error(
                at,
                format!("DISTINCT stands in count only, not in {}", call.name),
            ));
        }
        Ok(call)
    }

    /// The function that a call means, and which of its arguments is folded.
    fn function<'e>(&self, call: &Call<'e>) -> Result<(Function, Option<&'e ast::Expr>)> {
        let wrong = |form: &str| Err(self.place.error(call.at, format!("write {form}")));
        let plain = |function: Function| match call.arguments[..] {
            [argument] if !call.star => Ok((function, Some(argument))),
            _ => wrong(&format!("{}(expression)", call.name)),
        };
        match call.name.as_str() {
            "count" => match (&call.arguments[..], call.star, call.distinct) {
                ([], _, false) => Ok((Function::Count, None)),
                ([argument], false, false) => Ok((Function::Count, Some(argument))),
                ([argument], false, true) => Ok((Function::CountDistinct, Some(argument))),
                _ => wrong("count(*), count(expression) or count(DISTINCT expression)"),
            },
            "approx_count_distinct" => plain(Function::ApproximateDistinct),
            "sum" => plain(Function::Sum),
            "avg" => plain(Function::Average),
            "stddev" => plain(Function::Deviation),
            "min" => plain(Function::Min),
            "max" => plain(Function::Max),
            "first" => plain(Function::First),
            "last" => plain(Function::Last),
            "mode" => plain(Function::Mode),
            "nth_last" => match call.arguments[..] {
                [argument, n] => {
                    let n = self.whole(n, 1, "nth_last(expression, n)")?;
                    Ok((Function::NthLast(n - 1), Some(argument)))
                }
                _ => wrong("nth_last(expression, n), where n = 1 is the last"),
            },
            "collect" => match call.arguments[..] {
                [argument] => Ok((Function::Collect(COLLECTED_VALUES), Some(argument))),
                [argument, n] => {
                    let n = self.whole(n, 1, "collect(expression, n)")?;
                    Ok((Function::Collect(n), Some(argument)))
                }
                _ => wrong("collect(expression) or collect(expression, n)"),
            },
            "decayed_sum" => match call.arguments[..] {
                [argument, half_life] => Ok((
                    Function::DecayedSum(self.length(half_life)?),
                    Some(argument),
                )),
                _ => wrong("decayed_sum(expression, INTERVAL '7 days'): the half-life"),
            },
            "decayed_count" => match call.arguments[..] {
                [half_life] => Ok((Function::DecayedCount(self.length(half_life)?), None)),
                _ => wrong("decayed_count(INTERVAL '7 days'): the half-life"),
            },
            "time_since_last" => Ok((Function::SinceLast(self.unit(call)?), None)),
            _ => Ok((Function::SinceFirst(self.unit(call)?), None)),
        }
    }

    fn unit(&self, call: &Call<'_>) -> Result<TimeUnit> {
        let unit = match call.arguments[..] {
            [] if !call.star => return Ok(TimeUnit::Second),
            [ast::Expr::Value(value)] => match &value.value {
                ast::Value::SingleQuotedString(name) => TimeUnit::parse(name),
                _ => None,
            },
            _ => None,
        };
        unit.ok_or_else(|| {
            let what = format!(
                "write {}() for seconds, or {0}('day'): the unit is nanosecond, microsecond, millisecond, second, minute, hour, day or week",
                call.name
            );
            self.place.error(call.at, what)
        })
    }

    /// A whole number that stands in the text.
    fn whole(&self, expr: &ast::Expr, least: usize, form: &str) -> Result<usize> {
        let number = match expr {
            ast::Expr::Value(value) => match &value.value {
                ast::Value::Number(text, _) => text.parse::<usize>().ok(),
                _ => None,
            },
            _ => None,
        };
        match number {
            Some(number) if (least..=COLLECTED_VALUES).contains(&number) => Ok(number),
            _ => Err(self.place.error(
                expr.span().start,
                format!("{form}: n is a whole number from {least} to {COLLECTED_VALUES}"),
            )),
        }
    }

    fn length(&self, expr: &ast::Expr) -> Result<i64> {
        match expr {
            ast::Expr::Interval(interval) => {
                interval::nanos(self.place, expr.span().start, interval)
            }
            _ => Err(self.place.error(
                expr.span().start,
                "expected a length of time, as in INTERVAL '7 days'",
            )),
        }
    }

    fn window(&self, function: &ast::Function, at: Location) -> Result<Window> {
        let error = |what: &str| Err(self.place.error(at, what));
        let spec = match &function.over {
            None => return Ok(Window::All),
            Some(WindowType::NamedWindow(name)) => {
                return error(&format!(
                    "there is no window {name}: write OVER (RANGE INTERVAL '30 days' PRECEDING)"
                ));
            }
            Some(WindowType::WindowSpec(spec)) => spec,
        };
        if !spec.partition_by.is_empty() || !spec.order_by.is_empty() || spec.window_name.is_some()
        {
            return error(
                "PARTITION BY and ORDER BY have no place in a window: the KEY partitions, and events are in the order of their times",
            );
        }
        let Some(frame) = &spec.window_frame else {
            return Ok(Window::All);
        };
        if !matches!(frame.end_bound, None | Some(WindowFrameBound::CurrentRow)) {
            return error("a window ends at the instant of the question: leave BETWEEN out");
        }
        let bound = match &frame.start_bound {
            WindowFrameBound::Preceding(None) => return Ok(Window::All),
            WindowFrameBound::Preceding(Some(bound)) => bound,
            _ => {
                return error(
                    "a window begins before the instant of the question: write PRECEDING",
                );
            }
        };
        match frame.units {
            WindowFrameUnits::Rows => {
                let rows = self.whole(bound, 1, "ROWS n PRECEDING")?;
                Ok(Window::Rows(rows as u64))
            }
            WindowFrameUnits::Range => Ok(Window::Range(self.length(bound)?)),
            WindowFrameUnits::Groups => Ok(Window::Session(self.length(bound)?)),
        }
    }

    /// The value of an aggregate in an output expression.
    pub(super) fn aggregate_value(
        &mut self,
        function: &ast::Function,
        at: Location,
    ) -> Result<Expr> {
        let index = self.aggregate(function, at)?;
        let input = Expr::Input(index);
        // A decayed count of nothing is none, as a count is.
        Ok(match &self.aggregates[index].function {
            Function::DecayedCount(_) => {
                Expr::Coalesce(vec![input, Expr::Literal(Scalar::Float(0.0))])
            }
            _ => input,
        })
    }
}
