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
//!
//! # Who writes and who reads
//!
//! Each host watches `data`, `configurations` and `applications` (`Exosuit.Host.Replica`), and
//! keeps what it needs in its own tables. It writes when a user changes something on it. So there
//! is no leader: two hosts that write the same key are ordered by the server, and conditional
//! writes tell the second that it came late.
//!
//! Old hosts do not know our applications, and 1.x hosts store links per component. The records of
//! `data` are therefore exactly theirs, see `records`. Everything else is in buckets of our own.
//!
//! # What a lost bucket means
//!
//! A server without replicas may lose its disk. The bucket is then created again, empty, by the
//! first host that needs it. Watchers tell that from a deletion (`Change::Lost`), and hosts write
//! their copies back.

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

/// The state that the hosts of a lattice share. Clones share it, and cost a few reference counts.
///
/// Every function that is `async` asks a server. Without a connection it fails at once with
/// `NotConnected`, and it never waits for one.
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
    /// The state of a lattice over its control connection. Sends no request yet. `domain` is the
    /// domain of `JetStream` that has the buckets, if it is not that of the server.
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
    ///
    /// Buckets that exist already keep their limits.
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
    ///
    /// A host calls it each time that it starts. The old stream is deleted once it was copied, so
    /// the copy happens once per lattice. Applications and objects are not created here, as a
    /// lattice of other hosts would never use them.
    ///
    /// # Errors
    ///
    /// `Store`, with advice if the account has no room for the buckets.
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
    ///
    /// Runs a task until the watcher is dropped. See `watcher` for what a reader can rely on.
    pub fn watch(&self, bucket: &Bucket) -> Watcher {
        Watcher::start(bucket.clone())
    }

    /// Writes claims, a link of the OTP era or a reference.
    ///
    /// The value is written whatever was there. Returns the revision.
    ///
    /// # Errors
    ///
    /// `Malformed` for a component, which does not know its own id: use [`Self::update_component`].
    /// `TooLarge` for a value that does not fit into a message.
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
    ///
    /// All links of a component are one value. So two hosts that each add a link would overwrite
    /// each other without the comparison of revisions. `change` may be called several times, each
    /// time with the value that another host has just written. If it changes nothing, nothing is
    /// written.
    ///
    /// # Errors
    ///
    /// `Contended` after 64 attempts, `Malformed` if the value there cannot be decoded.
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

    /// Writes a configuration in place of an earlier one, and returns the revision.
    pub async fn put_configuration(
        &self,
        name: &Id,
        values: &BTreeMap<String, String>,
    ) -> Result<u64, Error> {
        self.configurations
            .put(name.as_str(), records::encode(values))
            .await
    }

    /// A configuration, or `None` if there is none of this name.
    ///
    /// # Errors
    ///
    /// `Malformed` if another host wrote something else there.
    pub async fn configuration(
        &self,
        name: &Id,
    ) -> Result<Option<BTreeMap<String, String>>, Error> {
        let entry = self.configurations.get(name.as_str()).await?;
        entry.value.map(|value| records::decode(&value)).transpose()
    }

    /// Deletes a configuration. A missing one is not an error. Links that name it are withheld by
    /// the control plane.
    pub async fn delete_configuration(&self, name: &Id) -> Result<(), Error> {
        self.configurations.delete(name.as_str()).await
    }
}
