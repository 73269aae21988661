use foretell_types::Result;

use super::builtin::Builtin;
use super::reference::{Piece, Reference, pieces};
use crate::Value;
use crate::project::{Data, Node};

/// A value of a program, before it is evaluated.
#[derive(Clone, Debug)]
pub struct Expression {
    pub line: usize,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Literal(Value),
    /// One reference alone: it keeps the kind of its value.
    Reference(Reference),
    /// Pieces that make a text.
    Text(Vec<Piece>),
    List(Vec<Expression>),
    Map(Vec<(String, Expression)>),
    Call(Builtin, Box<Expression>),
}

impl Expression {
    pub fn of(node: &Node) -> Result<Expression> {
        let kind = match &node.data {
            Data::Text(text) => {
                let mut pieces = pieces(text).map_err(|why| node.wrong(why))?;
                match pieces.as_slice() {
                    [Piece::Text(text)] => Kind::Literal(text.as_str().into()),
                    [Piece::Reference(_)] => match pieces.pop() {
                        Some(Piece::Reference(reference)) => Kind::Reference(reference),
                        _ => Kind::Text(pieces),
                    },
                    _ => Kind::Text(pieces),
                }
            }
            Data::List(items) => {
                Kind::List(items.iter().map(Expression::of).collect::<Result<_>>()?)
            }
            Data::Map(entries) => Expression::of_map(node, entries)?,
            _ => Kind::Literal(node.value()),
        };
        Ok(Expression {
            line: node.line,
            kind,
        })
    }

    fn of_map(node: &Node, entries: &[(String, Node)]) -> Result<Kind> {
        let called = entries.iter().find_map(|(key, value)| {
            let name = key
                .strip_prefix("fn::")
                .or_else(|| key.strip_prefix("Fn::"))?;
            Some((name, value))
        });
        let Some((name, argument)) = called else {
            let entries = entries
                .iter()
                .map(|(key, value)| Ok((key.clone(), Expression::of(value)?)));
            return entries.collect::<Result<_>>().map(Kind::Map);
        };
        if entries.len() > 1 {
            return Err(node.wrong(format_args!(
                "fn::{name} stands beside other keys: it is a value of its own"
            )));
        }
        let builtin = Builtin::of(name, argument)?;
        // What is called shows as the argument's own member.
        let argument = match (&builtin, argument.get("arguments")) {
            (Builtin::Invoke { .. }, arguments) if name.eq_ignore_ascii_case("invoke") => {
                match arguments {
                    Some(arguments) => Expression::of(arguments)?,
                    None => Expression {
                        line: node.line,
                        kind: Kind::Map(Vec::new()),
                    },
                }
            }
            _ => Expression::of(argument)?,
        };
        Ok(Kind::Call(builtin, Box::new(argument)))
    }

    /// Every reference in it, with its line.
    pub fn references(&self, found: &mut Vec<(usize, String)>) {
        match &self.kind {
            Kind::Literal(_) => {}
            Kind::Reference(reference) => found.push((self.line, reference.name.clone())),
            Kind::Text(pieces) => found.extend(pieces.iter().filter_map(|piece| match piece {
                Piece::Reference(reference) => Some((self.line, reference.name.clone())),
                Piece::Text(_) => None,
            })),
            Kind::List(items) => items.iter().for_each(|item| item.references(found)),
            Kind::Map(entries) => entries
                .iter()
                .for_each(|(_, value)| value.references(found)),
            Kind::Call(builtin, argument) => {
                builtin.references(found);
                argument.references(found);
            }
        }
    }
}
