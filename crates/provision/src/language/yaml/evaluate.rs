use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use foretell_types::{Error, Result};

use super::builtin::{Builtin, text_of};
use super::expression::{Expression, Kind};
use super::reference::{Access, Piece, Reference};
use crate::engine::{Call, Deployment, Registered};
use crate::{Properties, Urn, Value};

/// A value, and the resources that it comes from.
#[derive(Clone, Debug, Default)]
pub struct Evaluated {
    pub value: Value,
    pub needs: BTreeSet<Urn>,
}

/// What a name of the program stands for by now.
#[derive(Debug)]
pub enum Known {
    Resource(Registered),
    Value(Evaluated),
    /// Left out, since something that it needs failed.
    Failed,
}

/// Why an expression has no value.
#[derive(Debug)]
pub enum Stop {
    Wrong(Error),
    /// Something that it needs failed, which was told.
    Failed,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Wrong(error)
    }
}

/// All that has been evaluated so far.
#[derive(Default)]
pub struct Names {
    pub known: BTreeMap<String, Known>,
    pub config: BTreeMap<String, Value>,
    pub pulumi: Properties,
}

impl Names {
    /// Evaluates an expression. Functions are called in their order.
    pub async fn evaluate(
        &self,
        expression: &Expression,
        deployment: &Deployment,
    ) -> Result<Evaluated, Stop> {
        let line = expression.line;
        Ok(match &expression.kind {
            Kind::Literal(value) => Evaluated {
                value: value.clone(),
                needs: BTreeSet::new(),
            },
            Kind::Reference(reference) => self.resolve(line, reference, deployment)?,
            Kind::Text(pieces) => self.text(line, pieces, deployment)?,
            Kind::List(items) => {
                let mut all = Vec::with_capacity(items.len());
                let mut needs = BTreeSet::new();
                for item in items {
                    let item = Box::pin(self.evaluate(item, deployment)).await?;
                    all.push(item.value);
                    needs.extend(item.needs);
                }
                Evaluated {
                    value: Value::List(all),
                    needs,
                }
            }
            Kind::Map(entries) => {
                let mut all = Properties::new();
                let mut needs = BTreeSet::new();
                for (key, value) in entries {
                    let value = Box::pin(self.evaluate(value, deployment)).await?;
                    all.insert(key.clone(), value.value);
                    needs.extend(value.needs);
                }
                Evaluated {
                    value: Value::Map(all),
                    needs,
                }
            }
            Kind::Call(builtin, argument) => {
                let argument = Box::pin(self.evaluate(argument, deployment)).await?;
                self.call(line, builtin, argument, deployment).await?
            }
        })
    }

    async fn call(
        &self,
        line: usize,
        builtin: &Builtin,
        argument: Evaluated,
        deployment: &Deployment,
    ) -> Result<Evaluated, Stop> {
        let needs = argument.needs;
        let secret = argument.value.has_secret();
        // A secret may hold what isn't known; a select or an asset of it isn't known either.
        let unknown = argument.value.has_unknown() && !matches!(builtin, Builtin::Secret);
        let value = match builtin {
            _ if unknown => Value::Unknown,
            Builtin::Invoke { .. } => {
                self.invoke(line, builtin, &argument.value, deployment)
                    .await?
            }
            builtin => builtin
                .apply(argument.value.plain(), &deployment.settings().root)
                .map_err(|why| wrong(line, why))?,
        };
        let value = match secret && !value.has_secret() {
            true => Value::secret(value),
            false => value,
        };
        Ok(Evaluated { value, needs })
    }

    async fn invoke(
        &self,
        line: usize,
        builtin: &Builtin,
        args: &Value,
        deployment: &Deployment,
    ) -> Result<Value, Stop> {
        let Builtin::Invoke {
            function,
            wanted,
            provider,
        } = builtin
        else {
            return Ok(Value::Null);
        };
        let args = args.revealed();
        let args = args.as_map().cloned();
        let args =
            args.ok_or_else(|| wrong(line, format!("the arguments of {function} are a map")))?;
        let provider = match provider {
            Some((line, name)) => Some(self.provider(*line, name)?),
            None => None,
        };
        let call = Call {
            token: function.clone(),
            args,
            provider,
        };
        let result = deployment.invoke(call).await;
        let Some(result) =
            result.map_err(|error| Error::invalid(format!("line {line}: {error}")))?
        else {
            return Ok(Value::Unknown);
        };
        match wanted {
            None => Ok(Value::Map(result)),
            Some(name) => result.get(name).cloned().ok_or_else(|| {
                let has = result.keys().cloned().collect::<Vec<_>>().join(", ");
                wrong(
                    line,
                    format!("{function} gives no {name:?}; it gives {has}"),
                )
            }),
        }
    }

    /// The reference by which resources name their provider.
    pub fn provider(&self, line: usize, name: &str) -> Result<String, Stop> {
        let resource = self.resource(line, name)?;
        Ok(format!(
            "{}::{}",
            resource.urn,
            resource.id.as_deref().unwrap_or("")
        ))
    }

    pub fn resource(&self, line: usize, name: &str) -> Result<&Registered, Stop> {
        match self.known.get(name) {
            Some(Known::Resource(resource)) => Ok(resource),
            Some(Known::Failed) => Err(Stop::Failed),
            _ => Err(wrong(
                line,
                format!("{name:?} is no resource of the program"),
            )),
        }
    }

    fn resolve(
        &self,
        line: usize,
        reference: &Reference,
        deployment: &Deployment,
    ) -> Result<Evaluated, Stop> {
        let name = &reference.name;
        if name == "pulumi" {
            let value = Value::Map(self.pulumi.clone());
            let value =
                walk(&value, &reference.path).map_err(|why| wrong(line, format!("pulumi{why}")))?;
            return Ok(Evaluated {
                value,
                needs: BTreeSet::new(),
            });
        }
        match self.known.get(name) {
            Some(Known::Failed) => Err(Stop::Failed),
            Some(Known::Value(evaluated)) => Ok(Evaluated {
                value: walk(&evaluated.value, &reference.path)
                    .map_err(|why| wrong(line, format!("{name}{why}")))?,
                needs: evaluated.needs.clone(),
            }),
            Some(Known::Resource(resource)) => Ok(Evaluated {
                value: of_resource(line, name, resource, &reference.path, deployment)?,
                needs: BTreeSet::from([resource.urn.clone()]),
            }),
            None => {
                let value = self.config.get(name);
                let value =
                    value.ok_or_else(|| wrong(line, format!("{name:?} has no value yet")))?;
                let value = walk(value, &reference.path)
                    .map_err(|why| wrong(line, format!("{name}{why}")))?;
                Ok(Evaluated {
                    value,
                    needs: BTreeSet::new(),
                })
            }
        }
    }

    fn text(
        &self,
        line: usize,
        pieces: &[Piece],
        deployment: &Deployment,
    ) -> Result<Evaluated, Stop> {
        let mut text = String::new();
        let mut needs = BTreeSet::new();
        let (mut secret, mut unknown) = (false, false);
        for piece in pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Reference(reference) => {
                    let got = self.resolve(line, reference, deployment)?;
                    needs.extend(got.needs);
                    secret |= got.value.has_secret();
                    if got.value.is_unknown() {
                        unknown = true;
                        continue;
                    }
                    let piece = text_of(&got.value).ok_or_else(|| {
                        wrong(
                            line,
                            format!(
                                "${{{}…}} is {} and can't be part of a text",
                                reference.name,
                                got.value.kind()
                            ),
                        )
                    })?;
                    text.push_str(&piece);
                }
            }
        }
        let value = match unknown {
            true => Value::Unknown,
            false => Value::String(text),
        };
        Ok(Evaluated {
            value: match secret {
                true => Value::secret(value),
                false => value,
            },
            needs,
        })
    }
}

fn of_resource(
    line: usize,
    name: &str,
    resource: &Registered,
    path: &[Access],
    deployment: &Deployment,
) -> Result<Value, Stop> {
    let preview = deployment.settings().preview;
    let id = || resource.id.clone().map_or(Value::Unknown, Value::from);
    let Some((Access::Name(first), rest)) = path.split_first() else {
        return Ok(Value::Resource(crate::ResourceReference {
            urn: resource.urn.clone(),
            id: Some(resource.id.clone().unwrap_or_default()),
        }));
    };
    match (first.as_str(), resource.outputs.get(first)) {
        ("id", _) => Ok(id()),
        ("urn", _) => Ok(resource.urn.as_str().into()),
        (_, Some(value)) => match walk(value, rest) {
            Err(_) if preview => Ok(Value::Unknown),
            walked => walked.map_err(|why| wrong(line, format!("{name}.{first}{why}"))),
        },
        // Before it is made, only its inputs are known.
        (_, None) if preview => Ok(Value::Unknown),
        (_, None) => {
            let has = resource
                .outputs
                .keys()
                .cloned()
                .collect::<Vec<_>>()
                .join(", ");
            Err(wrong(
                line,
                format!("{name} has no property {first:?}; it has id, urn, {has}"),
            ))
        }
    }
}

/// What is at a path within a value; secret if anything on the way is.
fn walk(value: &Value, path: &[Access]) -> Result<Value, String> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(value.clone());
    };
    let inner = match (value, first) {
        (Value::Unknown, _) => return Ok(Value::Unknown),
        (Value::Secret(inner), _) => return walk(inner, path).map(Value::secret),
        (Value::Map(map), Access::Name(name)) => map.get(name).ok_or_else(|| {
            let has = map.keys().cloned().collect::<Vec<_>>().join(", ");
            format!(" has no {name:?}; it has {has}")
        })?,
        (Value::List(items), Access::Index(at)) => items
            .get(*at)
            .ok_or_else(|| format!(" has {} items, and no item {at}", items.len()))?,
        (other, _) => return Err(format!(" is {}, which has no members", other.kind())),
    };
    walk(inner, rest)
}

fn wrong(line: usize, why: impl std::fmt::Display) -> Stop {
    Stop::Wrong(Error::invalid(format!("line {line}: {why}")))
}

/// What every program may ask for.
pub fn pulumi(deployment: &Deployment, cwd: &Path, root: &Path) -> Properties {
    let settings = deployment.settings();
    let entry = |name: &str, value: &str| (name.to_owned(), Value::from(value));
    Properties::from([
        entry("cwd", &cwd.to_string_lossy()),
        entry("rootDirectory", &root.to_string_lossy()),
        entry("stack", &settings.name.stack),
        entry("project", &settings.name.project),
        entry("organization", &settings.organization),
    ])
}
