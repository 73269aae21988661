use foretell_types::Error;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Location;

/// Where the text of a projection comes from, for errors that point into it.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) file: &'a str,
    /// Where the text ends.
    pub(super) end: Location,
}

impl Place<'_> {
    pub(super) fn error(self, at: Location, what: impl AsRef<str>) -> Error {
        let (file, what) = (self.file, what.as_ref());
        match at.line {
            0 => Error::invalid(format!("{file}: {what}")),
            line => Error::invalid(format!("{file}:{line}:{}: {what}", at.column)),
        }
    }

    /// Where the parser's next token begins.
    pub(super) fn next(self, parser: &Parser<'_>) -> Location {
        match parser.peek_token_ref().span.start {
            at if at.line == 0 => self.end,
            at => at,
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
            return self.error(self.end, lower(text));
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
