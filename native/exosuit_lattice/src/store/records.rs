//! The records of the store, as hosts of both eras write and read them: JSON.

use std::collections::BTreeMap;

use bytes::Bytes;
use exosuit_core::{Contract, Id, InvalidName, Link, LinkName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::keys::{Key, link_id};
use crate::Error;

/// A value of the lattice's bucket, decoded.
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

/// The claims of a token, as texts: `""` for an absent one.
///
/// They are written as in the OTP era. 1.x reads the same fields, and writes some under longer names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Claims {
    /// A name that other actors may call it by.
    #[serde(deserialize_with = "text")]
    pub call_alias: String,
    /// The account that signed it.
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
    /// Its public key.
    #[serde(deserialize_with = "text", alias = "subject")]
    pub sub: String,
    /// The contract that a provider implements; `""` for actors.
    #[serde(deserialize_with = "text")]
    pub contract_id: String,
    /// The schema of a provider's settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_schema: Option<String>,
}

/// A link of the OTP era.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkDefinition {
    /// Its id. Other hosts may leave it out, because it follows from the other fields.
    #[serde(default, deserialize_with = "text")]
    pub id: String,
    /// The actor that calls.
    pub actor_id: String,
    /// The provider that is called.
    pub provider_id: String,
    /// The name of the link.
    pub link_name: String,
    /// The contract.
    pub contract_id: String,
    /// Settings for the provider.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
}

/// Which public key a reference was found to have.
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
    /// The reference of its image.
    #[serde(default, deserialize_with = "text")]
    pub url: String,
    /// Its links.
    #[serde(default)]
    pub links: Vec<ComponentLink>,
}

/// A link of 1.x: its settings are names of configurations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentLink {
    /// The component or provider that calls.
    pub source_id: String,
    /// The component or provider that is called.
    pub target: String,
    /// The name of the link.
    #[serde(default = "default_name")]
    pub name: String,
    /// `wasi` of `wasi:keyvalue`.
    pub wit_namespace: String,
    /// `keyvalue` of `wasi:keyvalue`.
    pub wit_package: String,
    /// The interfaces of the package.
    #[serde(default)]
    pub interfaces: Vec<String>,
    /// Settings for the source.
    #[serde(default)]
    pub source_config: Vec<String>,
    /// Settings for the target.
    #[serde(default)]
    pub target_config: Vec<String>,
}

impl Record {
    /// Reads a value by its key.
    pub fn decode(key: &Key, value: &[u8]) -> Result<Self, Error> {
        Ok(match key {
            Key::Claims(_) => Self::Claims(decode(value)?),
            Key::Link(_) => Self::Link(decode::<LinkDefinition>(value)?.with_id()),
            Key::Reference(_) => Self::Reference(decode(value)?),
            Key::Component(_) => Self::Component(decode(value)?),
        })
    }

    /// Writes the value.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Claims(claims) => encode(claims),
            Self::Link(link) => encode(link),
            Self::Reference(reference) => encode(reference),
            Self::Component(component) => encode(component),
        }
    }

    /// Its key in the bucket. `None` for a component, whose record does not have its id.
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

    /// The link with its correct id, even if other hosts wrote a wrong one.
    #[must_use]
    pub fn with_id(mut self) -> Self {
        self.id = link_id(&self.actor_id, &self.contract_id, &self.link_name);
        self
    }
}

impl From<&Link> for LinkDefinition {
    /// A link as the OTP era knows it: without interfaces and without settings for the source.
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

pub(super) fn encode(value: &impl Serialize) -> Bytes {
    let json = serde_json::to_vec(value).expect("maps and lists of texts have a form in JSON");
    json.into()
}

pub(super) fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(value).map_err(|error| Error::malformed("record", error.to_string()))
}

/// A text; nothing is an empty one.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

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
