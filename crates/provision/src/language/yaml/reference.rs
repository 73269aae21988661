//! `${name.property[0]["key"]}` within texts.

/// A text with references in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    Text(String),
    Reference(Reference),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference {
    pub name: String,
    pub path: Vec<Access>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Access {
    Name(String),
    Index(usize),
}

/// Takes a text apart; `$${` stands for `${`. An error says what is wrong with it.
pub fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            plain.push_str(&rest[..at]);
            plain.push('{');
            rest = &rest[at + 2..];
            continue;
        }
        plain.push_str(&rest[..at]);
        let inner = &rest[at + 2..];
        let end = closing(inner).ok_or_else(|| format!("a }} is missing in {text:?}"))?;
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        pieces.push(Piece::Reference(reference(inner[..end].trim())?));
        rest = &inner[end + 1..];
    }
    plain.push_str(rest);
    if !plain.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

/// Where a reference ends; a quoted key may hold braces.
fn closing(text: &str) -> Option<usize> {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '}' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

fn reference(text: &str) -> Result<Reference, String> {
    let wrong = || {
        format!(
            "\"${{{text}}}\" is no reference: expected ${{name}}, ${{name.property}} or ${{name[0]}}"
        )
    };
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let name = text[..end].to_owned();
    if name.is_empty() {
        return Err(wrong());
    }
    let mut path = Vec::new();
    let mut rest = &text[end..];
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix("[\"") {
            let end = quoted.find("\"]").ok_or_else(wrong)?;
            path.push(Access::Name(quoted[..end].to_owned()));
            rest = &quoted[end + 2..];
        } else if let Some(inner) = rest.strip_prefix('[') {
            let end = inner.find(']').ok_or_else(wrong)?;
            path.push(Access::Index(
                inner[..end].trim().parse().map_err(|_| wrong())?,
            ));
            rest = &inner[end + 1..];
        } else {
            let inner = rest.strip_prefix('.').ok_or_else(wrong)?;
            let end = inner.find(['.', '[']).unwrap_or(inner.len());
            if end == 0 {
                return Err(wrong());
            }
            path.push(Access::Name(inner[..end].to_owned()));
            rest = &inner[end..];
        }
    }
    Ok(Reference { name, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found() {
        let of = |name: &str, path: Vec<Access>| {
            Piece::Reference(Reference {
                name: name.to_owned(),
                path,
            })
        };
        let text = |text: &str| Piece::Text(text.to_owned());
        let check =
            |input, expected: Vec<Piece>| assert_eq!(pieces(input).unwrap(), expected, "{input}");
        check("", vec![text("")]);
        check("a $ b {c}", vec![text("a $ b {c}")]);
        check(
            "${rg.name}",
            vec![of("rg", vec![Access::Name("name".to_owned())])],
        );
        check(
            r#"x ${a[0]["k}.l"].b}/${c} y"#,
            vec![
                text("x "),
                of(
                    "a",
                    vec![
                        Access::Index(0),
                        Access::Name("k}.l".to_owned()),
                        Access::Name("b".to_owned()),
                    ],
                ),
                text("/"),
                of("c", vec![]),
                text(" y"),
            ],
        );
        check("$${a} ${b}", vec![text("${a} "), of("b", vec![])]);
        check(
            "${pulumi.cwd}",
            vec![of("pulumi", vec![Access::Name("cwd".to_owned())])],
        );
    }

    #[test]
    fn what_is_none() {
        for input in ["${a", "${}", "${a.}", "${a[x]}", "${.b}", "${a[0}"] {
            assert!(pieces(input).is_err(), "{input}");
        }
    }
}
