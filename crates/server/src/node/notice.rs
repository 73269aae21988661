//! A webhook is told that its subscription was deleted: once, and whatever comes of it.

use std::time::Duration;

use foretell_delivery::{Deletion, Webhook};
use foretell_protocol::Target;
use foretell_types::limits::DELETION_NOTICE_MS;

use super::{Node, SubscriptionConfig};

/// What is to be told when a deletion is durable.
pub(super) struct Notice {
    webhook: Webhook,
    deletion: Deletion,
}

impl Node {
    /// `None` where nobody is told: what isn't a webhook, or never said that it wants events.
    pub(super) fn deletion_notice(&self, config: &SubscriptionConfig) -> Option<Notice> {
        let Target::WebHook(url) = &config.definition.target else {
            return None;
        };
        if !self.options.deliver || !config.provisioning.is_succeeded() {
            return None;
        }
        let webhook = self.webhook(config, url).ok()?;
        webhook.is_told_of_deletion().then_some(Notice {
            webhook,
            deletion: Deletion {
                topic_id: self.topic(&config.topic).ok()?.resource_id.clone(),
                subscription: config.name.clone(),
                id: self.new_id(),
                now: self.now(),
            },
        })
    }
}

/// Tells it in the background, for a while at most.
pub(super) fn spawn_notice(notice: Notice) {
    tokio::spawn(async move {
        let Notice { webhook, deletion } = notice;
        let most = Duration::from_millis(DELETION_NOTICE_MS as u64);
        let told = tokio::time::timeout(most, webhook.tell_deletion(&deletion)).await;
        let subscription = deletion.subscription;
        match told {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::info!(subscription, %error, "a webhook wasn't told that its subscription is deleted");
            }
            Err(_) => {
                tracing::info!(
                    subscription,
                    "a webhook took too long to be told that its subscription is deleted"
                );
            }
        }
    });
}
