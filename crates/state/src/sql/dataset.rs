//! Reads a dataset: `CREATE DATASET name ON projection AT instants [HORIZON length] [SPLIT BY …]
//! [AS SELECT expr AS name, …]`.

use foretell_types::limits::DATASET_INSTANTS;
use foretell_types::{Result, Timestamp};
use sqlparser::tokenizer::Location;

use super::compile::Compiler;
use super::place::Place;
use super::tokens::Tokens;
use super::{check_name, end, end_of, interval, outputs, parser};
use crate::kernel::{Function, Window};
use crate::{Aggregate, Dataset, Definition, Extractor, Instants, Labels, Split};

const FORM: &str = "a dataset is CREATE DATASET name ON projection AT EVERY … | AT EVENTS … | AT ROWS … [HORIZON …] [SPLIT BY …] [AS SELECT expression AS name, …]";
/// What may come after the instants.
const CLAUSES: [&str; 3] = ["HORIZON", "SPLIT", "AS"];

impl Dataset {
    /// Compiles the text of a dataset; `projection` gives that of a name. Errors say where in
    /// `file` what is wrong, and what to do.
    pub fn parse(
        text: &str,
        file: &str,
        projection: &dyn Fn(&str) -> Result<Definition>,
    ) -> Result<Dataset> {
        let place = Place {
            file,
            end: end_of(text),
        };
        let mut tokens = Tokens::read(text, place, FORM)?;
        tokens.expect_word("CREATE")?;
        tokens.expect_word("DATASET")?;
        let (name, at) = tokens.name("the dataset's name")?;
        check_name(&name).map_err(|what| place.error(at, what))?;
        tokens.expect_word("ON")?;
        let (of, at) = tokens.name("the name of a projection")?;
        let mut features = projection(&of).map_err(|error| match error.kind() {
            foretell_types::ErrorKind::NotFound => place.error(at, error.message()),
            _ => error,
        })?;
        let mut compiler = Compiler::new(place);
        compiler.inputs = features.inputs.clone();
        tokens.expect_word("AT")?;
        let instants = instants(&mut tokens, &mut compiler, place)?;
        let horizon = horizon(&mut tokens, place)?;
        let split = split(&mut tokens, place)?;
        let labels = match horizon {
            Some((horizon, lateness)) if tokens.is_at_end() => Some(Labels {
                horizon,
                lateness,
                aggregates: Vec::new(),
                outputs: Vec::new(),
            }),
            Some((horizon, lateness)) => Some(Labels {
                horizon,
                lateness,
                ..labels(&mut tokens, &mut compiler, place)?
            }),
            None if tokens.is_at_end() => None,
            None => {
                return Err(
                    tokens.wrong("HORIZON before SELECT (labels are folded over it), or the end")
                );
            }
        };
        features.inputs = compiler.inputs;
        features.extractor = Extractor::new(&features.inputs);
        Ok(Dataset {
            name,
            features,
            instants,
            labels,
            split,
            text: text.to_owned(),
        })
    }
}

fn instants(
    tokens: &mut Tokens<'_>,
    compiler: &mut Compiler<'_>,
    place: Place<'_>,
) -> Result<Instants> {
    if tokens.take_word("EVERY") {
        let (interval, at) = length(tokens, place)?;
        tokens.expect_word("FROM")?;
        let from = time(tokens, place)?;
        tokens.expect_word("TO")?;
        let to = time(tokens, place)?;
        if to < from {
            return Err(place.error(at, "the last instant is before the first"));
        }
        let count = Instants::count(interval, from, to);
        if count > DATASET_INSTANTS as u64 {
            let what = format!("{count} instants are too many: at most {DATASET_INSTANTS}");
            return Err(place.error(at, what));
        }
        return Ok(Instants::Every { interval, from, to });
    }
    if tokens.take_word("EVENTS") {
        if !tokens.take_word("WHERE") {
            return Ok(Instants::Events(None));
        }
        let mut parser = parser(tokens.until_any(&CLAUSES)?);
        let expr = parser.parse_expr().map_err(|error| place.parser(&error))?;
        end(&mut parser, place, "HORIZON, SPLIT or the end")?;
        return compiler.row(&expr).map(Some).map(Instants::Events);
    }
    if tokens.take_word("ROWS") {
        let mut column = |word: &str, otherwise: &str| match tokens.take_word(word) {
            true => Ok(tokens.name("a column of the label table")?.0),
            false => Ok::<_, foretell_types::Error>(otherwise.to_owned()),
        };
        let key = column("KEY", "key")?;
        let time = column("TIME", "time")?;
        return Ok(Instants::Rows { key, time });
    }
    Err(tokens.wrong("EVERY, EVENTS or ROWS"))
}

fn horizon(tokens: &mut Tokens<'_>, place: Place<'_>) -> Result<Option<(i64, i64)>> {
    if !tokens.take_word("HORIZON") {
        return Ok(None);
    }
    let (horizon, _) = length(tokens, place)?;
    let lateness = match tokens.take_word("LATENESS") {
        true => length(tokens, place)?.0,
        false => 0,
    };
    Ok(Some((horizon, lateness)))
}

fn split(tokens: &mut Tokens<'_>, place: Place<'_>) -> Result<Split> {
    let mut split = Split::default();
    while tokens.take_word("SPLIT") {
        let at = tokens.location();
        tokens.expect_word("BY")?;
        if tokens.take_word("TIME") && split.times.is_empty() {
            split.times.push(time(tokens, place)?);
            while tokens.take_comma() {
                split.times.push(time(tokens, place)?);
            }
            if split.times.len() > 2 || !split.times.is_sorted_by(|a, b| a < b) {
                let what = "a split by time has one or two times, in their order: where the test begins, or validation and test";
                return Err(place.error(at, what));
            }
        } else if tokens.take_word("KEY") && split.shares.is_empty() {
            split.shares.push(share(tokens, place)?);
            while tokens.take_comma() {
                split.shares.push(share(tokens, place)?);
            }
            let parts = split.shares.len();
            if !(2..=3).contains(&parts) || split.shares.iter().sum::<u32>() != 100 {
                let what = "a split by key has two or three shares that are 100 in all: train and test, or train, validation and test";
                return Err(place.error(at, what));
            }
        } else {
            return Err(tokens.wrong("SPLIT BY TIME or SPLIT BY KEY, each once"));
        }
        let (times, shares) = (split.times.len(), split.shares.len());
        if times > 0 && shares > 0 && times + 1 != shares {
            let what = format!(
                "by time there are {} parts, by key {shares}: a row is in a part if both say so",
                times + 1
            );
            return Err(place.error(at, what));
        }
    }
    Ok(split)
}

/// The labels' columns; horizon and lateness are the caller's.
fn labels(
    tokens: &mut Tokens<'_>,
    compiler: &mut Compiler<'_>,
    place: Place<'_>,
) -> Result<Labels> {
    tokens.expect_word("AS")?;
    let at = tokens.location();
    tokens.expect_word("SELECT")?;
    let mut parser = parser(tokens.rest()?);
    let outputs = outputs(compiler, &mut parser, place)?;
    let _ = parser.consume_token(&sqlparser::tokenizer::Token::SemiColon);
    end(
        &mut parser,
        place,
        "a comma or the end (conditions stand in FILTER (WHERE …))",
    )?;
    for aggregate in &compiler.aggregates {
        check(aggregate, at, place)?;
    }
    Ok(Labels {
        horizon: 0,
        lateness: 0,
        aggregates: std::mem::take(&mut compiler.aggregates),
        outputs,
    })
}

fn check(aggregate: &Aggregate, at: Location, place: Place<'_>) -> Result<()> {
    if aggregate.window != Window::All {
        return Err(place.error(at, "a label has no OVER: its window is the horizon"));
    }
    match aggregate.function {
        Function::ApproximateDistinct => Err(place.error(
            at,
            "a label can't be approx_count_distinct: use count(DISTINCT …)",
        )),
        Function::DecayedSum(_) | Function::DecayedCount(_) => {
            Err(place.error(at, "a label can't decay: use sum or count"))
        }
        _ => Ok(()),
    }
}

/// `INTERVAL '7 days'`, in nanoseconds.
fn length(tokens: &mut Tokens<'_>, place: Place<'_>) -> Result<(i64, Location)> {
    tokens.expect_word("INTERVAL")?;
    let (text, at) = tokens.text("a length of time such as '7 days'")?;
    match interval::parse(&text, None) {
        Ok(nanos) => Ok((nanos, at)),
        Err(what) => Err(place.error(at, what)),
    }
}

fn time(tokens: &mut Tokens<'_>, place: Place<'_>) -> Result<i64> {
    let (text, at) = tokens.text("a time such as '2024-05-01'")?;
    match Timestamp::from_text_or_date(&text) {
        Ok(time) => Ok(time.instant().as_nanos()),
        Err(error) => Err(place.error(at, error.message())),
    }
}

fn share(tokens: &mut Tokens<'_>, place: Place<'_>) -> Result<u32> {
    let (text, at) = tokens.number("a share of a hundred keys")?;
    match text.parse() {
        Ok(share @ 1..=99) => Ok(share),
        _ => Err(place.error(at, "a share is a whole number from 1 to 99")),
    }
}
