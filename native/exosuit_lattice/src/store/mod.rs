//! What the hosts of a lattice share: links, claims, references and configuration, in buckets of
//! keys and values that hosts of both eras read and write; and applications, which our hosts alone do.
//!
//! - [`SharedState`]: the buckets of a lattice. [`Bucket`]: one of them. [`Objects`]: bytes by digest.
//! - `keys`, `records`: what stands there. `legacy`: where it stood before 2023.
//! - `watcher`, `mirror`: what changes there, whoever changes it.

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

/// What the hosts of a lattice share. Clones are the same.
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
    /// The state of a lattice, over the control connection. Asks the server nothing yet.
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

    /// Applies these limits to each bucket when it is made.
    #[must_use]
    pub fn limited(mut self, limits: StreamLimits) -> Self {
        self.data.limit(limits);
        self.configurations.limit(limits);
        self.applications.limit(limits);
        self.objects.limit(limits);
        self
    }

    /// Makes what is not there yet, and brings over what hosts before 0.60 left. Says how many
    /// records that were.
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

    /// Configurations by their names: maps of texts.
    pub fn configurations(&self) -> &Bucket {
        &self.configurations
    }

    /// Applications: what hosts of Exosuit alone share. Made on first use.
    pub fn applications(&self) -> &Bucket {
        &self.applications
    }

    /// The files of applications. Made on first use.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Reads what changes in a bucket, beginning with all that there is.
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

    /// Deletes what stands under a key; that there is nothing is no error.
    pub async fn delete(&self, key: &Key) -> Result<(), Error> {
        self.data.delete(&key.to_string()).await
    }

    /// Changes the links of a component of 1.x: others' changes at the same time are not lost.
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

    /// A configuration, if it is there.
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
