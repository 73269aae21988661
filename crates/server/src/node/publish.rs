use foretell_log::{Append, Appended};
use foretell_protocol::{Credentials, Fill, TopicSchema, check_admin, check_topic, read_events};
use foretell_types::{
    AppendCondition, Error, ErrorKind, ExpectedRevision, Instant, NewEvent, Result, is_system_topic,
};
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
    /// The revision that a stream is expected at.
    pub expected: Option<(String, ExpectedRevision)>,
    pub conditions: Vec<AppendCondition>,
}

impl Node {
    /// Publishing needs one of the topic's keys, a signature by one, or the admin key.
    pub fn check_publisher(&self, topic: &TopicEntry, credentials: &Credentials) -> Result<()> {
        if check_admin(credentials, &self.admin).is_ok() {
            return Ok(());
        }
        let [one, two] = &topic.keys;
        let path = format!("/topics/{}", topic.config.name);
        check_topic(credentials, [one, two], &path, self.now())
    }

    /// Reading and administration need the admin key.
    pub fn check_admin(&self, credentials: &Credentials) -> Result<()> {
        check_admin(credentials, &self.admin)
    }

    /// Reads events from a request's body by the topic's input schema.
    pub fn read_events(
        &self,
        topic: &TopicEntry,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Vec<NewEvent>> {
        let definition = &topic.config.definition;
        let schema = TopicSchema {
            resource_id: &topic.resource_id,
            schema: definition.input_schema,
            mapping: definition.mapping.as_ref(),
        };
        read_events(headers, body, &schema, &mut Filler(self))
    }

    /// Appends events; returns when they are durable.
    pub async fn append(
        &self,
        topic: &str,
        events: Vec<NewEvent>,
        conditions: Conditions,
    ) -> Result<Appended> {
        if is_system_topic(topic) {
            return Err(Error::new(
                ErrorKind::Forbidden,
                format!("topic {topic:?} is the product's own: it can't be published to"),
            ));
        }
        let (count, bytes) = (
            events.len() as u64,
            events.iter().map(|event| event.data.len() as u64).sum(),
        );
        if events.is_empty() {
            return Ok(Appended { events: Vec::new() });
        }
        let mut append = Append::new().events(topic, events);
        if let Some((subject, expected)) = conditions.expected {
            append = append.expect(topic, &subject, expected);
        }
        for condition in conditions.conditions {
            append = append.condition(topic, condition);
        }
        let appended = self.log.append(append)?.await?;
        Counters::add(&self.counters.publish_requests, 1);
        Counters::add(&self.counters.published_events, count);
        Counters::add(&self.counters.published_bytes, bytes);
        Ok(appended)
    }
}
