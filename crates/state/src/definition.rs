use crate::kernel::{Function, TimeUnit, Window};
use crate::{Expr, Extractor, Input, Scalar, ValueType};

/// A projection by SQL aggregates or a function, compiled: which events touch which keys, what is
/// kept of them, and what is told of that. The row driver and the column driver run the same.
#[derive(Clone, Debug)]
pub struct Definition {
    pub name: String,
    /// In the order of their names, each once.
    pub topics: Vec<String>,
    /// What is read of an event; [`Expr::Input`] in `key`, `filter` and `aggregates` is a place
    /// here.
    pub inputs: Vec<Input>,
    pub extractor: Extractor,
    /// An array touches each of its distinct elements once; null touches none.
    pub key: Expr,
    /// Events that don't pass touch no key.
    pub filter: Option<Expr>,
    pub aggregates: Vec<Aggregate>,
    pub outputs: Vec<Output>,
    /// The state is what the function returns, rather than an object of columns.
    pub whole: bool,
    /// As it was written.
    pub text: String,
}

/// An aggregate over the events of a key that pass its filter and whose argument isn't null.
#[derive(Clone, PartialEq, Debug)]
pub struct Aggregate {
    pub function: Function,
    /// Without one, each event counts.
    pub argument: Option<Expr>,
    pub filter: Option<Expr>,
    pub window: Window,
}

/// A column of the state.
#[derive(Clone, PartialEq, Debug)]
pub struct Output {
    pub name: String,
    /// [`Expr::Input`] is a place among the aggregates.
    pub expr: Expr,
}

impl Aggregate {
    /// What the aggregate takes of an event: its argument's value, null if the filter holds the
    /// event back.
    pub fn value<'a>(&'a self, inputs: &'a [Scalar<'a>]) -> Scalar<'a> {
        if self
            .filter
            .as_ref()
            .is_some_and(|filter| !filter.is_true(inputs))
        {
            return Scalar::Null;
        }
        match &self.argument {
            Some(argument) => argument.eval(inputs),
            None => Scalar::Bool(true),
        }
    }

    pub fn value_type(&self, inputs: &dyn Fn(usize) -> ValueType) -> ValueType {
        let argument = || {
            self.argument
                .as_ref()
                .map_or(ValueType::Any, |expr| expr.value_type(inputs))
        };
        match &self.function {
            Function::Count | Function::CountDistinct | Function::ApproximateDistinct => {
                ValueType::Int
            }
            Function::Sum => argument().as_number(),
            Function::Average
            | Function::Deviation
            | Function::DecayedSum(_)
            | Function::DecayedCount(_) => ValueType::Float,
            Function::SinceLast(unit) | Function::SinceFirst(unit) => match unit {
                unit if unit.is_counted_whole() => ValueType::Int,
                _ => ValueType::Float,
            },
            Function::Collect(_) | Function::Fold(_) => ValueType::Any,
            Function::Min
            | Function::Max
            | Function::First
            | Function::Last
            | Function::NthLast(_)
            | Function::Mode => argument(),
        }
    }
}

impl TimeUnit {
    /// Whether durations in it are whole numbers, rounded down.
    pub fn is_counted_whole(self) -> bool {
        self.nanos() < TimeUnit::Second.nanos()
    }
}

impl Definition {
    /// The types of the outputs, given those of the inputs.
    pub fn output_types(&self, inputs: &dyn Fn(usize) -> ValueType) -> Vec<ValueType> {
        let aggregate = |index: usize| {
            self.aggregates
                .get(index)
                .map_or(ValueType::Any, |aggregate| aggregate.value_type(inputs))
        };
        self.outputs
            .iter()
            .map(|output| output.expr.value_type(&aggregate))
            .collect()
    }

    /// The types of the outputs over a log, as far as they are known without looking.
    pub fn types(&self) -> Vec<ValueType> {
        self.output_types(&|index| {
            self.inputs
                .get(index)
                .map_or(ValueType::Any, Input::value_type)
        })
    }
}
