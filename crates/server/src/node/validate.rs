//! Whether the endpoint of a webhook wants its events: it is asked when a subscription is made or
//! gets another URL, and nothing is delivered before.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use foretell_delivery::{Handshake, Validated};
use foretell_protocol::{Provisioning, Target};
use foretell_types::limits::{VALIDATION_AGAIN_MS, VALIDATION_WINDOW_MS};
use foretell_types::{Error, ErrorKind, Result};

use super::config::Asked;
use super::{Node, Owner, Phase, SubscriptionConfig};

const HINT: &str = "an endpoint that can't answer that is taken as it is with --validation never (validation = \"never\" in foretell.toml)";

impl Node {
    /// What a definition's state becomes when it is put. Asks the endpoint if that is needed and
    /// someone waits for the answer; if it refuses that is an error, and nothing is put. What
    /// `foretell.toml` names, and what a command defines on its own, a server asks later.
    pub(super) async fn provisioned(
        &self,
        proposed: &SubscriptionConfig,
        known: Option<&SubscriptionConfig>,
    ) -> Result<Asked> {
        let definition = &proposed.definition;
        if !definition.validation.asks(&definition.target) {
            return Ok(Provisioning::Succeeded.into());
        }
        let at_once = proposed.owner == Owner::Api && self.options.deliver;
        let same = known.filter(|known| {
            let known = &known.definition;
            known.target == definition.target && known.validation.asks(&known.target)
        });
        match same.map(|known| known.provisioning.at(self.now())) {
            Some(provisioning @ Provisioning::Succeeded) => Ok(Asked {
                provisioning,
                rate: same.and_then(|known| known.rate),
            }),
            Some(waits @ Provisioning::AwaitingManualAction { .. }) if !at_once => Ok(waits.into()),
            _ if at_once => self.ask(proposed).await,
            _ => Ok(Provisioning::Creating.into()),
        }
    }

    async fn ask(&self, config: &SubscriptionConfig) -> Result<Asked> {
        let Target::WebHook(url) = &config.definition.target else {
            return Ok(Provisioning::Succeeded.into());
        };
        let webhook = self.webhook(config, url)?;
        let id = self.new_id();
        let code = self.master.validation_code(id);
        let handshake = Handshake {
            url: self.confirmation_url(config, &code),
            code,
            topic_id: self.topic(&config.topic)?.resource_id.clone(),
            subscription: config.name.clone(),
            id,
            now: self.now(),
        };
        let name = format!("webhook of subscription {:?}", config.name);
        let hinted = |error: Error| Error::invalid(format!("{name}: {}; {HINT}", error.message()));
        match webhook.validate(&handshake, self.again()).await {
            Ok(Validated::Yes { rate }) => Ok(Asked {
                provisioning: Provisioning::Succeeded,
                rate,
            }),
            Ok(Validated::ByHand(why)) => Ok(Asked::from(Provisioning::AwaitingManualAction {
                id,
                until_ms: self.now().as_millis() + VALIDATION_WINDOW_MS as i64,
                why: format!("{why}; {HINT}"),
            })),
            Err(error) => Err(hinted(error)),
        }
    }

    /// The wait before an endpoint is asked again: no longer than the first of the schedule.
    fn again(&self) -> Duration {
        let schedule = self.options.application.retry_schedule();
        let again = Duration::from_millis(VALIDATION_AGAIN_MS as u64);
        schedule.first().map_or(again, |first| again.min(*first))
    }

    fn confirmation_url(&self, config: &SubscriptionConfig, code: &str) -> String {
        format!(
            "{}/topics/{}/eventSubscriptions/{}/validate?code={}",
            self.url().unwrap_or_default(),
            config.topic,
            config.name,
            code
        )
    }

    /// Where a subscription that waits for it can be confirmed by hand.
    pub fn validation_url(&self, config: &SubscriptionConfig) -> Option<String> {
        match config.provisioning.at(self.now()) {
            Provisioning::AwaitingManualAction { id, .. } => {
                Some(self.confirmation_url(config, &self.master.validation_code(id)))
            }
            _ => None,
        }
    }

    /// Someone who knows the code says that the endpoint wants the events.
    pub async fn confirm_subscription(
        &self,
        topic: &str,
        name: &str,
        code: &str,
        rate: Option<NonZeroU32>,
    ) -> Result<()> {
        let config = self.subscription(topic, name)?;
        match config.provisioning.at(self.now()) {
            Provisioning::AwaitingManualAction { id, .. }
                if self.master.validation_code(id) == code =>
            {
                let provisioning = Provisioning::Succeeded;
                let said = Asked { provisioning, rate };
                self.settle(&config, said).await
            }
            _ => Err(Error::not_found(format!(
                "subscription {name:?} does not wait to be confirmed with this code: a code serves once, for 10 minutes; put the subscription again to get another"
            ))),
        }
    }

    /// Journals what came of asking, unless the definition changed in the meantime.
    async fn settle(&self, asked: &SubscriptionConfig, said: Asked) -> Result<()> {
        let phase = self.change().await?;
        let config = self.subscription(&asked.topic, &asked.name)?;
        if config != *asked {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("subscription {:?} was changed in the meantime", asked.name),
            ));
        }
        let known = config;
        let config = known.clone().with(said);
        self.journal_update(&known, &config).await?;
        if self.options.deliver && *phase == Phase::Running {
            self.start_subscription(&config)?;
        }
        Ok(())
    }

    /// Asks the endpoints that weren't asked yet, in the background: they may start after the
    /// server.
    pub(crate) fn validate_subscriptions(self: &Arc<Self>) {
        for config in self.config().subscriptions.into_values() {
            if self.options.deliver && config.provisioning == Provisioning::Creating {
                let node = self.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = node.validate_later(&config) => {}
                        () = node.stopping() => {}
                    }
                });
            }
        }
    }

    async fn validate_later(&self, config: &SubscriptionConfig) {
        let until = self.now().as_millis() + VALIDATION_WINDOW_MS as i64;
        let said = loop {
            match self.ask(config).await {
                Ok(said) => break said,
                Err(error) if self.now().as_millis() < until => {
                    tracing::warn!(topic = config.topic, %error, "will be asked again");
                    tokio::time::sleep(self.again()).await;
                }
                Err(error) => {
                    let why = error.message().to_owned();
                    break Provisioning::Failed { why }.into();
                }
            }
        };
        if let Err(error) = self.settle(config, said).await {
            tracing::error!(topic = config.topic, subscription = config.name, %error, "what the endpoint said can't be kept");
            return;
        }
        if let Ok(config) = self.subscription(&config.topic, &config.name)
            && let Some(why) = config.provisioning.why()
        {
            let (state, url) = (config.provisioning.arm(), self.validation_url(&config));
            tracing::error!(topic = config.topic, state, url, "{why}");
        }
    }
}
