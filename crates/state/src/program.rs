//! A fold that is written as a function: `fold(state, event) -> state`, in JavaScript.
//!
//! It is pure because it can't be otherwise: the engine has no clock, randomness, files, network
//! or promises, all objects that outlive a call are frozen, and the text is evaluated anew for each
//! call, its variables with it. State and event come as JSON and the state goes as JSON.
//!
//! Steps and memory of a call are bounded. How near a bound a call comes depends a little on what
//! its engine did before; so a call that fails is made again by a new engine, whose answer counts.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::{Arc, Weak};

use foretell_types::Timestamp;
use foretell_types::limits::{
    FOLD_ENGINES, FOLD_MEMORY_BYTES, FOLD_STACK_BYTES, FOLD_STATE_BYTES, FOLD_STEPS,
};
use rquickjs::context::{EvalOptions, intrinsic};
use rquickjs::{Array, CatchResultExt, CaughtError, Context, Ctx, Exception, Function};
use rquickjs::{Persistent, Runtime};
use serde::Deserialize;

use crate::kernel::TimeUnit;

const PREPARE: &str = include_str!("program.js");
const STRICT: &str = "'use strict';";
/// The lines that the engine puts before the text.
const LINES_BEFORE: u64 = 2;
/// The engine looks whether a call has gone on for too long after so many steps.
const STEPS_AT_ONCE: usize = 10_000;

/// A function. It is compiled by each thread that calls it.
#[derive(Clone)]
pub struct Program(Arc<Text>);

struct Text {
    text: String,
    begin: Place,
}

/// A place in a file: line and column, from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub line: u64,
    pub column: u64,
}

/// What is wrong with a function, and where in its file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    pub place: Place,
    pub what: String,
}

impl Program {
    /// Compiles the text of a function, which begins at a place of its file.
    pub fn compile(text: &str, begin: Place) -> Result<Program, Fault> {
        let program = Program(Arc::new(Text {
            text: text.to_owned(),
            begin,
        }));
        Engine::new(&program.0)?;
        Ok(program)
    }

    /// The state after an event, given that before it, all as JSON text; `None` is no state.
    /// Fails with what went wrong and where.
    pub fn fold(&self, state: Option<&str>, event: &str) -> Result<Option<String>, String> {
        self.call(state.unwrap_or("null"), event).map_err(|fault| {
            #[derive(Deserialize)]
            struct Named<'a> {
                position: Option<u64>,
                #[serde(borrow)]
                time: Option<&'a str>,
            }
            let Fault { place, what } = fault;
            let line = place.line;
            match serde_json::from_str(event) {
                Ok(Named {
                    position: Some(position),
                    ..
                }) => format!("at the event at position {position}, in line {line}: {what}"),
                Ok(Named {
                    time: Some(time), ..
                }) => format!("at the event of {time}, in line {line}: {what}"),
                _ => format!("in line {line}: {what}"),
            }
        })
    }

    fn call(&self, state: &str, event: &str) -> Result<Option<String>, Fault> {
        thread_local! {
            static KEPT: RefCell<Vec<(Weak<Text>, Engine)>> = const { RefCell::new(Vec::new()) };
        }
        let kept = KEPT.with_borrow_mut(|kept| {
            let mine = |(text, _): &(Weak<Text>, Engine)| text.as_ptr() == Arc::as_ptr(&self.0);
            kept.iter().position(mine).map(|at| kept.swap_remove(at).1)
        });
        let again = kept.and_then(|engine| {
            let folded = engine.call(&self.0, state, event);
            folded.ok().map(|folded| (engine, folded))
        });
        let (engine, folded) = match again {
            Some(done) => done,
            None => {
                let engine = Engine::new(&self.0)?;
                let folded = engine.call(&self.0, state, event)?;
                (engine, folded)
            }
        };
        KEPT.with_borrow_mut(|kept| {
            kept.retain(|(text, _)| text.strong_count() > 0);
            if kept.len() == FOLD_ENGINES {
                kept.remove(0);
            }
            kept.push((Arc::downgrade(&self.0), engine));
        });
        Ok(folded)
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(&self.0.text).finish()
    }
}

impl PartialEq for Program {
    fn eq(&self, other: &Program) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Program {}

impl Hash for Program {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}

/// The function, ready to be called. What is first is dropped first.
struct Engine {
    fold: Persistent<Function<'static>>,
    context: Context,
    _runtime: Runtime,
    /// How often it was looked whether the present call has gone on for too long.
    looks: Rc<Cell<usize>>,
}

impl Engine {
    fn new(text: &Text) -> Result<Engine, Fault> {
        let failed = |error: rquickjs::Error| text.fault(error.to_string());
        let runtime = Runtime::new().map_err(failed)?;
        runtime.set_memory_limit(FOLD_MEMORY_BYTES);
        runtime.set_max_stack_size(FOLD_STACK_BYTES);
        let looks = Rc::new(Cell::new(0));
        let looked = looks.clone();
        runtime.set_interrupt_handler(Some(Box::new(move || {
            looked.set(looked.get() + 1);
            looked.get() > FOLD_STEPS / STEPS_AT_ONCE
        })));
        let context = Context::builder()
            .with::<(
                intrinsic::Eval,
                intrinsic::RegExpCompiler,
                intrinsic::RegExp,
                intrinsic::Json,
                intrinsic::MapSet,
            )>()
            .build(&runtime)
            .map_err(failed)?;
        let fold = context.with(|ctx| {
            let compiled = compile(&ctx, text).catch(&ctx);
            let (takes, fold) = compiled.map_err(|error| text.caught(error))?;
            match takes {
                0..=2 => Ok(Persistent::save(&ctx, fold)),
                _ => Err(text.fault(
                    "fold must be a function of a state and an event: function fold(state, event) { … }",
                )),
            }
        })?;
        Ok(Engine {
            fold,
            context,
            _runtime: runtime,
            looks,
        })
    }

    fn call(&self, text: &Text, state: &str, event: &str) -> Result<Option<String>, Fault> {
        self.looks.set(0);
        let state = self.context.with(|ctx| {
            let fold = self.fold.clone().restore(&ctx);
            let state = fold.and_then(|fold| fold.call::<_, Option<String>>((state, event)));
            state.catch(&ctx).map_err(|error| text.caught(error))
        })?;
        match state {
            None => Err(text.fault("fold returned nothing: return the state, or null for none")),
            Some(state) if state == "null" => Ok(None),
            Some(state) if state.len() > FOLD_STATE_BYTES => Err(text.fault(format!(
                "the state has {} bytes: at most {FOLD_STATE_BYTES} (keep less, or use a finer KEY)",
                state.len()
            ))),
            state => Ok(state),
        }
    }
}

/// How many arguments the function takes, and what calls it with JSON text.
fn compile<'js>(ctx: &Ctx<'js>, text: &Text) -> rquickjs::Result<(usize, Function<'js>)> {
    ctx.globals()
        .set("epoch", Function::new(ctx.clone(), epoch)?)?;
    let mut options = EvalOptions::default();
    options.global = true;
    let prepare: Function<'_> = ctx.eval_with_options(PREPARE, options)?;
    let compiled: Option<Array<'_>> = prepare.call((format!("{STRICT}{}", text.text),))?;
    match compiled {
        Some(compiled) => Ok((compiled.get(0)?, compiled.get(1)?)),
        None => Err(Exception::throw_message(
            ctx,
            "there is no function fold: write function fold(state, event) { … }",
        )),
    }
}

/// Seconds since 1970 of a time as events bear it.
fn epoch(ctx: Ctx<'_>, time: String) -> rquickjs::Result<f64> {
    match Timestamp::from_text_or_utc(&time) {
        Ok(time) => Ok(TimeUnit::Second.of_nanos(time.instant().as_nanos())),
        Err(error) => {
            let what = format!("epoch: {}", error.message());
            Err(Exception::throw_message(&ctx, &what))
        }
    }
}

impl Text {
    /// Something that is wrong with the text as a whole.
    fn fault(&self, what: impl Into<String>) -> Fault {
        Fault {
            place: self.begin,
            what: what.into(),
        }
    }

    fn caught(&self, error: CaughtError<'_>) -> Fault {
        match error {
            CaughtError::Exception(exception) => {
                let name = exception.get::<_, String>("name").unwrap_or_default();
                let message = exception.message().unwrap_or_default();
                let what = match &*name {
                    "" | "Error" => message,
                    name => format!("{name}: {message}"),
                };
                let stack = exception.stack().unwrap_or_default();
                Fault {
                    place: self.place(&stack),
                    what,
                }
            }
            CaughtError::Value(value) => match value.as_string().map(|text| text.to_string()) {
                Some(Ok(text)) => self.fault(text),
                _ => self.fault("something was thrown that is no Error"),
            },
            CaughtError::Error(error) => self.fault(error.to_string()),
        }
    }

    /// Where the innermost call of the text is, by a stack of `… (<input>:LINE:COLUMN)`.
    fn place(&self, stack: &str) -> Place {
        let mut numbers = stack
            .split("<input>:")
            .skip(1)
            .flat_map(|call| call.split(|char: char| !char.is_ascii_digit()))
            .map_while(|digits| digits.parse::<u64>().ok());
        let (Some(line), column) = (numbers.next(), numbers.next().unwrap_or(1)) else {
            return self.begin;
        };
        match line.saturating_sub(LINES_BEFORE) {
            0 | 1 => Place {
                line: self.begin.line,
                column: (self.begin.column + column)
                    .saturating_sub(STRICT.len() as u64 + 1)
                    .max(1),
            },
            line => Place {
                line: self.begin.line + line - 1,
                column,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = Place { line: 1, column: 1 };

    fn fold(text: &str, state: Option<&str>, event: &str) -> Result<Option<String>, String> {
        Program::compile(text, HERE).unwrap().fold(state, event)
    }

    fn fails(text: &str, event: &str) -> String {
        fold(text, None, event).unwrap_err()
    }

    #[test]
    fn the_state_goes_through_the_function() {
        let count = "function fold(state, event) { return (state ?? 0) + event.data.n }";
        let event = r#"{"data":{"n":2}}"#;
        assert_eq!(fold(count, None, event), Ok(Some("2".into())));
        assert_eq!(fold(count, Some("40"), event), Ok(Some("42".into())));
        let changed = "const fold = (state, event) => { state.b = [1, 0.5, 'é\"', null, true]; return state }";
        assert_eq!(
            fold(
                changed,
                Some(r#"{"z":{},"b":0,"a":9007199254740991}"#),
                "{}"
            ),
            Ok(Some(
                r#"{"z":{},"b":[1,0.5,"é\"",null,true],"a":9007199254740991}"#.into()
            ))
        );
        let gone = "function fold(state, event) { return null }";
        assert_eq!(fold(gone, Some("1"), "{}"), Ok(None));
    }

    #[test]
    fn members_may_have_any_name() {
        let counts = "function fold(state, event) {
            state ??= {};
            state[event.data] = (Object.hasOwn(state, event.data) ? state[event.data] : 0) + 1;
            return state
        }";
        let program = Program::compile(counts, HERE).unwrap();
        for name in ["toString", "constructor", "__proto__", "hasOwnProperty", ""] {
            let event = format!("{{\"data\":\"{name}\"}}");
            let one = program.fold(None, &event).unwrap().unwrap();
            assert_eq!(one, format!("{{\"{name}\":1}}"));
            let two = program.fold(Some(&one), &event).unwrap().unwrap();
            assert_eq!(two, format!("{{\"{name}\":2}}"));
        }
    }

    #[test]
    fn nothing_of_a_call_is_seen_by_the_next() {
        let counts = "let calls = 0; const seen = new Set(); let matches = /a/g;
            function fold(state, event) {
                calls += 1; seen.add(calls); matches.exec('aa');
                return [calls, seen.size, matches.lastIndex]
            }";
        let program = Program::compile(counts, HERE).unwrap();
        for _ in 0..3 {
            assert_eq!(program.fold(None, "{}"), Ok(Some("[1,1,1]".into())));
        }
        for assigns in [
            "globalThis.calls = 1",
            "Array.prototype.calls = 1",
            "Math.calls = 1",
            "fold.constructor.calls = 1",
            "Object.getPrototypeOf(function* () {}).calls = 1",
            "Object.prototype.calls = 1",
            "epoch.calls = 1",
            "calls = 1",
        ] {
            let text = format!("function fold(state, event) {{ {assigns}; return 1 }}");
            let failed = fails(&text, "{}");
            assert!(failed.contains("Error: "), "{assigns}: {failed}");
        }
    }

    #[test]
    fn there_is_nothing_that_is_not_pure() {
        for name in [
            "Date",
            "Math.random",
            "performance",
            "WeakRef",
            "FinalizationRegistry",
            "Promise",
            "Array.fromAsync",
            "setTimeout",
            "console",
            "print",
            "require",
            "fetch",
            "process",
            "navigator",
        ] {
            let text = format!("function fold(state, event) {{ return typeof {name} }}");
            assert_eq!(
                fold(&text, None, "{}"),
                Ok(Some("\"undefined\"".into())),
                "{name}"
            );
        }
        let times = "function fold(state, event) { return epoch(event.time) - epoch('2024-01-01T00:00:00Z') }";
        assert_eq!(
            fold(times, None, r#"{"time":"2024-01-01T01:00:00.5+01:00"}"#),
            Ok(Some("0.5".into()))
        );
        let failed = fails(times, r#"{"time":"soon"}"#);
        assert!(failed.contains("epoch: "), "{failed}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let begin = Place {
            line: 10,
            column: 40,
        };
        for (text, line, column, what) in [
            (
                "\nfunction fold(state, event) {\n  return state + ;\n}",
                12,
                18,
                "unexpected token",
            ),
            ("function fold(state {}", 10, 60, "SyntaxError"),
            ("\nvar x = 1", 10, 40, "there is no function fold"),
            ("const fold = 1", 10, 40, "there is no function fold"),
            (
                "function fold(a, b, c) { return a }",
                10,
                40,
                "fold must be a function",
            ),
            ("\n\nthrow new Error('no')", 12, 11, "no"),
            ("\n\nimport x from 'y'", 12, 0, "SyntaxError"),
        ] {
            let fault = Program::compile(text, begin).unwrap_err();
            assert_eq!(fault.place.line, line, "{text}: {fault:?}");
            if column > 0 {
                assert_eq!(fault.place.column, column, "{text}: {fault:?}");
            }
            assert!(fault.what.contains(what), "{text}: {fault:?}");
        }
    }

    #[test]
    fn what_fails_in_a_call_names_the_event_and_the_line() {
        let text = "\nfunction fold(state, event) {\n  return event.data.a.b\n}";
        let begin = Place { line: 5, column: 9 };
        let program = Program::compile(text, begin).unwrap();
        assert_eq!(
            program.fold(None, r#"{"data":{"a":{"b":1}}}"#),
            Ok(Some("1".into()))
        );
        // Twice: the second time by an engine that was used before.
        for _ in 0..2 {
            let failed = program
                .fold(None, r#"{"position":7,"data":{}}"#)
                .unwrap_err();
            let expected = "at the event at position 7, in line 7: TypeError: ";
            assert!(failed.starts_with(expected), "{failed}");
        }
        let failed = fails(
            "function fold(state, event) { throw new Error('no ' + event.data) }",
            r#"{"time":"2024-01-01T00:00:00Z","data":"x"}"#,
        );
        assert_eq!(
            failed,
            "at the event of 2024-01-01T00:00:00Z, in line 1: no x"
        );
        for (returns, what) in [
            ("", "returned nothing"),
            ("return 10n", "BigInt"),
            ("return undefined", "returned nothing"),
            ("throw 'plain text'", "plain text"),
            ("throw 7", "no Error"),
        ] {
            let text = format!("function fold(state, event) {{ {returns} }}");
            let failed = fails(&text, "{}");
            assert!(failed.contains(what), "{failed}");
        }
    }

    #[test]
    fn what_has_no_end_is_ended() {
        let within = |returns: &str| {
            let text = format!("function fold(state, event) {{ {returns} }}");
            fails(&text, "{}")
        };
        for spins in [
            "while (true) {}",
            "try { while (true) {} } catch { return 1 }",
        ] {
            let failed = within(spins);
            assert!(failed.contains("interrupted"), "{spins}: {failed}");
        }
        let failed = within("let all = []; while (true) all.push('x'.repeat(1000) + all.length)");
        assert!(failed.contains("out of memory"), "{failed}");
        let failed = within("return 'x'.repeat(2000000)");
        assert!(failed.contains("at most"), "{failed}");
        let failed = within("return fold(state, event)");
        assert!(failed.contains("stack size"), "{failed}");
        let top = "while (true) {}\nfunction fold(state, event) { return state }";
        assert!(Program::compile(top, HERE).is_err());
    }
}
