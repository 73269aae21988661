use foretell_log::{Append, Appended};
use foretell_protocol::{Fill, InputSchema, RequestLimits, TopicSchema, read_events_within};
use foretell_types::{AppendCondition, Error, ExpectedRevision, Instant, NewEvent, Result};
use http::HeaderMap;

use super::{Counters, Node, TopicEntry};

/// Generated values of a request, from the node's environment.
struct Filler<'a>(&'a Node);

impl Fill for Filler<'_> {
    fn id(&mut self) -> String {
        self.0.new_id().to_string()
    }

    fn now(&mut self) -> Instant {
        self.0.now()
    }
}

/// What an append asks for besides its events.
#[derive(Debug, Default)]
pub struct Conditions {
    /// The revisions that streams are expected at, also such that aren't written.
    pub expected: Vec<(String, ExpectedRevision)>,
    pub conditions: Vec<AppendCondition>,
}

impl Node {
    /// How much a publish request may carry.
    pub fn request_limits(&self) -> RequestLimits {
        self.options.application.request_limits()
    }

    /// Reads events from a request's body by the topic's input schema.
    pub fn read_events(
        &self,
        topic: &TopicEntry,
        headers: &HeaderMap,
        body: &[u8],
        limits: RequestLimits,
    ) -> Result<Vec<NewEvent>> {
        let definition = &topic.config.definition;
        let schema = TopicSchema {
            resource_id: &topic.resource_id,
            schema: definition.input_schema,
            mapping: definition.mapping.as_ref(),
        };
        read_events_within(headers, body, &schema, &mut Filler(self), limits)
    }

    /// Reads CloudEvents from the body of a request to a namespace's topic.
    pub fn read_cloudevents(
        &self,
        topic: &TopicEntry,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Vec<NewEvent>> {
        let takes = topic.config.definition.input_schema;
        if !matches!(takes, InputSchema::Any | InputSchema::CloudEvents) {
            return Err(Error::invalid(format!(
                "topic {:?} takes {}: publish to /topics/{}/api/events",
                topic.config.name,
                takes.arm(),
                topic.config.name
            )));
        }
        let schema = TopicSchema {
            resource_id: &topic.resource_id,
            schema: InputSchema::CloudEvents,
            mapping: None,
        };
        let limits = RequestLimits {
            events: RequestLimits::NAMESPACE.events,
            ..self.request_limits()
        };
        read_events_within(headers, body, &schema, &mut Filler(self), limits)
    }

    /// Appends events; returns when they are durable.
    pub async fn append(
        &self,
        topic: &str,
        events: Vec<NewEvent>,
        conditions: Conditions,
    ) -> Result<Appended> {
        let (count, bytes) = (
            events.len() as u64,
            events.iter().map(|event| event.data.len() as u64).sum(),
        );
        if events.is_empty() {
            if !conditions.expected.is_empty() || !conditions.conditions.is_empty() {
                return Err(Error::invalid(
                    "a condition is given and no event: there is nothing to append",
                ));
            }
            return Ok(Appended { events: Vec::new() });
        }
        let entry = self.topic(topic)?;
        let size = |events: &[NewEvent]| events.iter().map(NewEvent::bytes).sum();
        if !entry.config.definition.quota.is_none() {
            let taken = self
                .quotas
                .take(&entry, events.len(), size(&events), self.now());
            taken.inspect_err(|_| Counters::add(&self.counters.over_quota_requests, 1))?;
        }
        let mut append = Append::new().events(topic, events);
        for (subject, expected) in conditions.expected {
            append = append.expect(topic, &subject, expected);
        }
        for condition in conditions.conditions {
            append = append.condition(topic, condition);
        }
        let began = self.now();
        let appending = async { self.log.append(append)?.await };
        let appended = self
            .telemetry
            .append(topic, count as usize, appending)
            .await?;
        let took = self.now().as_nanos().saturating_sub(began.as_nanos());
        self.counters.append.observe_nanos(took);
        Counters::add(&self.counters.publish_requests, 1);
        Counters::add(&self.counters.published_events, count);
        Counters::add(&self.counters.published_bytes, bytes);
        Ok(appended)
    }
}
