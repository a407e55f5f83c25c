//! The tokens that hosts sign their calls to each other with.
//!
//! [`sign`] creates the token of a [`Call`]; a [`Seal`] is a received one. Its checks, from the
//! cheapest to the most expensive: [`Seal::covers`], [`Seal::issuer`], [`Seal::covers_payload`] if
//! the payload is present and small, and [`Seal::verify`].

use data_encoding::{BASE32_NOPAD, HEXUPPER};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::clip;
use crate::sign::WASCAP_REVISION;
use crate::token::{Body, Token};
use crate::{Error, KeyKind, KeyPair, Verifier};

/// The length of the text of a public key.
const KEY_LENGTH: usize = 56;

/// One end of a call: an actor, or a provider with the contract and the link of the call.
///
/// The contract and the link of an actor have no meaning, see [`Entity::is_actor`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Entity {
    /// `M…`, `V…`, or the id of an entity without a key.
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

    /// Whether it is an actor by its name, as hosts of the OTP era decide it: the first letter is
    /// M. An id of a provider may begin with M, too, but then it is not a key.
    ///
    /// Tokens do not cover the contract and the link of an actor, so nothing may depend on them.
    pub fn is_actor(&self) -> bool {
        let is_like_a_key = self.public_key.len() == KEY_LENGTH;
        let is_bare = self.contract.is_empty() && self.link.is_empty();
        self.public_key.starts_with(['M', 'm']) && (is_like_a_key || is_bare)
    }

    /// The address of the entity in tokens.
    ///
    /// ```
    /// use exosuit_claims::invocation::Entity;
    ///
    /// let store = Entity {
    ///     public_key: "VAG3".to_owned(),
    ///     contract: "wasmcloud:keyvalue".to_owned(),
    ///     link: "default".to_owned(),
    /// };
    /// assert_eq!(store.url(), "wasmbus://wasmcloud/keyvalue/default/VAG3");
    /// assert_eq!(Entity::actor("MCFM").url(), "wasmbus://MCFM");
    /// ```
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

/// The call that a token covers, without its payload.
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
    /// A call with this id.
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

    /// Adds the id of the origin on its host, besides its key. Hosts of the OTP era do not read it.
    #[must_use]
    pub fn by(mut self, origin_id: &str) -> Self {
        self.origin_id = Some(origin_id.to_owned());
        self
    }

    /// Binds the call to the lattice of this name. Hosts of the OTP era do not read it.
    #[must_use]
    pub fn within(mut self, lattice: &str) -> Self {
        self.lattice = Some(lattice.to_owned());
        self
    }

    /// The hash over the call and the whole payload, even if that travels separately.
    pub fn hash(&self, payload: &[u8]) -> String {
        let hash = Sha256::new()
            .chain_update(&self.origin_url)
            .chain_update(&self.target_url)
            .chain_update(&self.operation)
            .chain_update(payload);
        HEXUPPER.encode(&hash.finalize())
    }
}

/// The claims of a token that are about one call.
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

/// Creates the token of a call, issued at `now` by a cluster.
///
/// ```
/// use exosuit_claims::invocation::{Call, Entity, Seal, sign};
/// use exosuit_claims::{KeyKind, KeyPair, Verifier};
///
/// let cluster = KeyPair::generate(KeyKind::Cluster);
/// let call = Call::new("1", &Entity::actor("MA"), &Entity::actor("MB"), "Ping").within("default");
/// let token = sign(&call, b"payload", &cluster, 1_700_000_000)?;
///
/// let seal = Seal::parse(&token)?;
/// let trusted = [Verifier::new(cluster.public_key().clone())];
/// seal.verify(&trusted, 1_700_000_001)?;
/// seal.covers(&call)?;
/// seal.covers_payload(&call, b"payload")?;
/// assert!(seal.covers_payload(&call, b"another").is_err());
/// assert!(seal.covers(&call.within("other")).is_err());
/// # Ok::<(), exosuit_claims::Error>(())
/// ```
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

/// The id of a token: as long as those of other hosts, and as unique as the call's id.
fn token_id(call_id: &str) -> String {
    const LENGTH: usize = 22;
    let mut id = BASE32_NOPAD.encode(&Sha256::digest(call_id));
    id.truncate(LENGTH);
    id
}

/// A received token. Nothing in it is verified until a method checks it.
#[derive(Debug)]
pub struct Seal(Token<Metadata>);

impl Seal {
    /// Decodes a token.
    pub fn parse(token: &str) -> Result<Self, Error> {
        Token::parse(token.as_bytes()).map(Self)
    }

    /// When it claims to be issued, in Unix seconds; 0 if it does not say.
    pub fn issued_at(&self) -> u64 {
        self.0.body.iat
    }

    /// Half of the signature. No two valid tokens share it.
    pub fn fingerprint(&self) -> u128 {
        let half = self.0.signature.first_chunk().copied();
        u128::from_le_bytes(half.unwrap_or_default())
    }

    /// The id of the origin on its host, besides its key. It is reliable once the token is
    /// verified.
    pub fn origin_id(&self) -> Option<&str> {
        self.0.body.wascap.origin_id.as_deref()
    }

    /// Checks that the token is for this call. A token that names a lattice is valid only there;
    /// tokens of other hosts name none.
    pub fn covers(&self, call: &Call) -> Result<(), Error> {
        let body = &self.0.body;
        if let (Some(claimed), Some(actual)) = (&body.wascap.lattice, &call.lattice) {
            same("lattice", claimed, actual)?;
        }
        same("id", &body.sub, &call.id)?;
        same("origin", &body.wascap.origin_url, &call.origin_url)?;
        same("target", &body.wascap.target_url, &call.target_url)
    }

    /// The `trusted` cluster that the token names as its issuer, if the token is valid at `now`.
    /// This is the cheap part of [`Seal::verify`].
    pub fn issuer<'k>(&self, trusted: &'k [Verifier], now: u64) -> Result<&'k Verifier, Error> {
        let name = &self.0.body.iss;
        let issuer = trusted.iter().find(|issuer| issuer.key().as_str() == name);
        let issuer = issuer.ok_or_else(|| Error::UntrustedIssuer(clip(name)))?;
        self.0.check_times(now)?;
        Ok(issuer)
    }

    /// Checks that one of the `trusted` clusters signed the token, and that it is valid at `now`.
    /// This is by far the most expensive check.
    pub fn verify(&self, trusted: &[Verifier], now: u64) -> Result<(), Error> {
        let issuer = self.issuer(trusted, now)?;
        if issuer.verify(self.0.signed(), &self.0.signature) {
            return Ok(());
        }
        Err(Error::ForgedSignature(issuer.key().to_string()))
    }

    /// Checks that the token is for this call with this payload.
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
