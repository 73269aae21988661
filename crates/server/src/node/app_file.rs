//! `foretell.toml`, table by table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use foretell_log::{ArchiveRule, LogOptions};
use foretell_protocol::{
    Attribute, AttributeValue, DeliverySchema, Filter, InputSchema, Quota, RequestLimits,
    SubscriptionDefinition, Target, TokenRules, TopicDefinition, Validation, check_issuer_url,
    ordering,
};
use foretell_types::limits::{
    EVENT_BYTES, LOG_BYTES_LEAST, LOG_BYTES_MOST, PUBLISH_BODY_BYTES_MOST, PUBLISH_EVENTS_MOST,
};
use foretell_types::{Error, Result, Timestamp, check_container};
use serde::Deserialize;
use serde_json::Value;

use super::app::parse_wait;
use super::course::StartAt;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) topics: BTreeMap<String, TopicTable>,
    pub(super) storage: StorageTable,
    pub(super) delivery: DeliveryTable,
    pub(super) access: AccessSettings,
    pub(super) log: LogTable,
    pub(super) limits: LimitsTable,
    pub(super) telemetry: TelemetryTable,
    pub(super) functions: BTreeMap<String, FunctionTable>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TopicTable {
    pub(super) input_schema: Option<String>,
    pub(super) erasable: bool,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) quota: Quota,
    pub(super) subscriptions: BTreeMap<String, SubscriptionTable>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubscriptionTable {
    pub(super) to: String,
    /// How long a received event is locked.
    pub(super) lock: Option<String>,
    pub(super) ordering: Option<String>,
    /// What its events are delivered as; unless it is given, as they came in.
    pub(super) schema: Option<DeliverySchema>,
    #[serde(default)]
    pub(super) event_types: Vec<String>,
    #[serde(default)]
    pub(super) subject_begins_with: String,
    #[serde(default)]
    pub(super) subject_ends_with: String,
    /// Event Grid's filter object, in place of the three above.
    pub(super) filter: Option<Value>,
    pub(super) max_delivery_attempts: Option<u32>,
    pub(super) event_ttl_minutes: Option<u32>,
    pub(super) dead_letter: Option<String>,
    pub(super) validation: Option<String>,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, AttributeTable>,
    pub(super) batch: Option<u32>,
    pub(super) batch_kilobytes: Option<u32>,
    #[serde(default)]
    pub(super) labels: Vec<String>,
    pub(super) expires: Option<String>,
    pub(super) from: Option<String>,
}

/// `NAME = "value"`, `NAME = { source_field = "data.x" }`, or `NAME = { secret = "value" }`.
#[derive(Clone, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum AttributeTable {
    Static(String),
    Dynamic { source_field: String },
    Secret { secret: String },
}

impl std::fmt::Debug for AttributeTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AttributeTable(…)")
    }
}

impl AttributeTable {
    fn value(&self) -> AttributeValue {
        match self {
            AttributeTable::Static(value) => AttributeValue::Static(value.clone()),
            AttributeTable::Dynamic { source_field } => {
                AttributeValue::Dynamic(source_field.clone())
            }
            AttributeTable::Secret { secret } => AttributeValue::Secret(secret.clone()),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StorageTable {
    /// A folder; relative to the data directory.
    pub(super) path: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeliveryTable {
    pub(super) retry_schedule: Option<Vec<String>>,
    /// How long a dead letter is held before it is written.
    pub(super) dead_letter_delay: Option<String>,
    /// Webhooks may be at link-local addresses and at the server's own administration.
    pub(super) allow_internal_addresses: bool,
}

/// `[telemetry]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TelemetryTable {
    /// The collector that gets traces, such as `http://127.0.0.1:4318`.
    pub(super) otlp_endpoint: Option<String>,
}

/// `[limits]`: how much a publish request may carry.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsTable {
    pub(super) publish_body_bytes: Option<usize>,
    pub(super) publish_events: Option<usize>,
    pub(super) event_bytes: Option<usize>,
}

impl LimitsTable {
    pub(super) fn request_limits(&self) -> Result<RequestLimits> {
        let service = RequestLimits::PUBLISH;
        let checked = |name: &str, given: Option<usize>, default: usize, most: usize| {
            let value = given.unwrap_or(default);
            match (1..=most).contains(&value) {
                true => Ok(value),
                false => Err(Error::invalid(format!(
                    "{name} is {value}: from 1 to {most} are possible"
                ))),
            }
        };
        Ok(RequestLimits {
            body_bytes: checked(
                "publish_body_bytes",
                self.publish_body_bytes,
                service.body_bytes,
                PUBLISH_BODY_BYTES_MOST,
            )?,
            events: checked(
                "publish_events",
                self.publish_events,
                service.events,
                PUBLISH_EVENTS_MOST,
            )?,
            event_bytes: checked(
                "event_bytes",
                self.event_bytes,
                service.event_bytes,
                EVENT_BYTES,
            )?,
        })
    }
}

/// `[log]`: memory and disk that the log takes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogTable {
    pub(super) segment_bytes: Option<u64>,
    pub(super) cache_bytes: Option<u64>,
    pub(super) revision_cache_bytes: Option<u64>,
    /// The folder of the keys of erasable topics; relative to the data directory.
    pub(super) keys: Option<PathBuf>,
    /// A container of the storage account.
    pub(super) archive: Option<String>,
    pub(super) archive_after: Option<String>,
    pub(super) keep_bytes: Option<u64>,
}

impl LogTable {
    pub(super) fn options(&self, data: &Path) -> Result<LogOptions> {
        let defaults = LogOptions::default();
        let checked = |name: &str, given: Option<u64>, default: u64| {
            let value = given.unwrap_or(default);
            if (LOG_BYTES_LEAST as u64..=LOG_BYTES_MOST as u64).contains(&value) {
                return Ok(value);
            }
            Err(Error::invalid(format!(
                "{name} is {value}: from {LOG_BYTES_LEAST} to {LOG_BYTES_MOST} bytes are possible"
            )))
        };
        let keys = self.keys.clone().unwrap_or_else(|| "erasure-keys".into());
        Ok(LogOptions {
            keys: Some(data.join(keys)),
            segment_bytes: checked("segment_bytes", self.segment_bytes, defaults.segment_bytes)?,
            cache_bytes: checked("cache_bytes", self.cache_bytes, defaults.cache_bytes)?,
            revision_cache_bytes: checked(
                "revision_cache_bytes",
                self.revision_cache_bytes,
                defaults.revision_cache_bytes,
            )?,
            ..defaults
        })
    }

    /// Which sealed segments are archived; `None` if none is.
    pub(super) fn archive_rule(&self) -> Result<Option<ArchiveRule>> {
        let ruled = self.archive_after.is_some() || self.keep_bytes.is_some();
        let Some(container) = &self.archive else {
            return match ruled {
                true => Err(Error::invalid(
                    "archive_after and keep_bytes say what is archived, and archive is missing: the name of a container",
                )),
                false => Ok(None),
            };
        };
        let here = |name: &str, error: Error| error.context(name);
        check_container(container).map_err(|error| here("archive", error))?;
        if !ruled {
            return Err(Error::invalid(
                "archive says where to, and neither archive_after nor keep_bytes says what: set one of them, or both",
            ));
        }
        let after = self.archive_after.as_deref().map(parse_wait).transpose();
        Ok(Some(ArchiveRule {
            container: container.clone(),
            after: after.map_err(|error| here("archive_after", error))?,
            keep_bytes: self.keep_bytes,
        }))
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FunctionTable {
    pub(super) settings: BTreeMap<String, String>,
}

/// `[access]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessSettings {
    /// Listen beyond the loopback although nothing is encrypted.
    pub allow_insecure_network: bool,
    pub tls: Option<TlsSetting>,
    pub oidc: Option<OidcTable>,
}

/// `[access.oidc]`: whose bearer tokens are taken.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcTable {
    issuer: String,
    audience: Audience,
    #[serde(default = "roles")]
    roles_claim: String,
    /// Where the keys are, if the issuer's description doesn't say.
    pub(super) jwks_url: Option<String>,
}

/// One, or several of which a token has one.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text or an array of texts")]
enum Audience {
    One(String),
    Several(Vec<String>),
}

fn roles() -> String {
    "roles".to_owned()
}

impl OidcTable {
    pub(super) fn rules(&self) -> TokenRules {
        TokenRules {
            issuer: self.issuer.clone(),
            audiences: match &self.audience {
                Audience::One(one) => vec![one.clone()],
                Audience::Several(several) => several.clone(),
            },
            roles_claim: self.roles_claim.clone(),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        check_issuer_url(&self.issuer).map_err(|error| error.context("issuer"))?;
        if let Some(url) = &self.jwks_url {
            check_issuer_url(url).map_err(|error| error.context("jwks_url"))?;
        }
        let rules = self.rules();
        if rules.audiences.is_empty() || rules.audiences.iter().any(String::is_empty) {
            return Err(Error::invalid(
                "audience is empty: tokens that the issuer made for anyone else would be taken",
            ));
        }
        Ok(())
    }
}

/// `tls = true`, `tls = false`, or `tls = { certificate = "cert.pem", key = "key.pem" }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected true, false, or { certificate = \"cert.pem\", key = \"key.pem\" }"
)]
pub enum TlsSetting {
    /// With the development certificate of the data directory.
    Development(bool),
    Own(CertificateFiles),
}

/// A certificate with its chain, and its key; relative to the application directory.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl TopicTable {
    pub(super) fn definition(&self) -> Result<TopicDefinition> {
        let input_schema = match &self.input_schema {
            Some(text) => text.parse()?,
            None => InputSchema::default(),
        };
        Ok(TopicDefinition {
            input_schema,
            mapping: None,
            erasable: self.erasable,
            tags: self.tags.clone(),
            quota: self.quota,
        })
    }
}

impl SubscriptionTable {
    pub(super) fn definition(&self) -> Result<(SubscriptionDefinition, StartAt)> {
        let target: Target = self.to.parse()?;
        let mut definition = SubscriptionDefinition::new(target);
        definition.filter = self.filter()?;
        definition.max_delivery_attempts = self
            .max_delivery_attempts
            .unwrap_or(definition.max_delivery_attempts);
        definition.event_ttl_minutes = self
            .event_ttl_minutes
            .unwrap_or(definition.event_ttl_minutes);
        if let Some(text) = &self.lock {
            let lock = parse_wait(text).map_err(|error| error.context("lock"))?;
            let seconds = u32::try_from(lock.as_secs()).ok();
            let seconds = seconds.filter(|_| lock.subsec_nanos() == 0);
            let wrong = || Error::invalid(format!("lock is {text:?}: expected whole seconds"));
            definition.lock_seconds = Some(seconds.ok_or_else(wrong)?);
        }
        if let Some(text) = &self.ordering {
            definition.ordered = Some(ordering(text)?);
        }
        definition.schema = self.schema;
        definition.dead_letter.clone_from(&self.dead_letter);
        let attributes = self.attributes.iter();
        let attributes = attributes.map(|(name, table)| Attribute {
            name: name.clone(),
            value: table.value(),
        });
        definition.attributes = attributes.collect();
        definition.max_events_per_batch = self.batch.unwrap_or(definition.max_events_per_batch);
        definition.preferred_batch_kilobytes = self
            .batch_kilobytes
            .unwrap_or(definition.preferred_batch_kilobytes);
        let validation = self.validation.as_deref();
        definition.validation = validation.map_or(Ok(Validation::Auto), str::parse)?;
        definition.labels.clone_from(&self.labels);
        let expires = self.expires.as_deref().map(Timestamp::from_text_or_utc);
        let expires = expires
            .transpose()
            .map_err(|error| error.context("expires"))?;
        definition.expires_ms = expires.map(|time| time.instant().as_millis());
        let start = self.from.as_deref().map_or(Ok(StartAt::Now), str::parse)?;
        Ok((definition, start))
    }
    fn filter(&self) -> Result<Filter> {
        let simple = Filter {
            included_event_types: self.event_types.clone(),
            subject_begins_with: self.subject_begins_with.clone(),
            subject_ends_with: self.subject_ends_with.clone(),
            ..Filter::default()
        };
        match &self.filter {
            None => Ok(simple),
            Some(_) if simple != Filter::default() => Err(Error::invalid(
                "filter is there, and event_types, subject_begins_with or subject_ends_with too: put them into filter, as includedEventTypes, subjectBeginsWith and subjectEndsWith",
            )),
            Some(filter) => Filter::from_json(Some(filter)),
        }
    }
}
