//! What is to be computed: aggregates, each argument named once, and columns over them.

use foretell_state::kernel::Window;
use foretell_state::{Aggregate, Expr, Output as Named, ValueType};

use crate::sweep::Feature;

#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) features: Vec<Feature>,
    pub(crate) outputs: Vec<Output>,
}

/// What an aggregate takes of an event, over the definition's inputs.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Argument {
    /// `None`: the event itself.
    pub(crate) value: Option<Expr>,
    pub(crate) filter: Option<Expr>,
}

/// A column of the dataset, over the aggregates.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) expr: Expr,
    pub(crate) value_type: ValueType,
}

impl Plan {
    /// A plan for columns over aggregates. What these take joins `arguments`, in which several
    /// plans may share.
    pub(crate) fn of(
        aggregates: &[Aggregate],
        outputs: &[Named],
        arguments: &mut Vec<Argument>,
    ) -> Plan {
        let mut plan = Plan::default();
        for aggregate in aggregates {
            let argument = Argument {
                value: aggregate.argument.clone(),
                filter: aggregate.filter.clone(),
            };
            let known = arguments.iter().position(|other| *other == argument);
            plan.features.push(Feature {
                function: aggregate.function.clone(),
                window: aggregate.window,
                input: known.unwrap_or(arguments.len()),
            });
            if known.is_none() {
                arguments.push(argument);
            }
        }
        let output = |output: &Named| Output {
            name: output.name.clone(),
            expr: output.expr.clone(),
            value_type: ValueType::Any,
        };
        plan.outputs = outputs.iter().map(output).collect();
        plan
    }

    /// The plan over what lies in (instant − width, instant] alone.
    #[must_use]
    pub(crate) fn within(mut self, width: i64) -> Plan {
        for feature in &mut self.features {
            feature.window = Window::Range(width);
        }
        self
    }

    /// The plan with the types of its columns, by those of the arguments.
    #[must_use]
    pub(crate) fn typed(mut self, arguments: &[ValueType]) -> Plan {
        let of = |feature: &Feature| {
            let aggregate = Aggregate {
                function: feature.function.clone(),
                argument: Some(Expr::Input(feature.input)),
                filter: None,
                window: Window::All,
            };
            aggregate.value_type(&|input| arguments.get(input).copied().unwrap_or(ValueType::Any))
        };
        let features: Vec<ValueType> = self.features.iter().map(of).collect();
        let feature = |index: usize| features.get(index).copied().unwrap_or(ValueType::Any);
        for output in &mut self.outputs {
            output.value_type = output.expr.value_type(&feature);
        }
        self
    }
}
