//! What Azure has and there is not here: what to use in its place.

use super::schema::failure;
use crate::{CheckFailure, Properties};

const NO_EVENTS: &str =
    "events of Azure's own resources don't arise here: make an eventgrid.Topic, and publish to it";
const NO_DOMAIN: &str = "there are no domains here: make an eventgrid.Topic for each of its topics, or an eventgrid.Namespace with NamespaceTopics";
const NO_SOURCE: &str = "code isn't fetched from a repository here: put the path of its folder or zip into the configuration (`foretell:code: ./function` in Pulumi.yaml), or into the app setting WEBSITE_RUN_FROM_PACKAGE";
const WITH_SCOPE: &str = "make an eventgrid.EventSubscription, with the topic's id as its scope";

const TYPES: [(&str, &str); 11] = [
    ("azure-native:eventgrid:SystemTopic", NO_EVENTS),
    (
        "azure-native:eventgrid:SystemTopicEventSubscription",
        NO_EVENTS,
    ),
    ("azure-native:eventgrid:TopicEventSubscription", WITH_SCOPE),
    ("azure-native:eventgrid:Domain", NO_DOMAIN),
    ("azure-native:eventgrid:DomainTopic", NO_DOMAIN),
    ("azure-native:eventgrid:DomainEventSubscription", NO_DOMAIN),
    (
        "azure-native:eventgrid:DomainTopicEventSubscription",
        NO_DOMAIN,
    ),
    ("azure-native:web:WebAppSourceControl", NO_SOURCE),
    (
        "azure-native:web:WebAppFunction",
        "functions are found in the app's code: give the WebApp its code",
    ),
    (
        "azure-native:storage:Queue",
        "there are no storage queues here: make an eventgrid.NamespaceTopicEventSubscription with deliveryMode Queue, whose events are received",
    ),
    (
        "azure-native:storage:Table",
        "there are no storage tables here: write blobs",
    ),
];

/// Inputs that many look for and that there aren't in azure-native either.
const INPUTS: [(&str, &str, &str); 3] = [
    ("azure-native:web:WebApp", "sourceControl", NO_SOURCE),
    ("azure-native:web:WebApp", "source_control", NO_SOURCE),
    (
        "azure-native:web:WebApp",
        "appSettings",
        "settings stand in siteConfig: siteConfig.appSettings, a list of {name, value}",
    ),
];

/// The types that are known, and refused with a reason.
pub fn tokens() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|(token, _)| *token)
}

pub fn reason(token: &str) -> Option<&'static str> {
    let found = TYPES.iter().find(|(of, _)| *of == token);
    found.map(|(_, reason)| *reason)
}

pub fn check(token: &str, inputs: &Properties, failures: &mut Vec<CheckFailure>) {
    for (_, name, reason) in INPUTS.iter().filter(|(of, ..)| *of == token) {
        if inputs.contains_key(*name) {
            failures.push(failure(name, *reason));
        }
    }
}
