//! Which resource goes before which.

use std::collections::{BTreeMap, BTreeSet};

use super::ResourceState;
use crate::Urn;

/// The resources, each after all that it needs. A circle, which no program makes, is broken at
/// its first name.
pub fn ordered(resources: &BTreeMap<Urn, ResourceState>) -> Vec<Urn> {
    let mut done = BTreeSet::new();
    let mut order = Vec::with_capacity(resources.len());
    for urn in resources.keys() {
        // A stack of its own, since chains can be long.
        let mut path = vec![(urn.clone(), false)];
        while let Some((urn, after_needs)) = path.pop() {
            if after_needs {
                order.push(urn);
                continue;
            }
            if !done.insert(urn.clone()) {
                continue;
            }
            let Some(resource) = resources.get(&urn) else {
                continue;
            };
            path.push((urn, true));
            path.extend(
                resource
                    .needs()
                    .filter(|need| resources.contains_key(need))
                    .map(|need| (need, false)),
            );
        }
    }
    order
}

/// All that depends on a resource by way of a property or in so many words, directly.
pub fn dependents<'a>(
    resources: &'a BTreeMap<Urn, ResourceState>,
    urn: &Urn,
) -> Vec<&'a ResourceState> {
    resources
        .values()
        .filter(|resource| resource.needs().any(|need| need == *urn))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(name: &str, needs: &[&str]) -> (Urn, ResourceState) {
        let urn = |name: &str| Urn::new("dev", "p", None, "a:b:C", name);
        let state: ResourceState = serde_json::from_value(serde_json::json!({
            "urn": urn(name), "custom": true,
            "dependencies": needs.iter().map(|name| urn(name)).collect::<Vec<_>>()
        }))
        .unwrap();
        (urn(name), state)
    }

    #[test]
    fn each_comes_after_what_it_needs() {
        let resources = BTreeMap::from([
            resource("a", &["c", "d"]),
            resource("b", &[]),
            resource("c", &["d", "gone"]),
            resource("d", &["e"]),
            resource("e", &[]),
        ]);
        let order = ordered(&resources);
        let names: Vec<_> = order.iter().map(Urn::name).collect();
        assert_eq!(names, ["e", "d", "c", "a", "b"]);
    }

    #[test]
    fn a_circle_ends() {
        let resources = BTreeMap::from([resource("a", &["b"]), resource("b", &["a"])]);
        assert_eq!(ordered(&resources).len(), 2);
    }
}
