//! Stacks of Pulumi programs: each is a stream of the system topic `foretell.stacks`.
//!
//! What is secret in their events is sealed under a key that derives from the master key, before
//! it comes into the log. As a value has the signature of a secret there, so has what is sealed.

use std::collections::BTreeSet;

use foretell_log::{Append, ReadOptions};
use foretell_protocol::MasterKey;
use foretell_types::{
    Data, Error, ErrorKind, ExpectedRevision, NewEvent, Result, Revision, Timestamp,
};
use serde_json::{Map, Value, json};

use super::{Node, blocking};

/// The topic of the stacks.
pub const STACKS: &str = "foretell.stacks";
/// By which Pulumi tells secrets from maps.
const SIGNATURE: &str = "4dabf18193072939515e22adb298388d";
const SECRET: &str = "1b47061264138c4ac30d75fd1eb44270";

impl Node {
    /// The names of all stacks: `PROJECT/STACK`.
    pub async fn stacks(&self) -> Result<BTreeSet<String>> {
        let log = self.log.clone();
        blocking(move || {
            let mut names = BTreeSet::new();
            let mut reader = log.read(STACKS, ReadOptions::default())?;
            while let Some(event) = reader.next_event()? {
                names.extend(event.subject.map(|subject| subject.to_string()));
            }
            Ok(names)
        })
        .await
    }

    /// All events of a stack in their order, as `{"type", "time", "data"}`, with their secrets.
    pub async fn stack_events(&self, stack: &str) -> Result<Vec<Value>> {
        let (log, stack, master) = (self.log.clone(), stack.to_owned(), self.master.clone());
        blocking(move || {
            let mut events = Vec::new();
            let mut reader = log.read(STACKS, ReadOptions::stream(stack.clone()))?;
            while let Some(event) = reader.next_recorded()? {
                let Data::Json(text) = &event.event.data else {
                    continue;
                };
                let damaged = |error| {
                    let message = format!(
                        "event {} of stack {stack} is malformed: {error}",
                        event.position
                    );
                    Error::new(ErrorKind::Damaged, message)
                };
                let mut data: Value = serde_json::from_str(text).map_err(damaged)?;
                unseal(&mut data, &master)?;
                events.push(json!({
                    "type": event.event.event_type,
                    "time": Timestamp::from_instant(event.recorded_time).to_string(),
                    "data": data,
                }));
            }
            Ok(events)
        })
        .await
    }

    /// Appends events to a stack that has `length` of them.
    pub async fn append_stack(&self, stack: &str, length: u64, events: Vec<Value>) -> Result<()> {
        let mut new = Vec::with_capacity(events.len());
        for mut event in events {
            let event_type = event["type"].as_str().unwrap_or("").to_owned();
            if !event_type.starts_with("foretell.stack.") {
                return Err(Error::invalid(format!(
                    "{event_type:?} is not the type of an event of a stack: it begins with foretell.stack."
                )));
            }
            let mut data = event["data"].take();
            seal(&mut data, &self.master)?;
            new.push(NewEvent {
                id: self.new_id().to_string(),
                source: "/foretell/stacks".to_owned(),
                event_type,
                subject: Some(stack.to_owned()),
                data: Data::json(data.to_string()),
                ..NewEvent::default()
            });
        }
        let expected = match length.checked_sub(1) {
            Some(last) => ExpectedRevision::Exact(Revision::new(last)),
            None => ExpectedRevision::None,
        };
        let append = Append::new()
            .events(STACKS, new)
            .expect(STACKS, stack, expected);
        self.log.append(append)?.await?;
        Ok(())
    }
}

/// Seals every secret: its value becomes `sealed`, a text.
fn seal(value: &mut Value, master: &MasterKey) -> Result<()> {
    each_secret(value, &mut |secret| {
        if let Some(value) = secret.remove("value") {
            secret.insert("sealed".to_owned(), master.seal(&value.to_string())?.into());
        }
        Ok(())
    })
}

fn unseal(value: &mut Value, master: &MasterKey) -> Result<()> {
    each_secret(value, &mut |secret| {
        if let Some(Value::String(sealed)) = secret.remove("sealed") {
            let text = master.unseal(&sealed)?;
            let value = serde_json::from_str(&text);
            let value: Value = value.map_err(|error| {
                Error::new(
                    ErrorKind::Damaged,
                    format!("a sealed value is malformed: {error}"),
                )
            })?;
            secret.insert("value".to_owned(), value);
        }
        Ok(())
    })
}

fn each_secret(
    value: &mut Value,
    treat: &mut impl FnMut(&mut Map<String, Value>) -> Result<()>,
) -> Result<()> {
    match value {
        Value::Object(map) if map.get(SIGNATURE).is_some_and(|found| found == SECRET) => treat(map),
        Value::Object(map) => map
            .values_mut()
            .try_for_each(|value| each_secret(value, treat)),
        Value::Array(items) => items
            .iter_mut()
            .try_for_each(|value| each_secret(value, treat)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_sealed_and_come_back() {
        let master = MasterKey::new([7; 32]);
        let whole = json!({
            "inputs": [{ "k": { SIGNATURE: SECRET, "value": { "deep": "swordfish" } } }],
            "plain": "seen"
        });
        let mut sealed = whole.clone();
        seal(&mut sealed, &master).unwrap();
        let text = sealed.to_string();
        assert!(
            !text.contains("swordfish") && text.contains("seen"),
            "{text}"
        );
        unseal(&mut sealed, &master).unwrap();
        assert_eq!(sealed, whole);
    }
}
