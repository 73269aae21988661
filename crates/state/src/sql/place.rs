use foretell_types::Error;
use sqlparser::parser::ParserError;
use sqlparser::tokenizer::Location;

/// Where the text of a projection comes from, for errors that point into it.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) file: &'a str,
}

impl Place<'_> {
    pub(super) fn error(self, at: Location, what: impl AsRef<str>) -> Error {
        let (file, what) = (self.file, what.as_ref());
        match at.line {
            0 => Error::invalid(format!("{file}: {what}")),
            line => Error::invalid(format!("{file}:{line}:{}: {what}", at.column)),
        }
    }

    /// An error of the parser, which says at its end where it stands.
    pub(super) fn parser(self, error: &ParserError) -> Error {
        let text = match error {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
            ParserError::RecursionLimitExceeded => {
                let what = "an expression nests too deeply: split it into columns";
                return self.error(Location::empty(), what);
            }
        };
        let Some((what, at)) = text.rsplit_once(" at Line: ") else {
            return self.error(Location::empty(), lower(text));
        };
        let mut numbers = at
            .split(", Column: ")
            .map(|number| number.trim().parse::<u64>().unwrap_or(0));
        let (line, column) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        self.error(Location::new(line, column), lower(what))
    }
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}
