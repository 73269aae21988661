//! Who may do what here.

use std::sync::Arc;

use foretell_protocol::{Credentials, Permission, check_admin, check_topic};
use foretell_types::Result;
use http::{HeaderMap, Uri};

use super::{Node, TopicEntry};

impl Node {
    /// Has what a request's credentials are checked with; comes before any check.
    pub async fn prepare(&self, headers: &HeaderMap, uri: &Uri) {
        let Some(tokens) = &self.tokens else { return };
        if let Ok(Credentials::Token(text)) = Credentials::from_request(headers, uri.query()) {
            tokens.prepare(&text, self.now()).await;
        }
    }

    /// Publishing and receiving need one of the topic's keys, a signature by one, the admin key,
    /// or a token with a role.
    pub fn check_topic(
        &self,
        topic: &TopicEntry,
        credentials: &Credentials,
        permission: Permission,
    ) -> Result<()> {
        let name = &topic.config.name;
        if let Some(checked) = self.check_token(credentials, permission, Some(name)) {
            return checked;
        }
        if check_admin(credentials, &self.admin).is_ok() {
            return Ok(());
        }
        let [one, two] = &topic.keys;
        let path = format!("/topics/{name}");
        check_topic(credentials, [one, two], &path, self.now())
    }

    /// The topic again after a body was read, which may have taken long: it can have been deleted
    /// or made anew, its keys too.
    pub fn still_publishes(
        &self,
        topic: Arc<TopicEntry>,
        credentials: &Credentials,
    ) -> Result<Arc<TopicEntry>> {
        let now = self.topic(&topic.config.name)?;
        if !Arc::ptr_eq(&now, &topic) {
            self.check_topic(&now, credentials, Permission::Publish)?;
        }
        Ok(now)
    }

    /// Reading and administration need the admin key, or a token with a role: for the topic, if
    /// it is about one.
    pub fn check_access(
        &self,
        credentials: &Credentials,
        permission: Permission,
        topic: Option<&str>,
    ) -> Result<()> {
        self.check_token(credentials, permission, topic)
            .unwrap_or_else(|| check_admin(credentials, &self.admin))
    }

    /// `None` if the credentials are no token, or nobody issues any.
    fn check_token(
        &self,
        credentials: &Credentials,
        permission: Permission,
        topic: Option<&str>,
    ) -> Option<Result<()>> {
        let (Credentials::Token(text), Some(tokens)) = (credentials, &self.tokens) else {
            return None;
        };
        let grants = tokens.check(text, self.now());
        Some(grants.and_then(|grants| grants.check(permission, topic)))
    }
}
