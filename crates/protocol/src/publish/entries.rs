use foretell_types::JsonMembers;
use serde_json::value::RawValue;

/// The properties of a JSON object, unparsed, in their order.
#[derive(Debug)]
pub(super) struct Entries<'a>(JsonMembers<'a>);

impl<'a> Entries<'a> {
    pub fn of(object: &'a RawValue) -> serde_json::Result<Entries<'a>> {
        serde_json::from_str(object.get()).map(Entries)
    }

    /// The value at a path of property names separated by dots; `None` if it is absent or null.
    pub fn at(&self, path: &str) -> Option<&'a RawValue> {
        let (name, rest) = match path.split_once('.') {
            Some((name, rest)) => (name, Some(rest)),
            None => (path, None),
        };
        let value = self.0.0.iter().find(|(key, _)| key == name)?.1;
        match rest {
            Some(rest) => Entries::of(value).ok()?.at(rest),
            None => Some(value).filter(|value| value.get() != "null"),
        }
    }
}
