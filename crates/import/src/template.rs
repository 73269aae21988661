use foretell_types::{Error, Result};

/// A column's name and, where the format has numbered columns, its number.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub name: String,
    pub index: usize,
}

/// A column, or a text with columns in braces; `{{` and `}}` are braces.
#[derive(Clone, Debug)]
pub(crate) struct Template(pub Vec<Piece>);

#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Text(String),
    Column(Column),
}

impl Template {
    /// `find` gives the number of a column or says that there is none of that name.
    pub fn parse(text: &str, find: &impl Fn(&str) -> Result<usize>) -> Result<Template> {
        let column = |name: &str| {
            Ok(Piece::Column(Column {
                name: name.to_owned(),
                index: find(name)?,
            }))
        };
        if !text.contains(['{', '}']) {
            return Ok(Template(vec![column(text)?]));
        }
        let unclosed = || {
            Error::invalid(format!(
                "the template {text:?} has a brace without its partner; write {{{{ or }}}} for a brace itself"
            ))
        };
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if let Some(after) = after.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return Err(unclosed());
            }
            let (name, after) = after.split_once('}').ok_or_else(unclosed)?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(column(name)?);
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Template(pieces))
    }

    pub fn columns(&self) -> impl Iterator<Item = &Column> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Column(column) => Some(column),
            Piece::Text(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Option<String> {
        let template = Template::parse(text, &|_| Ok(0)).ok()?;
        let pieces = template.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Column(column) => format!("<{}>", column.name),
        });
        Some(pieces.collect())
    }

    #[test]
    fn templates() {
        for (text, expected) in [
            ("a b", Some("<a b>")),
            ("s/{a}/{b.c}!", Some("s/<a>/<b.c>!")),
            ("{{{a}}}", Some("{<a>}")),
            ("{a", None),
            ("a}", None),
        ] {
            assert_eq!(shape(text).as_deref(), expected, "{text}");
        }
    }
}
