//! The state that the hosts of a lattice share.
//!
//! | bucket | holds | shared with |
//! |---|---|---|
//! | [`SharedState::data`] | links, claims, references | hosts of both eras |
//! | [`SharedState::configurations`] | configurations | hosts of 1.x |
//! | [`SharedState::applications`] | applications | hosts of Exosuit |
//! | [`SharedState::objects`] | files of applications, by digest | hosts of Exosuit |
//!
//! - [`Bucket`]: reads and writes of one bucket. [`Objects`]: bytes by digest.
//! - `keys`, `records`: the keys and values of `data`. `legacy`: where hosts before 0.60 kept them.
//! - `watcher`, `mirror`: the changes of a bucket.

mod bucket;
pub(crate) mod keys;
mod legacy;
mod mirror;
mod objects;
mod records;
mod watcher;

use std::collections::BTreeMap;

use exosuit_core::Id;

pub use bucket::{Bucket, Entry, Position};
pub use keys::Key;
pub use objects::{Digest, MAX_OBJECT, Objects, Stored};
pub use records::{Claims, Component, ComponentLink, LinkDefinition, Record, Reference};
pub use watcher::{Change, Watcher};

use crate::{Connection, Error, StreamLimits};

/// The state that the hosts of a lattice share. Clones share it.
#[derive(Debug, Clone)]
pub struct SharedState {
    lattice: Id,
    domain: Option<String>,
    data: Bucket,
    configurations: Bucket,
    applications: Bucket,
    objects: Objects,
}

impl SharedState {
    /// The state of a lattice over its control connection. Sends no request yet.
    pub fn new(connection: &Connection, lattice: Id, domain: Option<String>) -> Self {
        let bucket = |name: String| Bucket::new(connection.clone(), name, domain.clone());
        Self {
            data: bucket(format!("LATTICEDATA_{lattice}")),
            configurations: bucket(format!("CONFIGDATA_{lattice}")),
            applications: bucket(format!("exosuit_{lattice}")),
            objects: Objects::new(
                connection.clone(),
                format!("exosuit_{lattice}_objects"),
                domain.clone(),
            ),
            lattice,
            domain,
        }
    }

    /// Applies these limits to each bucket that is created.
    #[must_use]
    pub fn limited(mut self, limits: StreamLimits) -> Self {
        self.data.limit(limits);
        self.configurations.limit(limits);
        self.applications.limit(limits);
        self.objects.limit(limits);
        self
    }

    /// Creates missing buckets, and copies the records of hosts before 0.60. Returns the number of
    /// copied records.
    pub async fn prepare(&self) -> Result<usize, Error> {
        self.data.prepare().await?;
        self.configurations.prepare().await?;
        let connection = self.data.connection();
        legacy::migrate(
            connection,
            &self.lattice,
            self.domain.as_deref(),
            &self.data,
        )
        .await
    }

    /// Links, claims and references: [`Key`], [`Record`].
    pub fn data(&self) -> &Bucket {
        &self.data
    }

    /// Configurations by name: maps of texts.
    pub fn configurations(&self) -> &Bucket {
        &self.configurations
    }

    /// Applications. Created on first use.
    pub fn applications(&self) -> &Bucket {
        &self.applications
    }

    /// The files of applications. Created on first use.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Watches a bucket, beginning with all existing keys.
    pub fn watch(&self, bucket: &Bucket) -> Watcher {
        Watcher::start(bucket.clone())
    }

    /// Writes claims, a link of the OTP era or a reference.
    pub async fn put(&self, record: &Record) -> Result<u64, Error> {
        let key = record
            .key()
            .ok_or_else(|| Error::malformed("record", "its key is missing"))?;
        self.data.put(&key.to_string(), record.encode()).await
    }

    /// Deletes a key. A missing key is not an error.
    pub async fn delete(&self, key: &Key) -> Result<(), Error> {
        self.data.delete(&key.to_string()).await
    }

    /// Changes the links of a component of 1.x, without losing changes of other hosts.
    pub async fn update_component(
        &self,
        id: &Id,
        mut change: impl FnMut(&mut Component),
    ) -> Result<u64, Error> {
        let key = Key::Component(id.to_string()).to_string();
        self.data
            .update(&key, |old| {
                let old: Option<Component> = old.map(|value| records::decode(value)).transpose()?;
                let mut new = old.clone().unwrap_or_default();
                change(&mut new);
                Ok((old.as_ref() != Some(&new)).then(|| records::encode(&new)))
            })
            .await
    }

    /// Writes a configuration.
    pub async fn put_configuration(
        &self,
        name: &Id,
        values: &BTreeMap<String, String>,
    ) -> Result<u64, Error> {
        self.configurations
            .put(name.as_str(), records::encode(values))
            .await
    }

    /// A configuration, if it exists.
    pub async fn configuration(
        &self,
        name: &Id,
    ) -> Result<Option<BTreeMap<String, String>>, Error> {
        let entry = self.configurations.get(name.as_str()).await?;
        entry.value.map(|value| records::decode(&value)).transpose()
    }

    /// Deletes a configuration.
    pub async fn delete_configuration(&self, name: &Id) -> Result<(), Error> {
        self.configurations.delete(name.as_str()).await
    }
}
