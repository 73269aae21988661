//! Every limit of Foretell, by name. `foretell limits` prints this file's table.
//!
//! Those marked *service* are the limits of Azure Event Grid; ours equal them unless configured.

/// A named limit: what it bounds, its value and unit.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Limit {
    pub name: &'static str,
    pub value: u64,
    pub unit: &'static str,
    pub about: &'static str,
}

macro_rules! limits {
    ($($(#[doc = $about:literal])+ $name:ident = $value:expr, $unit:literal;)*) => {
        $($(#[doc = $about])+ pub const $name: usize = $value;)*

        /// All limits, in the order of this file.
        pub const ALL: &[Limit] = &[
            $(Limit {
                name: stringify!($name),
                value: $name as u64,
                unit: $unit,
                about: concat!($($about),+),
            },)*
        ];
    };
}

limits! {
    /// The body of one publish request (service).
    PUBLISH_BODY_BYTES = 1024 * 1024, "bytes";
    /// Events in one publish request (service).
    PUBLISH_EVENTS = 5_000, "events";
    /// One event as JSON (service).
    EVENT_BYTES = 1024 * 1024, "bytes";
    /// The body of a request to the store API: append, import.
    STORE_BODY_BYTES = 8 * 1024 * 1024, "bytes";
    /// The value of one context attribute or extension of an event.
    ATTRIBUTE_BYTES = 4_096, "bytes";
    /// The name of an extension attribute.
    EXTENSION_NAME_BYTES = 64, "bytes";
    /// Extension attributes of one event.
    EXTENSIONS = 64, "attributes";
    /// Tags of one event.
    TAGS_PER_EVENT = 32, "tags";
    /// Nesting of objects and arrays in JSON data.
    JSON_DEPTH = 100, "levels";
    /// The shortest topic or subscription name (service).
    NAME_MIN_CHARS = 3, "characters";
    /// The longest topic name (service).
    TOPIC_NAME_CHARS = 50, "characters";
    /// The longest subscription name (service).
    SUBSCRIPTION_NAME_CHARS = 64, "characters";
    /// Topics of one data directory, deleted ones included.
    TOPICS = 10_000, "topics";
    /// Subscriptions of one topic (service).
    SUBSCRIPTIONS_PER_TOPIC = 500, "subscriptions";
    /// Advanced filters of one subscription (service).
    ADVANCED_FILTERS = 25, "filters";
    /// Values of all advanced filters of one subscription; a range counts once (service).
    ADVANCED_FILTER_VALUES = 25, "values";
    /// A key or a string of an advanced filter (service).
    ADVANCED_FILTER_CHARS = 512, "characters";
    /// Events of one commit.
    COMMIT_EVENTS = 100_000, "events";
    /// One commit as encoded in the journal.
    COMMIT_BYTES = 32 * 1024 * 1024, "bytes";
    /// One group (the commits of one durable write) as encoded in the journal.
    GROUP_BYTES = 48 * 1024 * 1024, "bytes";
    /// A segment file, unless one group alone is larger.
    SEGMENT_BYTES = 32 * 1024 * 1024, "bytes";
    /// The least that a segment, or the cache of the log, can be set to.
    LOG_BYTES_LEAST = 64 * 1024, "bytes";
    /// The most that they can be set to.
    LOG_BYTES_MOST = 1024 * 1024 * 1024, "bytes";
    /// Segments that wait to be sealed before appending waits for that: they are indexed in memory.
    UNSEALED_SEGMENTS = 5, "segments";
    /// Runs of the index before sealing waits for merging: each costs a read of a stream two reads.
    UNMERGED_RUNS = 64, "runs";
    /// Keys of erasable subjects that are kept in memory; another takes some microseconds.
    SUBJECT_KEYS_CACHED = 64 * 1024, "keys";
    /// Streams, types and tags of one run of the index; larger ones are not merged.
    RUN_KEYS = 16 * 1024 * 1024, "keys";
    /// Memory for pieces of sealed segments and of the index that were read lately.
    CACHE_BYTES = 32 * 1024 * 1024, "bytes";
    /// Events of a topic in one run of the index that are read from there, where their segments are
    /// archived.
    SMALL_TOPIC_EVENTS = 16_384, "events";
    /// How often it is looked whether a sealed segment is old enough to be archived.
    ARCHIVE_LOOK_MS = 60_000, "milliseconds";
    /// The value of one register (a checkpoint, an outcome) in the journal.
    REGISTER_BYTES = 24 * 1024 * 1024, "bytes";
    /// Appends waiting for the writer before publishers are told to come back later.
    APPENDS_WAITING = 16_384, "appends";
    /// Bytes of the appends waiting for the writer, likewise.
    APPENDS_WAITING_BYTES = 64 * 1024 * 1024, "bytes";
    /// Last positions of a topic within which identity (source, id) is exact.
    IDENTITY_WINDOW = 1_000_000, "positions";
    /// Conditions of one append.
    CONDITIONS = 64, "conditions";
    /// Items of one query.
    QUERY_ITEMS = 64, "items";
    /// Types, subjects or tags of one query item.
    QUERY_ITEM_VALUES = 256, "values";
    /// Events that one page of a read returns.
    READ_PAGE_EVENTS = 10_000, "events";
    /// Free space of the disk below which writing is refused and reading goes on.
    DISK_LOW_WATER_BYTES = 64 * 1024 * 1024, "bytes";
    /// Events of a subscription read ahead but not settled; at the limit reading ahead stops.
    SUBSCRIPTION_EXCEPTIONS = 10_000, "events";
    /// Invocations of one subscription in flight.
    DELIVERIES_IN_FLIGHT = 64, "invocations";
    /// Of these, those that need no share in what all subscriptions have together.
    DELIVERIES_ASSURED = 4, "invocations";
    /// Further invocations in flight, of all subscriptions together: each connection is an open file.
    DELIVERIES_SHARED = 2_048, "invocations";
    /// Connections of a subscription that are kept though no call uses them.
    WEBHOOK_IDLE = 16, "connections";
    /// A connection to a webhook is closed when it was not used for so long.
    WEBHOOK_IDLE_MS = 10_000, "milliseconds";
    /// Time that a webhook or a function may take (service).
    DELIVERY_TIMEOUT_MS = 30_000, "milliseconds";
    /// Delivery attempts of one event, the most and the default (service).
    DELIVERY_ATTEMPTS = 30, "attempts";
    /// Time to live of an undelivered event, the most and the default (service).
    EVENT_TTL_MINUTES = 1_440, "minutes";
    /// Calls in a row that an endpoint fails before it is put under probation.
    PROBATION_FAILURES = 10, "calls";
    /// The longest wait that a webhook can ask for with Retry-After.
    RETRY_AFTER_MOST_S = 3_600, "seconds";
    /// Events of one delivery to a webhook, the most that a subscription can ask for (service).
    BATCH_EVENTS = 5_000, "events";
    /// The size of one delivery that a subscription can prefer (service).
    BATCH_KILOBYTES = 1_024, "kilobytes";
    /// Headers that a subscription adds to its deliveries (service).
    DELIVERY_ATTRIBUTES = 10, "headers";
    /// The longest time that a dead letter is held before it is written.
    DEAD_LETTER_DELAY_MOST_S = 86_400, "seconds";
    /// Time that is taken to tell a webhook that its subscription was deleted.
    DELETION_NOTICE_MS = 5_000, "milliseconds";
    /// Time in which the endpoint of a webhook can be validated by hand (service).
    VALIDATION_WINDOW_MS = 600_000, "milliseconds";
    /// Wait before an endpoint that refused the handshake is asked once more (service).
    VALIDATION_AGAIN_MS = 5_000, "milliseconds";
    /// Events that one receive request asks for, at most (service).
    RECEIVE_EVENTS = 100, "events";
    /// An answer to a receive request ends with the event that goes beyond so much.
    RECEIVE_BYTES = 4 * 1024 * 1024, "bytes";
    /// The shortest time that a receive request waits (service).
    RECEIVE_WAIT_LEAST_S = 10, "seconds";
    /// The longest time that a receive request waits (service).
    RECEIVE_WAIT_MOST_S = 120, "seconds";
    /// Receive requests of one subscription that wait at a time.
    RECEIVERS_WAITING = 1_000, "requests";
    /// Lock tokens of one request.
    LOCK_TOKENS = 1_000, "tokens";
    /// The shortest time that a received event is locked, and the default (service).
    RECEIVE_LOCK_LEAST_S = 60, "seconds";
    /// The longest time that a received event is locked (service).
    RECEIVE_LOCK_MOST_S = 300, "seconds";
    /// Deliveries of one event by pull, the most and the default (service).
    PULL_DELIVERIES = 10, "deliveries";
    /// Time to live of an event that is pulled, the most and the default (service).
    PULL_TTL_MINUTES = 10_080, "minutes";
    /// Events in one publish request to a namespace's topic (service).
    NAMESPACE_PUBLISH_EVENTS = 1_000, "events";
    /// The answer of a webhook that is read.
    WEBHOOK_ANSWER_BYTES = 64 * 1024, "bytes";
    /// Chain of events that functions return on events that functions returned.
    CAUSATION_DEPTH = 32, "events";
    /// Blobs and events that one invocation returns.
    INVOCATION_OUTPUTS = 1_000, "outputs";
    /// All outputs of one invocation.
    INVOCATION_OUTPUT_BYTES = 16 * 1024 * 1024, "bytes";
    /// Log lines kept of each function.
    FUNCTION_LOG_LINES = 10_000, "lines";
    /// The name of a blob.
    BLOB_NAME_BYTES = 1_024, "bytes";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_fit_into_each_other() {
        const { assert!(COMMIT_BYTES < GROUP_BYTES) };
        const { assert!(REGISTER_BYTES < COMMIT_BYTES) };
        const { assert!(INVOCATION_OUTPUT_BYTES * 4 / 3 < REGISTER_BYTES) };
        assert!(
            ALL.iter()
                .all(|limit| limit.value > 0 && !limit.about.is_empty())
        );
    }
}
