//! The records of the store, as hosts of both eras write and read them: JSON.
//!
//! Two rules keep the eras compatible. A field that is missing or null is an empty text, and
//! unknown fields are ignored. A link's id is computed, never read: hosts that wrote another one
//! would make two links of one.

use std::collections::BTreeMap;

use bytes::Bytes;
use exosuit_core::{Contract, Id, InvalidName, Link, LinkName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::keys::{Key, link_id};
use crate::Error;

/// A value of the lattice's bucket, decoded.
///
/// The key says which kind a value has: the JSON alone does not.
///
/// ```
/// use exosuit_lattice::{Key, Record};
///
/// let key = Key::link("MABC", "wasmcloud:keyvalue", "default");
/// let value = br#"{"actor_id":"MABC","provider_id":"VDEF","link_name":"default",
///     "contract_id":"wasmcloud:keyvalue","values":{"URL":"redis://127.0.0.1"}}"#;
/// let record = Record::decode(&key, value)?;
/// assert_eq!(record.key(), Some(key));
/// assert!(matches!(record, Record::Link(link) if link.values["URL"] == "redis://127.0.0.1"));
/// # Ok::<(), exosuit_lattice::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The claims of an actor or a provider.
    Claims(Claims),
    /// A link of the OTP era.
    Link(LinkDefinition),
    /// Which public key a reference was found to have.
    Reference(Reference),
    /// The links of a component of 1.x.
    Component(Component),
}

/// The claims of a token, as texts; `""` for what the token does not say.
///
/// Written with the field names of the OTP era. Some writers of 1.x use longer names (`issuer`,
/// `revision`, `subject`), which are read as well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Claims {
    /// A name that other actors may call it by.
    #[serde(deserialize_with = "text")]
    pub call_alias: String,
    /// The public key of the issuer: an account, `A…`.
    #[serde(deserialize_with = "text", alias = "issuer")]
    pub iss: String,
    /// Its name.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// The contracts that it may use, separated by commas.
    #[serde(deserialize_with = "text")]
    pub caps: String,
    /// Its revision, a decimal number.
    #[serde(deserialize_with = "text", alias = "revision")]
    pub rev: String,
    /// The tags, separated by commas.
    #[serde(deserialize_with = "text")]
    pub tags: String,
    /// Its version.
    pub version: Option<String>,
    /// The public key of the actor or provider.
    #[serde(deserialize_with = "text", alias = "subject")]
    pub sub: String,
    /// The contract that a provider implements; `""` for actors.
    #[serde(deserialize_with = "text")]
    pub contract_id: String,
    /// The JSON schema of a provider's settings, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_schema: Option<String>,
}

/// A link of the OTP era.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkDefinition {
    /// The id of the link. It follows from the other fields, so others may leave it out.
    #[serde(default, deserialize_with = "text")]
    pub id: String,
    /// The source of the link.
    pub actor_id: String,
    /// The provider.
    pub provider_id: String,
    /// The name of the link.
    pub link_name: String,
    /// The contract.
    pub contract_id: String,
    /// Settings for the provider.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
}

/// The public key of the image behind a reference, as the host that fetched it found out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// The reference.
    pub oci_url: String,
    /// The public key.
    pub public_key: String,
}

/// A component or provider of 1.x, as the source of links.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// The reference of the image.
    #[serde(default, deserialize_with = "text")]
    pub url: String,
    /// Its links.
    #[serde(default)]
    pub links: Vec<ComponentLink>,
}

/// A link of 1.x: its settings are names of configurations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentLink {
    /// The id of the calling component.
    pub source_id: String,
    /// The id of the called component or provider.
    pub target: String,
    /// The name of the link.
    #[serde(default = "default_name")]
    pub name: String,
    /// `wasi` of `wasi:keyvalue`.
    pub wit_namespace: String,
    /// `keyvalue` of `wasi:keyvalue`.
    pub wit_package: String,
    /// The interfaces of the package that the link covers.
    #[serde(default)]
    pub interfaces: Vec<String>,
    /// The names of the configurations for the source.
    #[serde(default)]
    pub source_config: Vec<String>,
    /// The names of the configurations for the target.
    #[serde(default)]
    pub target_config: Vec<String>,
}

impl Record {
    /// Decodes the value of a key.
    ///
    /// # Errors
    ///
    /// `Malformed`. The text has the position in the JSON, and no value.
    pub fn decode(key: &Key, value: &[u8]) -> Result<Self, Error> {
        Ok(match key {
            Key::Claims(_) => Self::Claims(decode(value)?),
            Key::Link(_) => Self::Link(decode::<LinkDefinition>(value)?.with_id()),
            Key::Reference(_) => Self::Reference(decode(value)?),
            Key::Component(_) => Self::Component(decode(value)?),
        })
    }

    /// Encodes the value as JSON, with the fields in the order of their declaration.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Claims(claims) => encode(claims),
            Self::Link(link) => encode(link),
            Self::Reference(reference) => encode(reference),
            Self::Component(component) => encode(component),
        }
    }

    /// The key of the record. `None` for a component, whose value does not hold its id.
    pub fn key(&self) -> Option<Key> {
        match self {
            Self::Claims(claims) => Some(Key::Claims(claims.sub.clone())),
            Self::Link(link) => Some(link.key()),
            Self::Reference(reference) => Some(Key::Reference(reference.oci_url.clone())),
            Self::Component(_) => None,
        }
    }
}

impl LinkDefinition {
    /// Its key in the bucket.
    pub fn key(&self) -> Key {
        Key::link(&self.actor_id, &self.contract_id, &self.link_name)
    }

    /// The same link with the id that follows from its fields, whatever another host wrote.
    #[must_use]
    pub fn with_id(mut self) -> Self {
        self.id = link_id(&self.actor_id, &self.contract_id, &self.link_name);
        self
    }
}

impl From<&Link> for LinkDefinition {
    /// A link as the OTP era knows it: without interfaces and without settings for the source.
    ///
    /// The values are those for the target.
    fn from(link: &Link) -> Self {
        let definition = Self {
            id: String::new(),
            actor_id: link.source.to_string(),
            provider_id: link.target.to_string(),
            link_name: link.name.to_string(),
            contract_id: link.contract.to_string(),
            values: link.target_config.clone(),
        };
        definition.with_id()
    }
}

impl TryFrom<LinkDefinition> for Link {
    type Error = InvalidName;

    /// Fails for names that are not valid here. Such a link of another host is ignored.
    fn try_from(definition: LinkDefinition) -> Result<Self, InvalidName> {
        Ok(Self {
            source: Id::parse(&definition.actor_id)?,
            target: Id::parse(&definition.provider_id)?,
            name: LinkName::parse(&definition.link_name)?,
            contract: Contract::parse(&definition.contract_id)?,
            interfaces: Vec::new(),
            source_config: BTreeMap::new(),
            target_config: definition.values,
        })
    }
}

/// A record as JSON.
pub(super) fn encode(value: &impl Serialize) -> Bytes {
    let json = serde_json::to_vec(value).expect("maps and lists of texts have a form in JSON");
    json.into()
}

/// A record from JSON. The error has the parser's text.
pub(super) fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(value).map_err(|error| Error::malformed("record", error.to_string()))
}

/// A text; null is an empty one.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The name of a link that does not say its own.
fn default_name() -> String {
    LinkName::DEFAULT.to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_of_both_eras_are_read() {
        let key = Key::Claims("M".to_owned());
        let otp = json!({"call_alias": "", "iss": "A", "name": "echo", "caps": "a,b", "rev": "1", "tags": "",
            "version": null, "sub": "M", "contract_id": ""});
        let Ok(Record::Claims(claims)) = Record::decode(&key, otp.to_string().as_bytes()) else {
            panic!("no claims");
        };
        assert_eq!(serde_json::to_value(&claims).expect("JSON"), otp);

        let later = json!({"call_alias": null, "issuer": "A", "name": "echo", "revision": "1", "tags": "",
            "version": "0.1.0", "subject": "M"});
        let Ok(Record::Claims(claims)) = Record::decode(&key, later.to_string().as_bytes()) else {
            panic!("no claims");
        };
        assert_eq!(
            (
                claims.iss.as_str(),
                claims.sub.as_str(),
                claims.rev.as_str()
            ),
            ("A", "M", "1")
        );
    }

    #[test]
    fn a_link_without_an_id_gets_the_one_that_follows() {
        let value = json!({"actor_id": "Mbob", "provider_id": "V", "link_name": "default",
            "contract_id": "wasmcloud:testy", "values": {"a": "b"}});
        let key = Key::link("Mbob", "wasmcloud:testy", "default");
        let record = Record::decode(&key, value.to_string().as_bytes()).expect("a link");
        let Record::Link(definition) = &record else {
            panic!("{record:?}");
        };
        assert_eq!(
            definition.id,
            "B40411AD09B70A2C83D59923584F66BA2C5A3C274DC4F19416DA49CCD6531F9C"
        );
        assert_eq!(record.key(), Some(key));
        let link = Link::try_from(definition.clone()).expect("a link");
        assert_eq!(LinkDefinition::from(&link), *definition);
    }

    #[test]
    fn what_is_no_record_is_an_error() {
        let key = Key::link("M", "a:b", "default");
        for value in [&b""[..], b"{}", b"[]", b"\xff", br#"{"actor_id": 1}"#] {
            assert!(Record::decode(&key, value).is_err(), "{value:?}");
        }
        let deep = "[".repeat(100_000);
        assert!(Record::decode(&key, deep.as_bytes()).is_err());
    }
}
