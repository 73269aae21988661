use foretell_types::Result;
use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments};
use sqlparser::tokenizer::Location;

use super::aggregate::AGGREGATES;
use super::compile::{Compiler, Level};
use crate::Expr;
use crate::function::FUNCTIONS;

impl Compiler<'_> {
    /// A call of a function that is no aggregate.
    pub(super) fn scalar_call(
        &mut self,
        function: &ast::Function,
        level: Level,
        at: Location,
    ) -> Result<Expr> {
        let name = function.name.to_string().to_ascii_lowercase();
        let mut arguments = Vec::new();
        if let FunctionArguments::List(list) = &function.args {
            for argument in &list.args {
                let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument else {
                    return Err(self.place.error(at, format!("{argument} is no argument of {name}")));
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
        if name == "coalesce" && !arguments.is_empty() {
            return Ok(Expr::Coalesce(arguments));
        }
        let found = FUNCTIONS.iter().find(|(known, ..)| *known == name);
        let Some((_, function, least, most)) = found else {
            let mut names: Vec<&str> = FUNCTIONS.iter().map(|(name, ..)| *name).collect();
            names.push("coalesce");
            names.sort_unstable();
            let what = format!(
                "there is no function {name}; there are the aggregates {AGGREGATES}, and {}",
                names.join(", ")
            );
            return Err(self.place.error(at, what));
        };
        if !(*least..=*most).contains(&arguments.len()) {
            let count = match (*least, *most) {
                (1, 1) => "one argument".to_owned(),
                (least, most) if least == most => format!("{least} arguments"),
                (least, most) => format!("{least} to {most} arguments"),
            };
            let what = format!("{name} takes {count}, not {}", arguments.len());
            return Err(self.place.error(at, what));
        }
        Ok(Expr::Call(*function, arguments))
    }
}
