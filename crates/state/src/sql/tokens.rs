use foretell_types::Result;
use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};

use super::place::Place;
use foretell_types::limits::{EXPRESSION_TOKENS, PROJECTION_BYTES};

/// The words and signs of a definition, without white space and comments.
pub(super) struct Tokens<'a> {
    tokens: Vec<TokenWithSpan>,
    at: usize,
    place: Place<'a>,
    /// What the whole looks like, for messages.
    form: &'static str,
}

impl<'a> Tokens<'a> {
    pub(super) fn read(text: &str, place: Place<'a>, form: &'static str) -> Result<Tokens<'a>> {
        if text.len() > PROJECTION_BYTES {
            let what = format!("a definition has at most {PROJECTION_BYTES} bytes");
            return Err(place.error(Location::empty(), what));
        }
        let tokens = Tokenizer::new(&GenericDialect {}, text)
            .tokenize_with_location()
            .map_err(|error| place.error(error.location, error.message.to_lowercase()))?;
        let tokens = tokens
            .into_iter()
            .filter(|token| !matches!(token.token, Token::Whitespace(_)))
            .collect();
        Ok(Tokens {
            tokens,
            at: 0,
            place,
            form,
        })
    }

    fn peek(&self) -> Option<&TokenWithSpan> {
        self.tokens.get(self.at)
    }

    /// Where the next token begins; the end of the last, if there is none.
    pub(super) fn location(&self) -> Location {
        match self.peek() {
            Some(token) => token.span.start,
            None => self
                .tokens
                .last()
                .map_or(Location::new(1, 1), |token| token.span.end),
        }
    }

    fn found(&self) -> String {
        match self.peek() {
            Some(token) => format!("found {}", token.token),
            None => "found the end".to_owned(),
        }
    }

    pub(super) fn take_word(&mut self, wanted: &str) -> bool {
        let there = self
            .peek()
            .is_some_and(|token| is_word(&token.token, wanted));
        self.at += usize::from(there);
        there
    }

    pub(super) fn take_comma(&mut self) -> bool {
        let there = self.peek().is_some_and(|token| token.token == Token::Comma);
        self.at += usize::from(there);
        there
    }

    pub(super) fn expect_word(&mut self, wanted: &str) -> Result<()> {
        if self.take_word(wanted) {
            return Ok(());
        }
        let what = format!("expected {wanted}, {}: {}", self.found(), self.form);
        Err(self.place.error(self.location(), what))
    }

    /// Whether nothing is left but a semicolon.
    pub(super) fn is_at_end(&self) -> bool {
        self.peek()
            .is_none_or(|token| token.token == Token::SemiColon)
    }

    /// Text in single quotes.
    pub(super) fn text(&mut self, what: &str) -> Result<(String, Location)> {
        let at = self.location();
        if let Some(Token::SingleQuotedString(text)) = self.peek().map(|token| &token.token) {
            let text = text.clone();
            self.at += 1;
            return Ok((text, at));
        }
        let what = format!("expected {what} in single quotes, {}", self.found());
        Err(self.place.error(at, what))
    }

    /// Text between dollars, and where it begins.
    pub(super) fn dollars(&mut self, what: &str) -> Result<(String, Location)> {
        let at = self.location();
        if let Some(Token::DollarQuotedString(quoted)) = self.peek().map(|token| &token.token) {
            let tag = quoted.tag.as_ref().map_or(0, |tag| tag.chars().count()) as u64;
            let begin = Location::new(at.line, at.column + 2 + tag);
            let text = quoted.value.clone();
            self.at += 1;
            return Ok((text, begin));
        }
        let what = format!("expected {what}, {}", self.found());
        Err(self.place.error(at, what))
    }

    pub(super) fn number(&mut self, what: &str) -> Result<(String, Location)> {
        let at = self.location();
        if let Some(Token::Number(text, _)) = self.peek().map(|token| &token.token) {
            let text = text.clone();
            self.at += 1;
            return Ok((text, at));
        }
        let what = format!("expected {what}, {}", self.found());
        Err(self.place.error(at, what))
    }

    /// Something that is wrong with what comes next.
    pub(super) fn wrong(&self, expected: &str) -> foretell_types::Error {
        let what = format!("expected {expected}, {}: {}", self.found(), self.form);
        self.place.error(self.location(), what)
    }

    /// A name of one word, or in quotes, or of words joined by `-`.
    pub(super) fn name(&mut self, what: &str) -> Result<(String, Location)> {
        self.joined_name(what)
    }

    /// A name of words that are joined by `-` or `.` without a space between.
    pub(super) fn joined_name(&mut self, what: &str) -> Result<(String, Location)> {
        let start = self.location();
        let mut name = String::new();
        let mut end = None;
        while let Some(token) = self.peek() {
            if end.is_some_and(|end| end != token.span.start) {
                break;
            }
            match &token.token {
                Token::Word(Word { value, .. }) => name.push_str(value),
                Token::SingleQuotedString(value) => name.push_str(value),
                Token::Number(value, _) => name.push_str(value),
                Token::Minus => name.push('-'),
                Token::Period => name.push('.'),
                _ => break,
            }
            end = Some(token.span.end);
            self.at += 1;
        }
        if name.is_empty() {
            let what = format!("expected {what}, {}", self.found());
            return Err(self.place.error(start, what));
        }
        Ok((name, start))
    }

    /// The tokens before a word that stands outside all brackets.
    pub(super) fn until_word(&mut self, wanted: &str) -> Result<Vec<TokenWithSpan>> {
        let taken = self.until_any(&[wanted])?;
        if self.peek().is_some() {
            return Ok(taken);
        }
        let what = format!("expected {wanted} after this expression");
        Err(self.place.error(self.location(), what))
    }

    /// The tokens before one of some words that stands outside all brackets, or up to the end.
    pub(super) fn until_any(&mut self, wanted: &[&str]) -> Result<Vec<TokenWithSpan>> {
        let mut depth = 0usize;
        let start = self.at;
        while let Some(token) = self.peek() {
            match &token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                token if depth == 0 && wanted.iter().any(|word| is_word(token, word)) => break,
                _ => {}
            }
            self.at += 1;
        }
        let taken = self.tokens[start..self.at].to_vec();
        self.checked(taken)
    }

    pub(super) fn rest(&mut self) -> Result<Vec<TokenWithSpan>> {
        let rest = self.tokens[self.at..].to_vec();
        self.at = self.tokens.len();
        let rest = self.checked(rest)?;
        self.with_sessions(rest)
    }

    /// Fails if an expression is too long: its depth is bounded so.
    fn checked(&self, tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
        let (mut depth, mut length) = (0usize, 0);
        for token in &tokens {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                Token::Comma if depth == 0 => length = 0,
                _ => {}
            }
            length += 1;
            if length > EXPRESSION_TOKENS {
                let what = format!(
                    "an expression has at most {EXPRESSION_TOKENS} words and signs: split it into columns"
                );
                return Err(self.place.error(token.span.start, what));
            }
        }
        Ok(tokens)
    }

    /// `OVER (SESSION gap)` as the parser can read it: as `OVER (GROUPS gap PRECEDING)`, which
    /// nothing else means here.
    fn with_sessions(&self, tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
        let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
        let mut in_session = false;
        for (index, token) in tokens.iter().enumerate() {
            let opens = index >= 2
                && tokens[index - 1].token == Token::LParen
                && is_word(&tokens[index - 2].token, "OVER");
            let mut next = token.clone();
            if opens && is_word(&token.token, "GROUPS") {
                let what = "there is no window GROUPS: use RANGE, ROWS or SESSION";
                return Err(self.place.error(token.span.start, what));
            }
            if opens && is_word(&token.token, "SESSION") {
                next.token = Token::make_keyword("GROUPS");
                in_session = true;
            }
            if in_session && token.token == Token::RParen {
                let preceding = Token::make_keyword("PRECEDING");
                out.push(TokenWithSpan::new(preceding, token.span));
                in_session = false;
            }
            out.push(next);
        }
        Ok(out)
    }
}

fn is_word(token: &Token, wanted: &str) -> bool {
    match token {
        Token::Word(word) => {
            (word.quote_style.is_none() || word.keyword != Keyword::NoKeyword)
                && word.value.eq_ignore_ascii_case(wanted)
        }
        _ => false,
    }
}
