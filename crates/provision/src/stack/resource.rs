use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Properties, Urn, Value};

/// A resource of a stack, as the stack keeps it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceState {
    pub urn: Urn,
    /// Made by a provider; a component otherwise.
    pub custom: bool,
    /// None for components, and while it is being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// As the provider checked and completed them.
    #[serde(default)]
    pub inputs: Properties,
    #[serde(default)]
    pub outputs: Properties,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Urn>,
    /// The explicit provider: `URN::ID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Urn>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub property_dependencies: BTreeMap<String, Vec<Urn>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_with: Option<Urn>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub protect: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub retain_on_delete: bool,
    /// Read, not made: never changed, never deleted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub external: bool,
    /// A step on it failed or was cut off: the next run changes it to what the program says.
    #[serde(default, skip_serializing_if = "is_false")]
    pub incomplete: bool,
    /// How long deleting it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement_trigger: Option<Value>,
}

fn is_false(yes: &bool) -> bool {
    !yes
}

impl ResourceState {
    /// The type, without an API version.
    pub fn token(&self) -> String {
        crate::unversioned(self.urn.token())
    }

    /// The URN of its explicit provider.
    pub fn provider_urn(&self) -> Option<Urn> {
        let (urn, _) = self.provider.as_deref()?.rsplit_once("::")?;
        Urn::parse(urn).ok()
    }

    /// Whatever must be there before it and may go only after it.
    pub fn needs(&self) -> impl Iterator<Item = Urn> {
        let of_properties = self.property_dependencies.values().flatten();
        let mut needs: Vec<Urn> = self
            .dependencies
            .iter()
            .chain(of_properties)
            .cloned()
            .collect();
        needs.extend(self.parent.clone());
        needs.extend(self.provider_urn());
        needs.extend(self.deleted_with.clone());
        needs.into_iter()
    }

    /// Has every URN in it go by another name.
    pub fn rename(&mut self, to: &impl Fn(&Urn) -> Option<Urn>) {
        let apply = |urn: &mut Urn| {
            if let Some(new) = to(urn) {
                *urn = new;
            }
        };
        apply(&mut self.urn);
        self.parent.iter_mut().for_each(apply);
        self.deleted_with.iter_mut().for_each(apply);
        self.dependencies.iter_mut().for_each(apply);
        self.property_dependencies
            .values_mut()
            .flatten()
            .for_each(apply);
        if let Some(provider) = &mut self.provider
            && let Some((urn, id)) = provider.rsplit_once("::")
            && let Some(new) = Urn::parse(urn).ok().and_then(|urn| to(&urn))
        {
            *provider = format!("{new}::{id}");
        }
    }
}
