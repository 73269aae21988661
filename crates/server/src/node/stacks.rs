//! Stacks of Pulumi programs: each is a stream of the system topic `foretell.stacks`.
//!
//! What is secret in their events is kept outside the log before it comes there: the event has a
//! reference in its place. As a value has the signature of a secret there, so has a reference. The
//! same value in the same stack has the same one.
//!
//! An event that ends an update names in `secrets` whatever the stack still has. All else that was
//! secret is then dropped, and is null in the events that refer to it.

use std::collections::{BTreeSet, HashMap, HashSet};

use foretell_log::{Append, ReadOptions};
use foretell_protocol::MasterKey;
use foretell_types::{
    Data, Error, ErrorKind, ExpectedRevision, NewEvent, RecordedEvent, Result, Revision, Timestamp,
};
use serde_json::{Map, Value, json};

use super::secrets::Secrets;
use super::{Node, blocking};

/// The topic of the stacks.
pub const STACKS: &str = "foretell.stacks";
/// The type of the events that name the secrets of a stack.
const ENDED: &str = "foretell.stack.update.ended";
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

    /// All events of a stack in their order, as `{"type", "time", "data"}`, with the secrets that
    /// it still has.
    pub async fn stack_events(&self, stack: &str) -> Result<Vec<Value>> {
        // Nothing is dropped that was read of a moment ago.
        let _no_change = self.stack_changes.lock().await;
        let (log, vault, stack) = (self.log.clone(), self.vault(stack), stack.to_owned());
        blocking(move || {
            let mut events = Vec::new();
            let mut reader = log.read(STACKS, ReadOptions::stream(stack.clone()))?;
            while let Some(event) = reader.next_recorded()? {
                if let Some(event) = to_json(&event, &stack)? {
                    events.push(event);
                }
            }
            vault.reveal(&mut events)?;
            Ok(events)
        })
        .await
    }

    /// Appends events to a stack that has `length` of them.
    pub async fn append_stack(&self, stack: &str, length: u64, events: Vec<Value>) -> Result<()> {
        // Else what one keeps another could drop, before an event names it.
        let _one_at_a_time = self.stack_changes.lock().await;
        let mut vault = self.vault(stack);
        let mut new = Vec::with_capacity(events.len());
        let mut named = None;
        for mut event in events {
            let event_type = event["type"].as_str().unwrap_or("").to_owned();
            if !event_type.starts_with("foretell.stack.") {
                return Err(Error::invalid(format!(
                    "{event_type:?} is not the type of an event of a stack: it begins with foretell.stack."
                )));
            }
            let mut data = event["data"].take();
            vault.take(&mut data)?;
            if names_secrets(&event_type, &data) {
                named = Some(HashSet::new());
            }
            if let Some(named) = &mut named {
                references(&mut data, named)?;
            }
            new.push(NewEvent {
                id: self.new_id().to_string(),
                source: "/foretell/stacks".to_owned(),
                event_type,
                subject: Some(stack.to_owned()),
                data: Data::json(data.to_string()),
                ..NewEvent::default()
            });
        }
        let vault = blocking(move || vault.keep().map(|()| vault)).await?;
        let expected = match length.checked_sub(1) {
            Some(last) => ExpectedRevision::Exact(Revision::new(last)),
            None => ExpectedRevision::None,
        };
        let append = Append::new()
            .events(STACKS, new)
            .expect(STACKS, stack, expected);
        self.log.append(append)?.await?;
        if let Some(named) = named
            && let Err(error) = blocking(move || vault.drop_all_but(&named)).await
        {
            tracing::warn!(%error, stack, "secrets that a stack had are still there");
        }
        Ok(())
    }

    fn vault(&self, stack: &str) -> Vault {
        Vault {
            stack: stack.to_owned(),
            prefix: format!("stack.{}.", self.master.secret_name(stack)),
            master: self.master.clone(),
            secrets: self.secrets.clone(),
            taken: Vec::new(),
        }
    }
}

/// The secrets of one stack.
struct Vault {
    stack: String,
    /// What their names begin with.
    prefix: String,
    master: MasterKey,
    secrets: Secrets,
    /// References and values that aren't kept yet.
    taken: Vec<(String, String)>,
}

impl Vault {
    /// Puts references in the place of values.
    fn take(&mut self, data: &mut Value) -> Result<()> {
        each_secret(data, &mut |secret| {
            if let Some(value) = secret.remove("value") {
                let text = value.to_string();
                let reference = self.master.secret_name(&format!("{} {text}", self.stack));
                secret.insert("reference".to_owned(), reference.as_str().into());
                self.taken.push((reference, text));
            }
            Ok(())
        })
    }

    /// Keeps what was taken; it is durable when this returns.
    fn keep(&self) -> Result<()> {
        for (reference, text) in &self.taken {
            let name = format!("{}{reference}", self.prefix);
            if !self.secrets.contains(&name) {
                self.secrets.put(&name, text)?;
            }
        }
        Ok(())
    }

    fn drop_all_but(&self, references: &HashSet<String>) -> Result<()> {
        let names = references.iter();
        let names = names.map(|reference| format!("{}{reference}", self.prefix));
        self.secrets.keep_only(&self.prefix, &names.collect())
    }

    /// Puts values in the place of references. One that was dropped is null.
    fn reveal(&self, events: &mut [Value]) -> Result<()> {
        let is_last =
            |event: &Value| names_secrets(event["type"].as_str().unwrap_or(""), &event["data"]);
        let last = events.iter().rposition(is_last).unwrap_or(0);
        let mut known: HashMap<String, Option<Value>> = HashMap::new();
        // The last first: what they name must be there.
        for (at, event) in events.iter_mut().enumerate().rev() {
            each_secret(&mut event["data"], &mut |secret| {
                // The first of them were encrypted where they stood.
                if let Some(Value::String(sealed)) = secret.remove("sealed") {
                    let value = self.parse(&self.master.unseal(&sealed)?)?;
                    secret.insert("value".to_owned(), value);
                }
                let Some(Value::String(reference)) = secret.remove("reference") else {
                    return Ok(());
                };
                let value = match known.get(&reference) {
                    Some(value) => value.clone(),
                    None => self.find(&reference, at >= last)?,
                };
                secret.insert("value".to_owned(), value.clone().unwrap_or_default());
                known.insert(reference, value);
                Ok(())
            })?;
        }
        Ok(())
    }

    fn find(&self, reference: &str, is_needed: bool) -> Result<Option<Value>> {
        let name = format!("{}{reference}", self.prefix);
        let text = match is_needed {
            true => Some(self.secrets.get(&name)?),
            false => self.secrets.find(&name)?,
        };
        text.map(|text| self.parse(&text)).transpose()
    }

    fn parse(&self, text: &str) -> Result<Value> {
        serde_json::from_str(text).map_err(|error| {
            let message = format!("a secret of stack {} is malformed: {error}", self.stack);
            Error::new(ErrorKind::Damaged, message)
        })
    }
}

fn to_json(event: &RecordedEvent, stack: &str) -> Result<Option<Value>> {
    let Data::Json(text) = &event.event.data else {
        return Ok(None);
    };
    let data: Value = serde_json::from_str(text).map_err(|error| {
        let position = event.position;
        let message = format!("event {position} of stack {stack} is malformed: {error}");
        Error::new(ErrorKind::Damaged, message)
    })?;
    Ok(Some(json!({
        "type": event.event.event_type,
        "time": Timestamp::from_instant(event.recorded_time).to_string(),
        "data": data,
    })))
}

/// Whether an event says which secrets its stack has from then on.
fn names_secrets(event_type: &str, data: &Value) -> bool {
    event_type == ENDED && data["secrets"].is_array()
}

fn references(data: &mut Value, into: &mut HashSet<String>) -> Result<()> {
    each_secret(data, &mut |secret| {
        if let Some(Value::String(reference)) = secret.get("reference") {
            into.insert(reference.clone());
        }
        Ok(())
    })
}

/// Every secret that is in no other one.
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
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::*;

    #[test]
    fn what_was_encrypted_in_an_event_is_still_read() {
        let folder = tempfile::tempdir().unwrap();
        let master = MasterKey::new([7; 32]);
        let vault = Vault {
            stack: "shop/dev".to_owned(),
            prefix: "stack.x.".to_owned(),
            master: master.clone(),
            secrets: Secrets::new(folder.path(), master.clone()),
            taken: Vec::new(),
        };
        let sealed = master.seal("{\"deep\":\"tiger\"}").unwrap();
        let mut events =
            [json!({ "type": "a", "data": [{ SIGNATURE: SECRET, "sealed": sealed }] })];
        vault.reveal(&mut events).unwrap();
        let expected = json!([{ SIGNATURE: SECRET, "value": { "deep": "tiger" } }]);
        assert_eq!(events[0]["data"], expected);
    }
}
