use std::borrow::Cow;
use std::collections::BTreeMap;

use foretell_types::{Data, Error, ErrorKind, Instant, Position, RecordedEvent, Result};
use serde_json::value::RawValue;

use crate::Projection;
use crate::patch::{Patch, parse};

/// An event type with this ending clears the state.
pub(crate) const DELETED: &str = ".deleted";

/// The projection that needs no definition: each event's JSON data is applied as a JSON Merge
/// Patch (RFC 7396), from null; an event type that ends in `.deleted` clears to null; data that
/// isn't JSON leaves the state as it is.
///
/// Every value bears the (event time, position) of the event that wrote it, and the latest wins;
/// so the order in which events come doesn't matter. Memory is that of the state and of the keys
/// that were ever removed from it.
#[derive(Clone, Default, Debug)]
pub struct Merge {
    root: Node,
}

/// Where an event stands in the fold.
type Stamp = (Instant, Position);

/// What was written at one place of the state.
///
/// Invariant: `patched` is at least every stamp among the members, since what patches a member
/// patches the object that holds it.
#[derive(Clone, Default, Debug)]
struct Node {
    /// The last event that put something other than an object here, or removed what was here.
    replaced: Option<Stamp>,
    /// What it put here; `None` if it removed.
    leaf: Option<Box<str>>,
    /// The last event whose patch has an object here.
    patched: Option<Stamp>,
    members: BTreeMap<Box<str>, Node>,
}

impl Projection for Merge {
    fn fold(&mut self, event: &RecordedEvent) -> Result<()> {
        let stamp = (event.event_time(), event.position);
        if event.event_type.ends_with(DELETED) {
            self.root.replace(stamp, None);
            return Ok(());
        }
        let Data::Json(text) = &event.data else {
            return Ok(());
        };
        let patch = parse(text).ok_or_else(|| {
            Error::new(
                ErrorKind::Damaged,
                format!(
                    "the data of the event at position {} is not JSON",
                    event.position
                ),
            )
        })?;
        match patch {
            // At the root there is nothing to remove null from.
            Patch::Leaf(text) => self.root.replace(stamp, Some(text)),
            Patch::Object(members) => self.root.patch(stamp, members),
        }
        Ok(())
    }

    fn state(&self) -> Result<Box<RawValue>> {
        let mut out = String::new();
        if self.root.is_there(None) {
            self.root.write(&mut out, None);
        } else {
            out.push_str("null");
        }
        RawValue::from_string(out).map_err(|error| {
            Error::new(ErrorKind::Damaged, "the state is not JSON").with_source(error)
        })
    }
}

impl Node {
    fn replace(&mut self, stamp: Stamp, leaf: Option<&str>) {
        if self.replaced > Some(stamp) {
            return;
        }
        self.replaced = Some(stamp);
        self.leaf = leaf.map(Into::into);
        if self.patched < Some(stamp) {
            self.members.clear();
        }
    }

    fn patch(&mut self, stamp: Stamp, members: BTreeMap<Cow<'_, str>, Patch<'_>>) {
        if self.replaced > Some(stamp) {
            return;
        }
        self.patched = self.patched.max(Some(stamp));
        for (key, patch) in members {
            let node = match self.members.get_mut(&*key) {
                Some(node) => node,
                None => self.members.entry(key.as_ref().into()).or_default(),
            };
            match patch {
                Patch::Leaf("null") => node.replace(stamp, None),
                Patch::Leaf(text) => node.replace(stamp, Some(text)),
                Patch::Object(members) => node.patch(stamp, members),
            }
        }
    }

    /// Whether anything is here, if what holds it was last replaced at `above`.
    fn is_there(&self, above: Option<Stamp>) -> bool {
        self.is_object(above) || (self.leaf.is_some() && self.replaced > above)
    }

    fn is_object(&self, above: Option<Stamp>) -> bool {
        self.patched > self.replaced.max(above)
    }

    fn write(&self, out: &mut String, above: Option<Stamp>) {
        if !self.is_object(above) {
            out.push_str(self.leaf.as_deref().unwrap_or("null"));
            return;
        }
        let replaced = self.replaced.max(above);
        out.push('{');
        let there = self
            .members
            .iter()
            .filter(|(_, node)| node.is_there(replaced));
        for (index, (key, node)) in there.enumerate() {
            out.push_str(if index == 0 { "\"" } else { ",\"" });
            out.push_str(key);
            out.push_str("\":");
            node.write(out, replaced);
        }
        out.push('}');
    }
}
