//! The result of parsing a manifest: specifications and links.
//!
//! Everything serializes to maps, lists, texts, numbers and null. An enum with data is a map with a
//! `kind`.
//!
//! Ids, contracts and names are parsed types, so nothing behind this model checks them again.
//! Fields that an author left out are `None`: the host fills in its defaults, which may differ
//! between hosts. Each part has its [`Place`], so that a later step can report a mistake at the
//! right line.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::num::NonZeroU32;

use exosuit_core::{Configuration, Contract, Id, LinkKey, LinkName};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::diagnostic::{Diagnostic, Place};
use crate::image::Image;

/// A manifest without errors, and its warnings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parsed {
    /// The manifest.
    pub manifest: Manifest,
    /// Mistakes that do not prevent a start.
    pub warnings: Vec<Diagnostic>,
}

/// An application: actors, providers and links.
///
/// The lists are in the order of the text. Ids are unique among actors and providers together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// The file that it came from, as messages call it.
    pub file: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.annotations.version`.
    pub version: Option<String>,
    /// `metadata.annotations.description`.
    pub description: Option<String>,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`, version and description among them.
    pub annotations: BTreeMap<String, String>,
    /// How its new versions roll out.
    pub rollout: Rollout,
    /// Components of type `component` or `actor`.
    pub components: Vec<ActorSpec>,
    /// Components of type `capability`.
    pub providers: Vec<ProviderSpec>,
    /// The traits `link` and `linkdef` of all of them.
    pub links: Vec<LinkSpec>,
}

/// How a new version rolls out over the hosts. The host has defaults for absent fields.
///
/// A version has failed if the deadline passes before it runs on all hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rollout {
    /// `exosuit.max_unavailable`: how many hosts update at a time.
    pub max_unavailable: Option<u32>,
    /// `exosuit.progress_deadline`: after this time, a version that does not run everywhere has
    /// failed.
    pub progress_deadline_ms: Option<u64>,
}

/// A parsed configuration.
#[derive(Default)]
pub(crate) struct Configured {
    /// The configuration in the manifest itself, merged in order.
    pub(crate) values: Configuration,
    /// All parts in their order; later ones replace values of earlier ones. Empty if no part is
    /// stored.
    pub(crate) parts: Vec<Part>,
}

/// One part of a configuration.
///
/// A stored part is looked up when the application starts, and again when it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "value", rename_all = "lowercase")]
pub enum Part {
    /// Written in the manifest.
    Given(Configuration),
    /// Stored under a name, on the host or in its lattice.
    Stored {
        /// The name.
        name: String,
        /// Its place in the manifest.
        place: Place,
    },
}

impl Configured {
    /// The configuration of these parts. Without a stored part, the list is dropped, as `values`
    /// says everything.
    pub(crate) fn of(parts: Vec<Part>) -> Self {
        let given = parts.iter().filter_map(|part| match part {
            Part::Given(values) => Some(values.clone()),
            Part::Stored { .. } => None,
        });
        let values = given.flatten().collect();
        let is_stored = |part: &Part| matches!(part, Part::Stored { .. });
        let parts = if parts.iter().any(is_stored) {
            parts
        } else {
            Vec::new()
        };
        Self { values, parts }
    }
}

/// An actor of the application.
///
/// A manifest of wadm has one image, one scaler and any number of links per component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActorSpec {
    /// Its name in the manifest.
    pub name: String,
    /// `<application>-<name>` unless the manifest gives one.
    #[serde(serialize_with = "text")]
    pub id: Id,
    /// The source of its code.
    pub image: Image,
    /// The number of calls that it serves at the same time on a host. The default is the host's; in wadm it
    /// is 1.
    pub max_instances: Option<NonZeroU32>,
    /// The meaning of `max_instances` and `spread`.
    pub scaler: ScalerKind,
    /// The hosts; empty means any.
    pub spread: Vec<Spread>,
    /// Whether it runs on one host at a time, with all of its instances.
    pub singleton: bool,
    /// Its configuration (`wasi:config`) as far as the manifest gives it, merged in order.
    pub config: Configuration,
    /// All parts of it in their order, where one is stored elsewhere.
    pub config_parts: Vec<Part>,
    /// The annotations of the trait `exosuit`.
    pub annotations: BTreeMap<String, String>,
    /// The rest of the trait `exosuit`.
    pub settings: ActorSettings,
    /// Its place in the manifest.
    pub place: Place,
    /// Where its image stands.
    pub image_place: Place,
}

/// A provider of the application.
///
/// Its image names a built-in provider, an Elixir module, or a file or reference that hosts do not
/// support yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderSpec {
    /// Its name in the manifest.
    pub name: String,
    /// `<application>-<name>` unless the manifest gives one.
    #[serde(serialize_with = "text")]
    pub id: Id,
    /// The reference of the provider.
    pub image: Image,
    /// The contract that it implements, where an old manifest says it.
    #[serde(serialize_with = "optional_text")]
    pub contract: Option<Contract>,
    /// The name of the links to it that an old `linkdef` makes.
    #[serde(serialize_with = "text")]
    pub link_name: LinkName,
    /// The number of hosts on which it runs; 1 if absent.
    pub instances: Option<NonZeroU32>,
    /// The meaning of `instances` and `spread`.
    pub scaler: ScalerKind,
    /// The hosts; empty means any host.
    pub spread: Vec<Spread>,
    /// Whether it runs on one host at a time.
    pub singleton: bool,
    /// Its configuration as far as the manifest gives it, merged in order.
    pub config: Configuration,
    /// All parts of it in their order, where one is stored elsewhere.
    pub config_parts: Vec<Part>,
    /// The annotations of the trait `exosuit`.
    pub annotations: BTreeMap<String, String>,
    /// Its place in the manifest.
    pub place: Place,
    /// Where its image stands.
    pub image_place: Place,
}

/// A link of the application.
///
/// Both ends are components of the manifest. Two links with one key must cover different
/// interfaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinkSpec {
    /// The id of the end that calls.
    #[serde(serialize_with = "text")]
    pub source: Id,
    /// The id of the end that is called.
    #[serde(serialize_with = "text")]
    pub target: Id,
    /// Distinguishes several links of one source for one contract.
    #[serde(serialize_with = "text")]
    pub name: LinkName,
    /// The contract; serialised as `contract`, `namespace` and `package`.
    #[serde(flatten, serialize_with = "contract")]
    pub contract: Contract,
    /// The interfaces of the package that it covers; none means all.
    pub interfaces: Vec<String>,
    /// Settings for the source as far as the manifest gives them, merged in order.
    pub source_config: Configuration,
    /// All parts of them in their order, where one is stored elsewhere.
    pub source_parts: Vec<Part>,
    /// The same for the target.
    pub target_config: Configuration,
    /// The same for the target.
    pub target_parts: Vec<Part>,
    /// Its place in the manifest.
    pub place: Place,
}

impl LinkSpec {
    /// The key by which links are put and deleted.
    pub fn key(&self) -> LinkKey {
        LinkKey {
            source: self.source.clone(),
            contract: self.contract.clone(),
            name: self.name.clone(),
        }
    }
}

/// How instances are spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ScalerKind {
    /// This number of instances in all, spread over the matching hosts by weight.
    #[default]
    Spread,
    /// This number on each matching host.
    Daemon,
}

/// Some of the hosts, and their share of the instances.
///
/// With several spreads, each gets its part of the instances by its weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// Its name.
    pub name: String,
    /// Labels that a host must have.
    pub requirements: BTreeMap<String, String>,
    /// Its share of the sum of all weights, 100 unless given.
    pub weight: u32,
    /// Its place in the manifest.
    pub place: Place,
}

/// The trait `exosuit` of an actor. The host has defaults for absent fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ActorSettings {
    /// Its bounds: memory, tables, waiting calls, log lines, time.
    pub limits: ActorLimits,
    /// How long an instance lives.
    pub instances: InstancePolicy,
    /// Where a call runs.
    pub execution: Execution,
    /// The parts of its host that WASI gives to it.
    pub grants: Grants,
    /// The places of the given settings, by their names in the manifest.
    pub places: BTreeMap<String, Place>,
}

/// Limits of an actor. The host has defaults for absent fields.
///
/// Sizes are in bytes and times in milliseconds, whatever unit the manifest uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ActorLimits {
    /// Bytes of linear memory of an instance.
    pub memory: Option<u64>,
    /// Elements of a table of an instance.
    pub table: Option<u32>,
    /// Calls that wait while `max_instances` run.
    pub queue: Option<u32>,
    /// The lines that it may log in a second.
    pub log: Option<u32>,
    /// Milliseconds that a call may take at the longest, whatever its caller says.
    #[serde(rename = "deadline")]
    pub deadline_ms: Option<u64>,
    /// The milliseconds without a call after which an instance that holds resources of a caller
    /// ends.
    #[serde(rename = "resource_idle")]
    pub resource_idle_ms: Option<u64>,
}

/// How long an instance lives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum InstancePolicy {
    /// An instance serves one call.
    #[default]
    Ephemeral,
    /// An instance serves many calls, one after the other. Its memory lives on between them.
    Warm {
        /// The number of instances that are kept.
        pool: Option<u32>,
        /// The number of calls after which an instance is dropped.
        calls: Option<u32>,
        /// The milliseconds without a call after which an instance is dropped.
        idle_ms: Option<u64>,
    },
}

/// Where a call runs.
///
/// Only `auto` is supported by hosts today, see [`Manifest::unsupported`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Execution {
    /// Chosen by the duration of earlier calls.
    #[default]
    Auto,
    /// The first slice runs on the caller's scheduler.
    Inline,
    /// The whole call runs on Tokio.
    Async,
}

/// What WASI gives to an actor. It has nothing that is not named here.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct Grants {
    /// The arguments of its command line, after the program's name.
    pub arguments: Vec<String>,
    /// Its environment variables. `Debug` shows the names only, as values may be secrets.
    pub environment: BTreeMap<String, String>,
    /// Directories of the host.
    pub directories: Vec<Directory>,
}

/// A directory of the host that an actor sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Directory {
    /// Where it is; absolute if [`Source::directory`](crate::Source::directory) is.
    pub host: String,
    /// Its name for the guest: `/data`.
    pub guest: String,
    /// The access that the guest has.
    pub access: Access,
}

/// The access of an actor to a directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// The guest may read.
    #[default]
    Read,
    /// The guest may read and write.
    Write,
}

impl fmt::Debug for Grants {
    /// Values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grants")
            .field("arguments", &self.arguments.len())
            .field("environment", &self.environment.keys())
            .field("directories", &self.directories)
            .finish()
    }
}

/// Serializes a parsed name as its text.
fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Serializes a parsed name, or null.
#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn optional_text<S: Serializer>(
    value: &Option<impl Display>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

/// Serializes a contract whole and in its two parts.
fn contract<S: Serializer>(contract: &Contract, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(3))?;
    map.serialize_entry("contract", contract.as_str())?;
    map.serialize_entry("namespace", contract.namespace())?;
    map.serialize_entry("package", contract.package())?;
    map.end()
}
