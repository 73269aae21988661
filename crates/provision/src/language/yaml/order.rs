//! In which order the parts of a program are made.

use std::collections::BTreeMap;

use foretell_types::{Error, Result};

use super::expression::Expression;
use super::template::Part;

/// The names of all parts, each after those that it refers to. A name that nothing bears, and
/// parts that need each other, are errors.
pub fn order(
    parts: &BTreeMap<String, Part>,
    outputs: &[(String, Expression)],
    config: &BTreeMap<String, (String, Option<String>)>,
) -> Result<Vec<String>> {
    let mut order = Vec::new();
    let mut path = Vec::new();
    for name in parts.keys() {
        visit(name, parts, config, &mut path, &mut order)?;
    }
    for (name, expression) in outputs {
        let mut found = Vec::new();
        expression.references(&mut found);
        for (line, reference) in found {
            known(line, &reference, parts, config)
                .map_err(|error| error.context(format!("outputs.{name}")))?;
        }
    }
    Ok(order)
}

/// Whether a name is that of a part.
fn known(
    line: usize,
    name: &str,
    parts: &BTreeMap<String, Part>,
    config: &BTreeMap<String, (String, Option<String>)>,
) -> Result<bool> {
    if parts.contains_key(name) {
        return Ok(true);
    }
    if name == "pulumi" || config.contains_key(name) {
        return Ok(false);
    }
    let near = parts.keys().chain(config.keys());
    let near = near
        .filter(|other| other.eq_ignore_ascii_case(name))
        .map(|other| format!(": is {other} meant?"));
    let near = near.collect::<Vec<_>>().pop().unwrap_or_default();
    Err(Error::invalid(format!(
        "line {line}: nothing in the program is named {name:?}{near}"
    )))
}

fn visit(
    name: &str,
    parts: &BTreeMap<String, Part>,
    config: &BTreeMap<String, (String, Option<String>)>,
    path: &mut Vec<String>,
    order: &mut Vec<String>,
) -> Result<()> {
    if order.iter().any(|done| done == name) {
        return Ok(());
    }
    if let Some(at) = path.iter().position(|above| above == name) {
        let circle = path[at..].join(" -> ");
        return Err(Error::invalid(format!(
            "{circle} -> {name} need each other"
        )));
    }
    let mut found = Vec::new();
    let place = match &parts[name] {
        Part::Resource(declaration) => {
            declaration.references(&mut found);
            "resources"
        }
        Part::Variable(expression) => {
            expression.references(&mut found);
            "variables"
        }
    };
    path.push(name.to_owned());
    for (line, reference) in found {
        let is_part = known(line, &reference, parts, config)
            .map_err(|error| error.context(format!("{place}.{name}")))?;
        if is_part {
            visit(&reference, parts, config, path, order)?;
        }
    }
    path.pop();
    order.push(name.to_owned());
    Ok(())
}
