//! Tokens with which hosts sign the calls that they send each other.
//!
//! [`sign`] makes the token of a [`Call`]; [`Seal`] is one that was received. What comes from
//! outside is checked in this order, the cheap before the dear: [`Seal::covers`], [`Seal::issuer`],
//! [`Seal::covers_payload`] where the payload is there and not large, and [`Seal::verify`].

use data_encoding::{BASE32_NOPAD, HEXUPPER};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::clip;
use crate::sign::WASCAP_REVISION;
use crate::token::{Body, Token};
use crate::{Error, KeyKind, KeyPair, Verifier};

/// How long the text of a public key is.
const KEY_LENGTH: usize = 56;

/// One end of a call: an actor, or a provider with the contract and the link that it is called by.
///
/// An actor has neither contract nor link, or they are not heeded: see [`Entity::is_actor`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Entity {
    /// `M…`, `V…`, or the id of what has no key.
    pub public_key: String,
    /// `wasmcloud:keyvalue`.
    pub contract: String,
    /// `default`.
    pub link: String,
}

impl Entity {
    /// An actor.
    pub fn actor(public_key: impl Into<String>) -> Self {
        Self {
            public_key: public_key.into(),
            ..Self::default()
        }
    }

    /// Whether it is an actor by its name, as the peers have it: by a first letter M. That of a
    /// provider may begin so as well, but then it is no key.
    ///
    /// Tokens say nothing of the contract and the link of an actor, so nothing may depend on them.
    pub fn is_actor(&self) -> bool {
        let is_like_a_key = self.public_key.len() == KEY_LENGTH;
        let is_bare = self.contract.is_empty() && self.link.is_empty();
        self.public_key.starts_with(['M', 'm']) && (is_like_a_key || is_bare)
    }

    /// The address that tokens speak of.
    pub fn url(&self) -> String {
        if self.is_actor() {
            return format!("wasmbus://{}", self.public_key);
        }
        let contract = self.contract.replace(':', "/").replace(' ', "_");
        let link = self.link.replace(' ', "_");
        format!(
            "wasmbus://{}/{}/{}",
            contract.to_lowercase(),
            link.to_lowercase(),
            self.public_key
        )
    }
}

/// What a token speaks of, but for the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    id: String,
    operation: String,
    origin_url: String,
    target_url: String,
    origin_id: Option<String>,
    lattice: Option<String>,
}

impl Call {
    /// The call of this id.
    pub fn new(id: &str, origin: &Entity, target: &Entity, operation: &str) -> Self {
        Self {
            id: id.to_owned(),
            operation: operation.to_owned(),
            origin_url: origin.url(),
            target_url: format!("{}/{operation}", target.url()),
            origin_id: None,
            lattice: None,
        }
    }

    /// The same, with the id that the origin has on its host besides its key. Peers do not read it.
    #[must_use]
    pub fn by(mut self, origin_id: &str) -> Self {
        self.origin_id = Some(origin_id.to_owned());
        self
    }

    /// The same, bound to the lattice of this name. Peers do not read it.
    #[must_use]
    pub fn within(mut self, lattice: &str) -> Self {
        self.lattice = Some(lattice.to_owned());
        self
    }

    /// The hash over all of it and the whole payload, also where that travels apart.
    pub fn hash(&self, payload: &[u8]) -> String {
        let hash = Sha256::new()
            .chain_update(&self.origin_url)
            .chain_update(&self.target_url)
            .chain_update(&self.operation)
            .chain_update(payload);
        HEXUPPER.encode(&hash.finalize())
    }
}

/// What a token says about a call in particular.
#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    target_url: String,
    origin_url: String,
    hash: String,
    /// Not known to the peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin_id: Option<String>,
    /// Not known to the peers: one cluster seed may serve several lattices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lattice: Option<String>,
}

/// Makes the token of a call, issued at `now` by a cluster.
pub fn sign(call: &Call, payload: &[u8], issuer: &KeyPair, now: u64) -> Result<String, Error> {
    issuer.public_key().require("issuer", KeyKind::Cluster)?;
    let body = Body {
        exp: None,
        jti: token_id(&call.id),
        iat: now,
        iss: issuer.public_key().to_string(),
        sub: call.id.clone(),
        nbf: None,
        wascap: Metadata {
            target_url: call.target_url.clone(),
            origin_url: call.origin_url.clone(),
            hash: call.hash(payload),
            origin_id: call.origin_id.clone(),
            lattice: call.lattice.clone(),
        },
        wascap_revision: Some(WASCAP_REVISION),
    };
    body.sign(issuer)
}

/// As long as those of the peers are, and as unique as the call's own.
fn token_id(call_id: &str) -> String {
    const LENGTH: usize = 22;
    let mut id = BASE32_NOPAD.encode(&Sha256::digest(call_id));
    id.truncate(LENGTH);
    id
}

/// A token that came with a call. Nothing of it is verified before it is asked to.
#[derive(Debug)]
pub struct Seal(Token<Metadata>);

impl Seal {
    /// Reads a token.
    pub fn parse(token: &str) -> Result<Self, Error> {
        Token::parse(token.as_bytes()).map(Self)
    }

    /// When it says that it was issued, in Unix seconds; 0 for never.
    pub fn issued_at(&self) -> u64 {
        self.0.body.iat
    }

    /// What no two tokens share that verify: half of the signature.
    pub fn fingerprint(&self) -> u128 {
        let half = self.0.signature.first_chunk().copied();
        u128::from_le_bytes(half.unwrap_or_default())
    }

    /// What it says that the origin is called on its host, besides its key. To be believed once it
    /// is verified.
    pub fn origin_id(&self) -> Option<&str> {
        self.0.body.wascap.origin_id.as_deref()
    }

    /// Checks that it speaks of this call. A token that names a lattice is good in that one alone;
    /// those of the peers name none.
    pub fn covers(&self, call: &Call) -> Result<(), Error> {
        let body = &self.0.body;
        if let (Some(claimed), Some(actual)) = (&body.wascap.lattice, &call.lattice) {
            same("lattice", claimed, actual)?;
        }
        same("id", &body.sub, &call.id)?;
        same("origin", &body.wascap.origin_url, &call.origin_url)?;
        same("target", &body.wascap.target_url, &call.target_url)
    }

    /// The one of the `trusted` clusters that it says it is of, if it is good at `now`: the part of
    /// [`Seal::verify`] that costs nothing.
    pub fn issuer<'k>(&self, trusted: &'k [Verifier], now: u64) -> Result<&'k Verifier, Error> {
        let name = &self.0.body.iss;
        let issuer = trusted.iter().find(|issuer| issuer.key().as_str() == name);
        let issuer = issuer.ok_or_else(|| Error::UntrustedIssuer(clip(name)))?;
        self.0.check_times(now)?;
        Ok(issuer)
    }

    /// Checks that one of the `trusted` clusters signed it, and that it is good at `now`. Of all
    /// checks it takes the longest, by far.
    pub fn verify(&self, trusted: &[Verifier], now: u64) -> Result<(), Error> {
        let issuer = self.issuer(trusted, now)?;
        if issuer.verify(self.0.signed(), &self.0.signature) {
            return Ok(());
        }
        Err(Error::ForgedSignature(issuer.key().to_string()))
    }

    /// Checks that it was made for this call with this payload.
    pub fn covers_payload(&self, call: &Call, payload: &[u8]) -> Result<(), Error> {
        same("hash", &self.0.body.wascap.hash, &call.hash(payload))
    }
}

fn same(what: &'static str, claimed: &str, actual: &str) -> Result<(), Error> {
    if claimed == actual {
        return Ok(());
    }
    Err(Error::WrongInvocation {
        what,
        claimed: clip(claimed),
        actual: clip(actual),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyvalue() -> Entity {
        Entity {
            public_key: "VAZVC4RX54J2NVCMCW7BPCAHGGG5XZXDBXFUMDUXGESTMQEJLC3YVZWB".to_owned(),
            contract: "wasmcloud:keyvalue".to_owned(),
            link: "default".to_owned(),
        }
    }

    #[test]
    fn an_address_is_that_of_the_peers() {
        assert_eq!(Entity::actor("MABC").url(), "wasmbus://MABC");
        let mut provider = keyvalue();
        provider.link = "My Link".to_owned();
        assert_eq!(
            provider.url(),
            "wasmbus://wasmcloud/keyvalue/my_link/VAZVC4RX54J2NVCMCW7BPCAHGGG5XZXDBXFUMDUXGESTMQEJLC3YVZWB"
        );
    }

    #[test]
    fn what_begins_like_an_actor_and_is_called_for_a_contract_is_none() {
        let mut provider = keyvalue();
        provider.public_key = "memory".to_owned();
        assert_eq!(
            provider.url(),
            "wasmbus://wasmcloud/keyvalue/default/memory"
        );
        assert!(Entity::actor("memory").is_actor() && !provider.is_actor());
        // To the peers a key is an actor whatever it comes with.
        provider.public_key = format!("M{}", &keyvalue().public_key[1..]);
        assert!(provider.is_actor());
    }

    #[test]
    fn a_token_that_names_a_lattice_is_good_in_that_one_alone() {
        let cluster = KeyPair::generate(KeyKind::Cluster);
        let call = Call::new("1", &Entity::actor("MA"), &keyvalue(), "KeyValue.Get");
        let bound = sign(&call.clone().within("a"), b"", &cluster, 1).expect("a token");
        let bound = Seal::parse(&bound).expect("a seal");
        assert_eq!(bound.covers(&call.clone().within("a")), Ok(()));
        let refused = bound.covers(&call.clone().within("b"));
        assert!(matches!(
            refused,
            Err(Error::WrongInvocation {
                what: "lattice",
                ..
            })
        ));

        let of_peers = sign(&call, b"", &cluster, 1).expect("a token");
        let of_peers = Seal::parse(&of_peers).expect("a seal");
        assert_eq!(of_peers.covers(&call.within("b")), Ok(()));
    }

    #[test]
    fn a_hash_is_that_of_the_peers() {
        let origin = Entity::actor("MCFMFDWFHGKELOXPCNCDXKK5OFLHBVEWRAOXR5JSQUD2TOFRE3DFPM7E");
        let call = Call::new("1", &origin, &keyvalue(), "KeyValue.Increment");
        assert_eq!(
            call.hash(&[1, 2, 3, 4]),
            "4AF3387D3DDB16A43DB86A1A3422EA5B7E876C3F5C4ABAB2621D49A43A2705FA"
        );
    }
}
