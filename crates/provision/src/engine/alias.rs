//! The other names that a resource may have in the stack.

use super::goal::{Alias, AliasParent, Goal};
use crate::Urn;

/// All names that a resource may have had, best first: those that its aliases say, also below
/// the names that its parent may have had.
pub fn aliases(urn: &Urn, goal: &Goal, of_parent: &[Urn]) -> Vec<Urn> {
    let mut all: Vec<Urn> = Vec::new();
    let mut add = |alias: Urn| {
        if alias != *urn && !all.contains(&alias) {
            all.push(alias);
        }
    };
    for alias in &goal.options.aliases {
        add(resolve(urn, goal, alias, goal.parent.as_ref()));
    }
    let parent_name = goal.parent.as_ref().map_or("", |parent| parent.name());
    for former in of_parent {
        // A child that bears its parent's name in front is renamed with it.
        let name = match goal.name.strip_prefix(parent_name) {
            Some(rest) if !parent_name.is_empty() => format!("{}{rest}", former.name()),
            _ => goal.name.clone(),
        };
        add(Urn::new(
            former.stack(),
            former.project(),
            Some(former),
            &goal.token,
            &name,
        ));
        if name != goal.name {
            add(Urn::new(
                former.stack(),
                former.project(),
                Some(former),
                &goal.token,
                &goal.name,
            ));
        }
        for alias in &goal.options.aliases {
            add(resolve(urn, goal, alias, Some(former)));
        }
    }
    all
}

fn resolve(urn: &Urn, goal: &Goal, alias: &Alias, same_parent: Option<&Urn>) -> Urn {
    match alias {
        Alias::Urn(urn) => urn.clone(),
        Alias::Spec {
            name,
            token,
            stack,
            project,
            parent,
        } => {
            let parent = match parent {
                AliasParent::Same => same_parent,
                AliasParent::None => None,
                AliasParent::Urn(urn) => Some(urn),
            };
            Urn::new(
                stack.as_deref().unwrap_or(urn.stack()),
                project.as_deref().unwrap_or(urn.project()),
                parent,
                token.as_deref().unwrap_or(&goal.token),
                name.as_deref().unwrap_or(&goal.name),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(parent: Option<&Urn>, aliases_of: Vec<Alias>, of_parent: &[Urn]) -> Vec<String> {
        let mut goal = Goal {
            token: "a:b:C".to_owned(),
            name: "shop-db".to_owned(),
            parent: parent.cloned(),
            ..Goal::default()
        };
        goal.options.aliases = aliases_of;
        let urn = Urn::new("dev", "p", parent, "a:b:C", "shop-db");
        let all = aliases(&urn, &goal, of_parent);
        all.iter().map(ToString::to_string).collect()
    }

    fn spec(name: Option<&str>, parent: AliasParent) -> Alias {
        Alias::Spec {
            name: name.map(str::to_owned),
            token: None,
            stack: None,
            project: None,
            parent,
        }
    }

    #[test]
    fn a_spec_says_what_differs() {
        let parent = Urn::new("dev", "p", None, "my:x:Part", "shop");
        let got = names(
            Some(&parent),
            vec![spec(Some("old"), AliasParent::Same)],
            &[],
        );
        assert_eq!(got, ["urn:pulumi:dev::p::my:x:Part$a:b:C::old"]);
        let got = names(Some(&parent), vec![spec(None, AliasParent::None)], &[]);
        assert_eq!(got, ["urn:pulumi:dev::p::a:b:C::shop-db"]);
    }

    #[test]
    fn a_child_had_its_parents_former_name() {
        let parent = Urn::new("dev", "p", None, "my:x:Part", "shop");
        let former = Urn::new("dev", "p", None, "my:x:Part", "store");
        let got = names(Some(&parent), vec![], &[former]);
        // Below the same types, its own name is what it has now.
        assert_eq!(got, ["urn:pulumi:dev::p::my:x:Part$a:b:C::store-db"]);
    }
}
