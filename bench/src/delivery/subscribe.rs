//! Subscriptions over HTTP, as an administrator makes them.

use serde_json::{Value, json};

use crate::Result;
use crate::client::Connection;
use crate::server::Server;

/// Administers the topic of a server over one connection.
#[derive(Debug)]
pub struct Administrator {
    connection: Connection,
    topic: String,
    key: String,
}

/// A subscription that pushes to a webhook.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub url: String,
    /// Events of a request.
    pub batch: u32,
    pub cloud_events: bool,
}

impl Administrator {
    pub async fn of(server: &Server) -> Result<Administrator> {
        let target = server.target();
        Ok(Administrator {
            connection: Connection::open(target.address).await?,
            topic: target.topic.clone(),
            key: server.admin_key().to_owned(),
        })
    }

    /// Makes a subscription that begins at `from`. Its endpoint is asked whether it wants that,
    /// unless it may be dead.
    pub async fn subscribe(
        &mut self,
        name: &str,
        webhook: &Webhook,
        from: &str,
        ask: bool,
    ) -> Result<()> {
        let schema = match webhook.cloud_events {
            true => "CloudEventSchemaV1_0",
            false => "EventGridSchema",
        };
        let body = json!({"properties": {
            "destination": {"endpointType": "WebHook", "properties": {
                "endpointUrl": webhook.url,
                "maxEventsPerBatch": webhook.batch,
                "preferredBatchSizeInKilobytes": 64,
                "validation": if ask { "always" } else { "never" },
            }},
            "eventDeliverySchema": schema,
        }});
        let path = format!("/eventsubscriptions/{name}?from={from}");
        self.ask("PUT", &path, &body.to_string()).await?;
        Ok(())
    }

    pub async fn unsubscribe(&mut self, name: &str) -> Result<()> {
        self.ask("DELETE", &format!("/eventsubscriptions/{name}"), "")
            .await?;
        Ok(())
    }

    /// Events that wait for a subscription, by the server's account.
    pub async fn lag(&mut self, name: &str) -> Result<u64> {
        let path = format!("/eventsubscriptions/{name}");
        let shown: Value = serde_json::from_str(&self.ask("GET", &path, "").await?)?;
        let lag = shown["lag"].as_u64();
        Ok(lag.ok_or_else(|| format!("subscription {name} has no lag: {shown}"))?)
    }

    /// The ids of the events that a subscription gave up.
    pub async fn dead_letters(&mut self, name: &str) -> Result<Vec<String>> {
        let path = format!("/deadletters?topic={}&subscription={name}", self.topic);
        let listed: Value = serde_json::from_str(&self.send("GET", &path, "").await?)?;
        let letters = listed.as_array().ok_or("the dead letters are no array")?;
        let ids = letters.iter().map(|letter| letter["id"].as_str());
        let ids: Option<Vec<String>> = ids.map(|id| id.map(str::to_owned)).collect();
        Ok(ids.ok_or_else(|| format!("a dead letter has no id: {listed}"))?)
    }

    async fn ask(&mut self, method: &str, below: &str, body: &str) -> Result<String> {
        let path = format!("/topics/{}{below}", self.topic);
        self.send(method, &path, body).await
    }

    async fn send(&mut self, method: &str, path: &str, body: &str) -> Result<String> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.key,
            body.len()
        );
        let answer = self.connection.ask(request.as_bytes()).await;
        answer.map_err(|error| format!("{method} {path}: {error}").into())
    }
}
