//! A function's bindings, parsed once when the app is loaded.

use std::collections::HashMap;

use foretell_types::{Error, Result, TopicName};
use serde_json::Value;

use crate::expression::Template;
use crate::settings::Settings;
use crate::wire::Described;
use crate::{FunctionInfo, FunctionStatus};

const TRIGGER: &str = "eventGridTrigger";

/// How one function is invoked.
#[derive(Debug)]
pub(crate) struct Plan {
    pub info: FunctionInfo,
    /// The event is given in the CloudEvents form.
    pub cloud_event: bool,
    /// In the order that the worker expects them in.
    pub inputs: Vec<Source>,
    /// By the name of the parameter, or `$return`.
    pub outputs: HashMap<String, Target>,
}

/// Where an input comes from.
#[derive(Debug)]
pub(crate) enum Source {
    Event,
    Blob(BlobPath),
}

/// Where a blob is: the account that the binding's connection names, and the path.
#[derive(Debug)]
pub(crate) struct BlobPath {
    pub account: Option<String>,
    pub path: Template,
}

/// Where an output goes.
#[derive(Debug)]
pub(crate) enum Target {
    Blob(BlobPath),
    Topic(String),
}

impl Plan {
    /// A function that can't be run gets a plan, too: its status says why.
    pub(crate) fn new(app: &str, function: Described, settings: &Settings) -> Plan {
        let text = |value: &Value, name| value[name].as_str().unwrap_or_default().to_owned();
        let trigger = text(&function.trigger, "type");
        let mut plan = Plan {
            info: FunctionInfo {
                app: app.to_owned(),
                name: function.name,
                trigger,
                bindings: function.bindings,
                script: function.script,
                is_async: function.is_async,
                status: FunctionStatus::Ready,
            },
            cloud_event: function.cloud_event,
            inputs: Vec::new(),
            outputs: HashMap::new(),
        };
        let bound = match function.error {
            Some(error) => Err(Error::invalid(error)),
            None => plan.bind(&text(&function.trigger, "name"), settings),
        };
        if let Err(error) = bound {
            plan.info.status = FunctionStatus::Failed {
                reason: error.message().to_owned(),
            };
        }
        plan
    }

    /// Why the function can't be invoked, if it can't.
    pub(crate) fn failed(&self) -> Option<&str> {
        match &self.info.status {
            FunctionStatus::Ready => None,
            FunctionStatus::Failed { reason } => Some(reason),
        }
    }

    fn bind(&mut self, trigger_name: &str, settings: &Settings) -> Result<()> {
        if !self.info.trigger.eq_ignore_ascii_case(TRIGGER) {
            return Err(Error::invalid(format!(
                "its trigger is of type {:?}: functions with an {TRIGGER} can be invoked",
                self.info.trigger
            )));
        }
        for binding in &self.info.bindings {
            let text = |key: &str| binding[key].as_str().unwrap_or_default();
            let (name, kind, out) = (
                text("name"),
                text("type").to_ascii_lowercase(),
                text("direction").eq_ignore_ascii_case("out"),
            );
            let at = |error: Error| error.context(format_args!("binding {name:?}"));
            let path = || -> Result<BlobPath> {
                let path = Template::parse(text("path"), |key| settings.get(key)).map_err(at)?;
                let account = settings.account(text("connection"));
                Ok(BlobPath { account, path })
            };
            match (kind.as_str(), out) {
                _ if name == trigger_name && !out => self.inputs.push(Source::Event),
                ("blob", false) => self.inputs.push(Source::Blob(path()?)),
                ("blob", true) => {
                    self.outputs.insert(name.to_owned(), Target::Blob(path()?));
                }
                ("eventgrid", true) => {
                    let topic = topic(binding, settings).map_err(at)?;
                    self.outputs.insert(name.to_owned(), Target::Topic(topic));
                }
                _ => {
                    let direction = if out { "output" } else { "input" };
                    return Err(Error::invalid(format!(
                        "binding {name:?}: an {direction} of type {:?} is not supported",
                        text("type")
                    )));
                }
            }
        }
        Ok(())
    }
}

/// The topic that an `event_grid_output` names, by way of an app setting that holds its endpoint.
fn topic(binding: &Value, settings: &Settings) -> Result<String> {
    let setting = match (
        binding["topicEndpointUri"].as_str(),
        binding["connection"].as_str(),
    ) {
        (Some(setting), _) => setting.trim_matches('%').to_owned(),
        (None, Some(connection)) => format!("{connection}__topicEndpointUri"),
        (None, None) => return Err(Error::invalid("it names no topicEndpointUri")),
    };
    let endpoint = settings.get(&setting).ok_or_else(|| {
        Error::invalid(format!(
            "the app setting {setting:?} is not set: give it the endpoint of a topic, \
             http://HOST/topics/NAME/api/events"
        ))
    })?;
    topic_of(&endpoint).ok_or_else(|| {
        Error::invalid(format!(
            "the app setting {setting:?} is {endpoint:?}: expected the endpoint of a topic here, \
             http://HOST/topics/NAME/api/events"
        ))
    })
}

fn topic_of(endpoint: &str) -> Option<String> {
    let path = endpoint.split(['?', '#']).next()?.trim_end_matches('/');
    let mut parts = path.rsplit('/');
    let mut is = |name| {
        parts
            .next()
            .is_some_and(|part| part.eq_ignore_ascii_case(name))
    };
    if !is("events") || !is("api") {
        return None;
    }
    let name = parts.next()?;
    parts
        .next()
        .filter(|part| part.eq_ignore_ascii_case("topics"))?;
    name.parse::<TopicName>().ok().map(|name| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_name_their_topic() {
        for (endpoint, topic) in [
            ("http://localhost:4077/topics/shop/api/events", Some("shop")),
            (
                "https://host/prefix/Topics/shop-2/API/events/?api-version=1",
                Some("shop-2"),
            ),
            (
                "https://shop.westeurope-1.eventgrid.azure.net/api/events",
                None,
            ),
            ("http://localhost/topics/a b/api/events", None),
            ("http://localhost/topics//api/events", None),
            ("shop", None),
            ("", None),
        ] {
            assert_eq!(topic_of(endpoint).as_deref(), topic, "{endpoint}");
        }
    }
}
