use foretell_types::Result;
use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments};
use sqlparser::tokenizer::Location;

use super::aggregate::AGGREGATES;
use super::compile::{Compiler, Level};
use crate::Expr;
use crate::Scalars;
use crate::function::FUNCTIONS;

/// It stops at the first value, so it is no plain function.
const COALESCE: &str = "coalesce";

impl Compiler<'_> {
    /// A call of a function that is no aggregate.
    pub(super) fn scalar_call(
        &mut self,
        function: &ast::Function,
        level: Level,
        at: Location,
    ) -> Result<Expr> {
        let name = function.name.to_string().to_ascii_lowercase();
        if name != COALESCE {
            self.known(&name, at)?;
        }
        let mut arguments = Vec::new();
        if let FunctionArguments::List(list) = &function.args {
            for argument in &list.args {
                let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument else {
                    return Err(self
                        .place
                        .error(at, format!("{argument} is no argument of {name}")));
                };
                arguments.push(self.expr(expr, level)?);
            }
        }
        if function.over.is_some() || function.filter.is_some() {
            let what = format!("{name} is no aggregate: OVER and FILTER belong to one");
            return Err(self.place.error(at, what));
        }
        self.call_named(&name, arguments, at)
    }

    pub(super) fn call_named(
        &self,
        name: &str,
        arguments: Vec<Expr>,
        at: Location,
    ) -> Result<Expr> {
        if name == COALESCE && !arguments.is_empty() {
            return Ok(Expr::Coalesce(arguments));
        }
        let (function, least, most) = self.known(name, at)?;
        if !(least..=most).contains(&arguments.len()) {
            let count = match (least, most) {
                (1, 1) => "one argument".to_owned(),
                (least, most) if least == most => format!("{least} arguments"),
                (least, most) => format!("{least} to {most} arguments"),
            };
            let what = format!("{name} takes {count}, not {}", arguments.len());
            return Err(self.place.error(at, what));
        }
        Ok(Expr::Call(function, arguments))
    }

    /// The function of a name, with the fewest and most arguments.
    fn known(&self, name: &str, at: Location) -> Result<(Scalars, usize, usize)> {
        let found = FUNCTIONS.iter().find(|(known, ..)| *known == name);
        if let Some((_, function, least, most)) = found {
            return Ok((*function, *least, *most));
        }
        let mut names: Vec<&str> = FUNCTIONS.iter().map(|(name, ..)| *name).collect();
        names.push(COALESCE);
        names.sort_unstable();
        let what = format!(
            "there is no function {name}; there are the aggregates {AGGREGATES}, and {}",
            names.join(", ")
        );
        Err(self.place.error(at, what))
    }
}
