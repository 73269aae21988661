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
    /// What Azure Event Grid has, if it has such a limit.
    pub service: Option<u64>,
}

/// The service's value where ours differs.
const SERVICE: [(&str, u64); 3] = [
    ("TOPICS", 100),
    ("QUOTA_EVENTS_MOST", 5_000),
    ("QUOTA_BYTES_MOST", 5_000_000),
];

const fn service(name: &str, about: &str, value: u64) -> Option<u64> {
    let mut at = 0;
    while at < SERVICE.len() {
        if is_at(name, 0, SERVICE[at].0) && name.len() == SERVICE[at].0.len() {
            return Some(SERVICE[at].1);
        }
        at += 1;
    }
    let mut at = 0;
    while at < about.len() {
        if is_at(about, at, "(service)") {
            return Some(value);
        }
        at += 1;
    }
    None
}

const fn is_at(text: &str, at: usize, wanted: &str) -> bool {
    let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
    let mut index = 0;
    while index < wanted.len() {
        if at + index >= text.len() || text[at + index] != wanted[index] {
            return false;
        }
        index += 1;
    }
    true
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
                service: service(stringify!($name), concat!($($about),+), $value as u64),
            },)*
        ];
    };
}

limits! {
    /// The body of one publish request (service).
    PUBLISH_BODY_BYTES = 1024 * 1024, "bytes";
    /// Events in one publish request (service).
    PUBLISH_EVENTS = 5_000, "events";
    /// The most that a publish request's body can be set to.
    PUBLISH_BODY_BYTES_MOST = 8 * 1024 * 1024, "bytes";
    /// The most that the events of a publish request can be set to.
    PUBLISH_EVENTS_MOST = 100_000, "events";
    /// One event as JSON (service).
    EVENT_BYTES = 1024 * 1024, "bytes";
    /// The body of a request to the store API: append, import.
    STORE_BODY_BYTES = 8 * 1024 * 1024, "bytes";
    /// What is read past of a body that is too large, after it was refused.
    DISCARDED_BODY_BYTES = 64 * 1024 * 1024, "bytes";
    /// How long a body that is too large is read past.
    DISCARDED_BODY_MS = 5_000, "milliseconds";
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
    /// The longest name of a namespace, whose topics are named NAMESPACE.TOPIC (service).
    NAMESPACE_NAME_CHARS = 50, "characters";
    /// Namespaces of one data directory.
    NAMESPACES = 1_000, "namespaces";
    /// The longest name of a storage account (service).
    STORAGE_ACCOUNT_NAME_CHARS = 24, "characters";
    /// Storage accounts of one data directory, beside the default one.
    STORAGE_ACCOUNTS = 250, "accounts";
    /// Containers of one storage account that are made by themselves.
    STORAGE_CONTAINERS = 10_000, "containers";
    /// The longest name of a function app (service).
    FUNCTION_APP_NAME_CHARS = 60, "characters";
    /// Function apps of one data directory that were made through the API.
    FUNCTION_APPS = 100, "apps";
    /// App settings of one function app.
    FUNCTION_SETTINGS = 1_000, "settings";
    /// All app settings of one function app, names and values.
    FUNCTION_SETTINGS_BYTES = 1024 * 1024, "bytes";
    /// The code of a function app, as a zip.
    PACKAGE_BYTES = 128 * 1024 * 1024, "bytes";
    /// The same unpacked.
    PACKAGE_UNPACKED_BYTES = 512 * 1024 * 1024, "bytes";
    /// Files of the code of a function app.
    PACKAGE_FILES = 50_000, "files";
    /// The longest subscription name (service).
    SUBSCRIPTION_NAME_CHARS = 64, "characters";
    /// Topics of one data directory, deleted ones included.
    TOPICS = 10_000, "topics";
    /// Subscriptions of one topic (service).
    SUBSCRIPTIONS_PER_TOPIC = 500, "subscriptions";
    /// Tags of one topic (service).
    TOPIC_TAGS = 50, "tags";
    /// The name of a topic's tag (service).
    TOPIC_TAG_NAME_CHARS = 512, "characters";
    /// The value of a topic's tag (service).
    TOPIC_TAG_CHARS = 256, "characters";
    /// The most events per second that a topic's quota can be set to; without one there is none.
    QUOTA_EVENTS_MOST = 100_000_000, "events";
    /// The most bytes per second that a topic's quota can be set to, likewise.
    QUOTA_BYTES_MOST = 4_000_000_000, "bytes";
    /// Labels of one subscription.
    LABELS = 50, "labels";
    /// A label of a subscription.
    LABEL_CHARS = 128, "characters";
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
    /// A group that takes so much is written another way: see `large_group_bytes`.
    LARGE_GROUP_BYTES = 48 * 1024, "bytes";
    /// A segment file, unless one group alone is larger.
    SEGMENT_BYTES = 32 * 1024 * 1024, "bytes";
    /// Groups of a segment of a journal in blobs, where each is a blob.
    BLOB_SEGMENT_GROUPS = 1_000, "groups";
    /// Threads that read a journal in blobs when it is opened.
    BLOB_READERS = 16, "threads";
    /// The least that a segment, or the cache of the log, can be set to.
    LOG_BYTES_LEAST = 64 * 1024, "bytes";
    /// The most that they can be set to.
    LOG_BYTES_MOST = 1024 * 1024 * 1024, "bytes";
    /// Segments that wait to be sealed before appending waits for that: they are indexed in memory.
    UNSEALED_SEGMENTS = 5, "segments";
    /// Runs of the index are merged once little was appended and read for so long, or many wait.
    MERGE_LULL_MS = 1_000, "milliseconds";
    /// How much is little: merging leaves a burst the processors.
    MERGE_LULL_BYTES = 4 * 1024 * 1024, "bytes";
    /// How much is little of what is read from one end to the other.
    MERGE_LULL_EVENTS = 256 * 1024, "events";
    /// Runs of the index before sealing waits for merging: each costs a read of a stream two reads.
    UNMERGED_RUNS = 64, "runs";
    /// Keys of erasable subjects that are kept in memory; another takes some microseconds.
    SUBJECT_KEYS_CACHED = 64 * 1024, "keys";
    /// Streams, types and tags of one run of the index; larger ones are not merged.
    RUN_KEYS = 16 * 1024 * 1024, "keys";
    /// Memory for pieces of sealed segments and of the index that were read lately.
    CACHE_BYTES = 32 * 1024 * 1024, "bytes";
    /// Memory for the last revisions of streams that were written to lately.
    REVISION_CACHE_BYTES = 32 * 1024 * 1024, "bytes";
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
    /// Time that a client has for its part of a TLS handshake.
    TLS_HANDSHAKE_MS = 10_000, "milliseconds";
    /// TLS handshakes under way; a new one beyond takes the place of the oldest.
    TLS_HANDSHAKES = 4_096, "handshakes";
    /// A bearer token.
    TOKEN_BYTES = 16 * 1024, "bytes";
    /// What clocks may differ by where a bearer token's times are checked.
    TOKEN_LEEWAY_S = 60, "seconds";
    /// Roles of a bearer token that are read.
    TOKEN_ROLES = 256, "roles";
    /// Bearer tokens that are known to be signed well.
    TOKENS_VERIFIED = 10_000, "tokens";
    /// Keys of an issuer of bearer tokens.
    TOKEN_KEYS = 64, "keys";
    /// An issuer's description, or its keys, as JSON.
    TOKEN_KEYS_BYTES = 256 * 1024, "bytes";
    /// Time that an issuer has to answer.
    TOKEN_KEYS_TIMEOUT_MS = 10_000, "milliseconds";
    /// An issuer's keys are fetched anew when they are older.
    TOKEN_KEYS_AGE_S = 3_600, "seconds";
    /// An issuer's keys are no longer taken when they are older, and can't be fetched.
    TOKEN_KEYS_AGE_MOST_S = 86_400, "seconds";
    /// The shortest time between two fetches of an issuer's keys.
    TOKEN_KEYS_WAIT_S = 10, "seconds";
    /// Memory that the events of a dataset take at once; what is beyond is read several times.
    DATASET_EVENT_BYTES = 384 * 1024 * 1024, "bytes";
    /// Rows of a dataset that are made at once.
    DATASET_LABEL_ROWS = 4 * 1024 * 1024, "rows";
    /// Datasets of one data directory.
    DATASETS = 100, "datasets";
    /// Instants of a dataset at every interval.
    DATASET_INSTANTS = 100_000, "instants";
    /// Keys of a dataset at every interval.
    DATASET_KEYS = 16 * 1024 * 1024, "keys";
    /// A label table that is sent to be built upon.
    DATASET_LABEL_BYTES = 1024 * 1024 * 1024, "bytes";
    /// Folders of a dataset that is partitioned.
    DATASET_PARTITIONS = 1_000, "partitions";
    /// Memory for the rows of all of them that aren't written yet.
    DATASET_PARTITION_BYTES = 256 * 1024 * 1024, "bytes";
    /// Datasets that are built at the same time.
    DATASET_BUILDS = 4, "datasets";
    /// Events of a topic whose columns are extracted into one file.
    COLUMN_EVENTS = 256 * 1024, "events";
    /// Keys that the events of one file of columns touch.
    COLUMN_ROWS = 16 * 1024 * 1024, "keys";
    /// The name of a blob.
    BLOB_NAME_BYTES = 1_024, "bytes";
    /// A blob that is put through the API.
    BLOB_BODY_BYTES = 128 * 1024 * 1024, "bytes";
    /// One message between a Pulumi program and its engine.
    PROGRAM_MESSAGE_BYTES = 256 * 1024 * 1024, "bytes";
    /// Resources of a Pulumi program that are made, changed or read at the same time.
    PROGRAM_PARALLEL_STEPS = 16, "resources";
    /// One asset of a Pulumi program, or all files of one archive.
    PROGRAM_ASSET_BYTES = 1024 * 1024 * 1024, "bytes";
    /// Files of one archive of a Pulumi program.
    PROGRAM_ARCHIVE_FILES = 100_000, "files";
    /// A Pulumi.yaml or Pulumi.STACK.yaml.
    PROGRAM_YAML_BYTES = 4 * 1024 * 1024, "bytes";
    /// Nesting of values in a Pulumi YAML program.
    PROGRAM_YAML_DEPTH = 64, "levels";
    /// The text of a projection.
    PROJECTION_BYTES = 256 * 1024, "bytes";
    /// Projections of one data directory.
    PROJECTIONS = 100, "projections";
    /// Columns of a projection.
    PROJECTION_COLUMNS = 1_000, "columns";
    /// Topics of a projection.
    PROJECTION_TOPICS = 64, "topics";
    /// Words, signs and values in one expression of a projection.
    EXPRESSION_TOKENS = 1_000, "tokens";
    /// Steps of one call of a projection's function: its calls, and rounds of its loops.
    FOLD_STEPS = 10_000_000, "steps";
    /// Memory of a projection's function, in each thread that calls it.
    FOLD_MEMORY_BYTES = 64 * 1024 * 1024, "bytes";
    /// How deep the calls of a projection's function go, on the stack of the thread.
    FOLD_STACK_BYTES = 512 * 1024, "bytes";
    /// Functions of projections that a thread keeps compiled.
    FOLD_ENGINES = 4, "functions";
    /// The state that a projection's function returns.
    FOLD_STATE_BYTES = 1024 * 1024, "bytes";
    /// Values that collect and nth_last keep.
    COLLECTED_VALUES = 10_000, "values";
    /// The key of a state; an event whose key is longer touches none, and is counted.
    KEY_BYTES = 4_096, "bytes";
    /// Keys that one event touches; one that has more touches none, and is counted.
    KEYS_PER_EVENT = 10_000, "keys";
    /// Questions in one request for many states.
    STATE_BATCH = 10_000, "questions";
    /// Events that are told as the reason for a field of a state: the last of them.
    WHY_EVENTS = 1_000, "events";
    /// How long a question waits for a projection to be up to date.
    STATE_WAIT_MS = 10_000, "milliseconds";
    /// Memory for the states of one projection that were changed or asked for lately.
    PROJECTION_CACHE_BYTES = 512 * 1024 * 1024, "bytes";
    /// Threads that fold the events of a projection side by side, with as many processors.
    PROJECTION_SHARDS = 8, "threads";
    /// Memory for what was read lately of what one projection keeps on disk.
    PROJECTION_READ_BYTES = 32 * 1024 * 1024, "bytes";
    /// A block of a key's history is at least so large, and grows with the history.
    HISTORY_BLOCK_BYTES_LEAST = 768, "bytes";
    /// A block of a key's history.
    HISTORY_BLOCK_BYTES_MOST = 32 * 1024, "bytes";
    /// How long a projection's states are changed in memory before they are stored.
    PROJECTION_STORE_MS = 5_000, "milliseconds";
    /// The same while a projection is built from the log: what is lost is folded again.
    PROJECTION_BUILD_STORE_MS = 60_000, "milliseconds";
    /// Events of one key after which a snapshot of its state is taken.
    SNAPSHOT_EVENTS = 2_048, "events";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_fit_into_each_other() {
        const { assert!(PUBLISH_BODY_BYTES_MOST <= STORE_BODY_BYTES) };
        const { assert!(PUBLISH_EVENTS_MOST <= COMMIT_EVENTS) };
        const { assert!(COMMIT_BYTES < GROUP_BYTES) };
        const { assert!(REGISTER_BYTES < COMMIT_BYTES) };
        const { assert!(INVOCATION_OUTPUT_BYTES * 4 / 3 < REGISTER_BYTES) };
        let service = |name: &str| ALL.iter().find(|limit| limit.name == name).unwrap().service;
        assert_eq!(service("PUBLISH_EVENTS"), Some(5_000));
        assert_eq!(service("TOPICS"), Some(100));
        assert_eq!(service("TOPIC_TAGS"), Some(50));
        assert_eq!(service("COMMIT_EVENTS"), None);
        assert!(
            ALL.iter()
                .all(|limit| limit.value > 0 && !limit.about.is_empty())
        );
    }
}
