//! What a program's messages say, in the engine's words.

use std::collections::BTreeMap;
use std::time::Duration;

use foretell_types::{Error, Result};

use crate::engine::{Alias, AliasParent, Call, Goal, Options, ReadGoal, Timeouts};
use crate::proto::{self, alias};
use crate::{Urn, wire};

pub fn goal(request: proto::RegisterResourceRequest) -> Result<Goal> {
    refuse(&request)?;
    let mut aliases = request
        .aliases
        .into_iter()
        .filter_map(|alias| alias.alias)
        .map(alias_of)
        .collect::<Result<Vec<_>>>()?;
    for urn in &request.alias_ur_ns {
        aliases.push(Alias::Urn(Urn::parse(urn)?));
    }
    let timeouts = request.custom_timeouts.unwrap_or_default();
    let mut property_dependencies = BTreeMap::new();
    for (name, of) in request.property_dependencies {
        property_dependencies.insert(name, urns(&of.urns)?);
    }
    let defined = request.delete_before_replace_defined || request.delete_before_replace;
    let trigger = request.replacement_trigger.map(wire::from_value);
    Ok(Goal {
        token: request.r#type,
        name: request.name,
        parent: optional(&request.parent)?,
        custom: request.custom,
        inputs: wire::from_struct(request.object)?,
        dependencies: urns(&request.dependencies)?,
        property_dependencies,
        options: Options {
            protect: request.protect.unwrap_or(false),
            provider: Some(request.provider).filter(|provider| !provider.is_empty()),
            delete_before_replace: defined.then_some(request.delete_before_replace),
            ignore_changes: request.ignore_changes,
            replace_on_changes: request.replace_on_changes,
            additional_secret_outputs: request.additional_secret_outputs,
            aliases,
            import: Some(request.import_id).filter(|id| !id.is_empty()),
            timeouts: Timeouts {
                create: duration(&timeouts.create)?,
                update: duration(&timeouts.update)?,
                delete: duration(&timeouts.delete)?,
            },
            retain_on_delete: request.retain_on_delete.unwrap_or(false),
            deleted_with: optional(&request.deleted_with)?,
            replace_with: urns(&request.replace_with)?,
            replacement_trigger: trigger.transpose()?.filter(|trigger| !trigger.is_null()),
        },
    })
}

/// What can't be done, in words.
fn refuse(request: &proto::RegisterResourceRequest) -> Result<()> {
    let name = &request.name;
    if request.remote {
        return Err(Error::invalid(format!(
            "{name:?} ({}) is a component that a plugin makes, which isn't supported: use one that is written in the program's own language",
            request.r#type
        )));
    }
    if !request.transforms.is_empty() {
        return Err(Error::invalid(format!(
            "{name:?} has transforms, which aren't supported: change its arguments in the program"
        )));
    }
    if !request.package_ref.is_empty() {
        return Err(Error::invalid(format!(
            "{name:?} is of a parameterized package, which isn't supported"
        )));
    }
    let hooks = request.hooks.clone().unwrap_or_default();
    let hooked = [
        &hooks.before_create,
        &hooks.after_create,
        &hooks.before_update,
        &hooks.after_update,
        &hooks.before_delete,
        &hooks.after_delete,
        &hooks.on_error,
    ];
    if hooked.iter().any(|hooks| !hooks.is_empty()) {
        return Err(Error::invalid(format!(
            "{name:?} has hooks, which aren't supported"
        )));
    }
    Ok(())
}

fn alias_of(alias: alias::Alias) -> Result<Alias> {
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(match alias {
        alias::Alias::Urn(urn) => Alias::Urn(Urn::parse(&urn)?),
        alias::Alias::Spec(spec) => Alias::Spec {
            name: text(spec.name),
            token: text(spec.r#type),
            stack: text(spec.stack),
            project: text(spec.project),
            parent: match spec.parent {
                Some(alias::spec::Parent::ParentUrn(urn)) if !urn.is_empty() => {
                    AliasParent::Urn(Urn::parse(&urn)?)
                }
                Some(alias::spec::Parent::NoParent(true)) => AliasParent::None,
                _ => AliasParent::Same,
            },
        },
    })
}

pub fn read_goal(request: proto::ReadResourceRequest) -> Result<ReadGoal> {
    let id = Some(request.id).filter(|id| !id.is_empty() && id != wire::UNKNOWN);
    Ok(ReadGoal {
        token: request.r#type,
        name: request.name,
        parent: optional(&request.parent)?,
        id,
        inputs: wire::from_struct(request.properties)?,
        dependencies: urns(&request.dependencies)?,
        provider: Some(request.provider).filter(|provider| !provider.is_empty()),
        additional_secret_outputs: request.additional_secret_outputs,
    })
}

pub fn call(request: proto::ResourceInvokeRequest) -> Result<Call> {
    Ok(Call {
        token: request.tok,
        args: wire::from_struct(request.args)?,
        provider: Some(request.provider).filter(|provider| !provider.is_empty()),
    })
}

fn optional(urn: &str) -> Result<Option<Urn>> {
    match urn {
        "" => Ok(None),
        urn => Urn::parse(urn).map(Some),
    }
}

fn urns(texts: &[String]) -> Result<Vec<Urn>> {
    let mut urns: Vec<Urn> = texts
        .iter()
        .map(|text| Urn::parse(text))
        .collect::<Result<_>>()?;
    // Programs give them in any order, and an order is no change.
    urns.sort();
    urns.dedup();
    Ok(urns)
}

/// A duration as Pulumi writes it: `5m`, `1h30m`, `1.5s`, `300ms`.
pub fn duration(text: &str) -> Result<Option<Duration>> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || {
        Error::invalid(format!(
            "{text:?} is not a duration: expected one like 30s, 5m or 1h30m"
        ))
    };
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        seconds += number
            * match &rest[..end] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return Err(wrong()),
            };
        rest = &rest[end..];
    }
    Duration::try_from_secs_f64(seconds)
        .map(Some)
        .map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text, ms| {
            assert_eq!(
                duration(text).unwrap(),
                Some(Duration::from_millis(ms)),
                "{text}"
            );
        };
        check("5m", 300_000);
        check("1h30m", 5_400_000);
        check("1.5s", 1_500);
        check("300ms", 300);
        for text in ["5", "m", "5x", "-5m", "5m3", "1e99h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
