//! Storage accounts beside the default one: each has a part of the default account to itself.

use std::collections::BTreeSet;

use bytes::Bytes;
use foretell_protocol::{Key, KeySlot};
use foretell_types::limits::{STORAGE_ACCOUNTS, STORAGE_CONTAINERS};
use foretell_types::{Error, ErrorKind, Result, check_container, check_storage_account};

use super::config::{Change, Definition};
use super::definitions::{StorageAccountConfig, change_event};
use super::{Node, keys};

/// The default account's name in resource ids.
const DEFAULT: &str = "foretell";

pub fn no_blob(container: &str, name: &str) -> Error {
    Error::not_found(format!("container {container:?} has no blob {name:?}"))
}

impl Node {
    /// Makes a storage account, if it isn't there. Gives whether it was made.
    pub async fn put_storage_account(&self, name: &str) -> Result<bool> {
        check_storage_account(name)?;
        if name == DEFAULT {
            let message = "storage account \"foretell\" is the default one: choose another name";
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let _one_at_a_time = self.change().await?;
        if self.storage_account(name).is_ok() {
            return Ok(false);
        }
        if self.config.read().storage_accounts.len() >= STORAGE_ACCOUNTS {
            return Err(Error::invalid(format!(
                "there are {STORAGE_ACCOUNTS} storage accounts: no more are allowed"
            )));
        }
        let account = StorageAccountConfig {
            name: name.to_owned(),
            id: self.new_id(),
            key_generations: [0, 0],
            containers: BTreeSet::new(),
        };
        self.define_storage_account(None, account).await?;
        Ok(true)
    }

    /// Deletes a storage account with all its blobs.
    pub async fn delete_storage_account(&self, name: &str) -> Result<()> {
        let _one_at_a_time = self.change().await?;
        let account = self.storage_account(name)?;
        self.check_unused(name, None)?;
        // The blobs first: one that is made anew must not find those of this one.
        for container in self.storage.containers_of(name).await? {
            self.storage.clear(&container).await?;
        }
        let event = account.event(self.new_id(), Change::Deleted)?;
        self.journal(event).await?;
        self.config.write().storage_accounts.remove(name);
        Ok(())
    }

    /// Makes a container, if it isn't there. Gives whether it was made.
    pub async fn put_container(&self, account: &str, container: &str) -> Result<bool> {
        check_container(container)?;
        let _one_at_a_time = self.change().await?;
        let known = self.storage_account(account)?;
        if known.containers.len() >= STORAGE_CONTAINERS {
            return Err(Error::invalid(format!(
                "storage account {account:?} has {STORAGE_CONTAINERS} containers: no more are allowed"
            )));
        }
        let mut changed = known.clone();
        let made = changed.containers.insert(container.to_owned());
        self.define_storage_account(Some(&known), changed).await?;
        Ok(made)
    }

    /// Deletes a container with all its blobs.
    pub async fn delete_container(&self, account: &str, container: &str) -> Result<()> {
        let _one_at_a_time = self.change().await?;
        let known = self.storage_account(account)?;
        self.check_container_known(&known, container)?;
        self.check_unused(account, Some(container))?;
        self.storage
            .clear(&format!("{account}:{container}"))
            .await?;
        let mut changed = known.clone();
        changed.containers.remove(container);
        self.define_storage_account(Some(&known), changed).await
    }

    /// Writes a blob, in place of one of its name; it is durable when this returns. Function apps
    /// whose code it is get it. Gives whether it was made.
    pub async fn put_blob(
        &self,
        account: &str,
        container: &str,
        name: &str,
        content: Bytes,
    ) -> Result<bool> {
        let place = format!("{account}:{container}");
        let made = {
            let _one_at_a_time = self.change().await?;
            let made = self.find_blob(account, container, name).await?.is_none();
            self.storage.put(&place, name, content.clone()).await?;
            self.storage.sync().await?;
            made
        };
        self.follow_blob(&format!("{place}/{name}"), &content)
            .await?;
        Ok(made)
    }

    /// How many bytes a blob has; none if it isn't there.
    pub async fn find_blob(
        &self,
        account: &str,
        container: &str,
        name: &str,
    ) -> Result<Option<u64>> {
        self.check_container_known(&self.storage_account(account)?, container)?;
        self.storage
            .size(&format!("{account}:{container}"), name)
            .await
    }

    pub async fn delete_blob(&self, account: &str, container: &str, name: &str) -> Result<()> {
        let _one_at_a_time = self.change().await?;
        if self.find_blob(account, container, name).await?.is_none() {
            return Err(no_blob(container, name));
        }
        self.storage
            .delete(&format!("{account}:{container}"), name)
            .await
    }

    pub fn storage_account(&self, name: &str) -> Result<StorageAccountConfig> {
        let config = self.config.read();
        config.storage_accounts.get(name).cloned().ok_or_else(|| {
            Error::not_found(format!(
                "there is no storage account {name:?}: make it with PUT /storageAccounts/{name}"
            ))
        })
    }

    pub fn check_container_known(
        &self,
        account: &StorageAccountConfig,
        container: &str,
    ) -> Result<()> {
        if account.containers.contains(container) {
            return Ok(());
        }
        Err(Error::not_found(format!(
            "storage account {:?} has no container {container:?}",
            account.name
        )))
    }

    pub fn storage_keys(&self, account: &StorageAccountConfig) -> [Key; 2] {
        let [one, two] = account.key_generations;
        [
            self.master.storage_key(account.id, KeySlot::Key1, one),
            self.master.storage_key(account.id, KeySlot::Key2, two),
        ]
    }

    /// Makes one of a storage account's keys anew.
    pub async fn regenerate_storage_key(&self, name: &str, slot: KeySlot) -> Result<()> {
        let _one_at_a_time = self.change().await?;
        let known = self.storage_account(name)?;
        let mut changed = known.clone();
        changed.key_generations[keys::index(slot)] += 1;
        let event = changed.event(self.new_id(), Change::KeyRegenerated(&known))?;
        self.journal(event).await?;
        let mut config = self.config.write();
        config.storage_accounts.insert(name.to_owned(), changed);
        Ok(())
    }

    /// Where a subscription's dead letters go: to the default account, if there is no account of
    /// that name here, so that definitions made for Azure work as they are.
    pub(super) fn container_here(&self, container: String) -> String {
        match container.split_once(':') {
            Some((account, name)) if self.storage_account(account).is_err() => name.to_owned(),
            _ => container,
        }
    }

    async fn define_storage_account(
        &self,
        known: Option<&StorageAccountConfig>,
        account: StorageAccountConfig,
    ) -> Result<()> {
        let Some(event) = change_event(self.new_id(), known, &account)? else {
            return Ok(());
        };
        self.journal(event).await?;
        let mut config = self.config.write();
        config
            .storage_accounts
            .insert(account.name.clone(), account);
        Ok(())
    }

    /// What takes dead letters can't be deleted.
    fn check_unused(&self, account: &str, container: Option<&str>) -> Result<()> {
        let used = |letters: &str| {
            let (of, name) = letters.split_once(':').unwrap_or(("", letters));
            of == account && container.is_none_or(|container| container == name)
        };
        let config = self.config.read();
        let mut all = config.subscriptions.values();
        match all.find(|found| found.definition.dead_letter.as_deref().is_some_and(used)) {
            None => Ok(()),
            Some(found) => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "subscription {:?} of topic {:?} sends its dead letters there: change or delete it first",
                    found.name, found.topic
                ),
            )),
        }
    }
}
