//! What is to be computed: the aggregates of a definition, each argument named once.

use foretell_state::kernel::Window;
use foretell_state::{Aggregate, Definition, Expr, ValueType};

use crate::sweep::Feature;

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) arguments: Vec<Argument>,
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
    pub(crate) fn of(definition: &Definition) -> Plan {
        let mut plan = Plan {
            arguments: Vec::new(),
            features: Vec::new(),
            outputs: Vec::new(),
        };
        for aggregate in &definition.aggregates {
            let argument = Argument {
                value: aggregate.argument.clone(),
                filter: aggregate.filter.clone(),
            };
            let known = plan.arguments.iter().position(|other| *other == argument);
            plan.features.push(Feature {
                function: aggregate.function,
                window: aggregate.window,
                input: known.unwrap_or(plan.arguments.len()),
            });
            if known.is_none() {
                plan.arguments.push(argument);
            }
        }
        plan.outputs = definition
            .outputs
            .iter()
            .zip(definition.types())
            .map(|(output, value_type)| Output {
                name: output.name.clone(),
                expr: output.expr.clone(),
                value_type,
            })
            .collect();
        plan
    }

    /// The plan with the types of its columns, now that those of the arguments are known.
    #[must_use]
    pub(crate) fn typed(mut self, arguments: &[ValueType]) -> Plan {
        let of = |feature: &Feature| {
            let aggregate = Aggregate {
                function: feature.function,
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
