//! Reads a projection: `CREATE PROJECTION name ON topic[, …] [KEY expr] AS [FOLD $$function$$]
//! [SELECT expr AS name, …] [WHERE condition]`. The header is read here, expressions by the
//! `sqlparser` crate.

mod aggregate;
mod compile;
mod dataset;
mod interval;
mod place;
mod scalar_call;
mod tokens;

use foretell_types::{Result, TopicName};
use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use crate::{Definition, Expr, Extractor, Input, Output, Program, program};
use compile::Compiler;
use foretell_types::limits::{PROJECTION_COLUMNS, PROJECTION_TOPICS};
use place::Place;
use tokens::Tokens;

/// What a name of a projection or of a column may look like.
const NAME_CHARS: usize = 64;
const FORM: &str = "a projection is CREATE PROJECTION name ON topic KEY expression AS SELECT expression AS name, … or AS FOLD $$ function fold(state, event) { … } $$";
/// What the state of a function is called where it is a column.
const STATE: &str = "state";

impl Definition {
    /// Compiles the text of a projection. Errors say where in `file` what is wrong, and what to do.
    pub fn parse(text: &str, file: &str) -> Result<Definition> {
        let place = Place {
            file,
            end: end_of(text),
        };
        let mut tokens = Tokens::read(text, place, FORM)?;
        tokens.expect_word("CREATE")?;
        tokens.expect_word("PROJECTION")?;
        let (name, at) = tokens.name("the projection's name")?;
        check_name(&name).map_err(|what| place.error(at, what))?;
        tokens.expect_word("ON")?;
        let topics = topics(&mut tokens, place)?;
        let mut compiler = Compiler::new(place);
        let key = if tokens.take_word("KEY") {
            let key = tokens.until_word("AS")?;
            let mut parser = parser(key);
            let expr = parser.parse_expr().map_err(|error| place.parser(&error))?;
            end(&mut parser, place, "AS SELECT or AS FOLD")?;
            compiler.row(&expr)?
        } else {
            compiler.input(Input::Attribute("subject".into()))
        };
        tokens.expect_word("AS")?;
        let folds = tokens.take_word("FOLD");
        if folds {
            compiler.fold(program(&mut tokens, place)?);
        }
        let whole = folds && !tokens.take_word("SELECT");
        if !folds {
            tokens.expect_word("SELECT")?;
        }
        let mut parser = parser(tokens.rest()?);
        let outputs = match whole {
            true => vec![Output {
                name: STATE.to_owned(),
                expr: Expr::Input(0),
            }],
            false => outputs(&mut compiler, &mut parser, place)?,
        };
        let filter = if parser.parse_keyword(Keyword::WHERE) {
            let expr = parser.parse_expr().map_err(|error| place.parser(&error))?;
            Some(compiler.row(&expr)?)
        } else {
            None
        };
        let _ = parser.consume_token(&Token::SemiColon);
        let expected = match whole {
            true => "SELECT, WHERE or the end",
            false => "a comma, WHERE or the end",
        };
        end(&mut parser, place, expected)?;
        let inputs = compiler.inputs;
        Ok(Definition {
            name,
            topics,
            extractor: Extractor::new(&inputs),
            inputs,
            key,
            filter,
            aggregates: compiler.aggregates,
            outputs,
            whole,
            text: text.to_owned(),
        })
    }
}

/// The function between dollars.
fn program(tokens: &mut Tokens<'_>, place: Place<'_>) -> Result<Program> {
    let (text, at) = tokens.dollars("the function between $$ and $$")?;
    let begin = program::Place {
        line: at.line,
        column: at.column,
    };
    Program::compile(&text, begin).map_err(|fault| {
        let at = Location::new(fault.place.line, fault.place.column);
        place.error(at, fault.what)
    })
}

fn parser(tokens: Vec<TokenWithSpan>) -> Parser<'static> {
    static DIALECT: GenericDialect = GenericDialect {};
    Parser::new(&DIALECT).with_tokens_with_locations(tokens)
}

fn end(parser: &mut Parser<'_>, place: Place<'_>, expected: &str) -> Result<()> {
    let next = parser.peek_token();
    match next.token {
        Token::EOF => Ok(()),
        token => {
            let what = match &token {
                Token::Word(word) if word.keyword == Keyword::FROM => {
                    "FROM has no place here: the topics stand after ON".to_owned()
                }
                Token::Word(word) if word.keyword == Keyword::GROUP => {
                    "GROUP BY has no place here: the KEY is what a state is kept by".to_owned()
                }
                token => format!("expected {expected}, found {token}"),
            };
            Err(place.error(place.next(parser), what))
        }
    }
}

fn end_of(text: &str) -> Location {
    let line = text.lines().count().max(1) as u64;
    let column = text.lines().last().map_or(0, |line| line.chars().count()) as u64 + 1;
    Location::new(line, column)
}

fn topics(tokens: &mut Tokens<'_>, place: Place<'_>) -> Result<Vec<String>> {
    let mut topics: Vec<String> = Vec::new();
    loop {
        let (name, at) = tokens.joined_name("a topic")?;
        if let Err(error) = name.parse::<TopicName>()
            && !foretell_types::is_system_topic(&name)
        {
            return Err(place.error(at, error.message()));
        }
        if !topics.contains(&name) {
            topics.push(name);
        }
        if topics.len() > PROJECTION_TOPICS {
            return Err(place.error(
                at,
                format!("a projection has at most {PROJECTION_TOPICS} topics"),
            ));
        }
        if !tokens.take_comma() {
            break;
        }
    }
    topics.sort_unstable();
    Ok(topics)
}

fn outputs(
    compiler: &mut Compiler<'_>,
    parser: &mut Parser<'_>,
    place: Place<'_>,
) -> Result<Vec<Output>> {
    let mut outputs: Vec<Output> = Vec::new();
    loop {
        let start = parser.peek_token().span.start;
        let expr = parser.parse_expr().map_err(|error| place.parser(&error))?;
        if !parser.parse_keyword(Keyword::AS) {
            let next = parser.peek_token();
            return Err(place.error(
                place.next(parser),
                format!(
                    "a column needs a name: write AS name after its expression (found {})",
                    next.token
                ),
            ));
        }
        let at = parser.peek_token().span.start;
        let name = parser
            .parse_identifier()
            .map_err(|error| place.parser(&error))?
            .value;
        if name.is_empty() || name.chars().count() > NAME_CHARS {
            return Err(place.error(
                at,
                format!("a column's name has 1 to {NAME_CHARS} characters"),
            ));
        }
        if outputs.iter().any(|output| output.name == name) {
            return Err(place.error(at, format!("there are two columns {name:?}: rename one")));
        }
        if outputs.len() == PROJECTION_COLUMNS {
            return Err(place.error(
                start,
                format!("a projection has at most {PROJECTION_COLUMNS} columns"),
            ));
        }
        let expr: Expr = compiler.output(&expr)?;
        outputs.push(Output { name, expr });
        if !parser.consume_token(&Token::Comma) {
            return Ok(outputs);
        }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let fits = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
    if name == "merge" {
        return Err(
            "\"merge\" is the projection that needs no definition: choose another name".into(),
        );
    }
    if (1..=NAME_CHARS).contains(&name.len()) && name.chars().all(fits) {
        return Ok(());
    }
    Err(format!(
        "a name has 1 to {NAME_CHARS} letters, digits, - or _: {name:?} does not fit"
    ))
}
