//! The texts of refusals. Texts about links and claims begin like those of the OTP era, which guests may know.
//!
//! One function for each refusal, so that a code and its text are in one place. Every text names both ends and, as
//! far as that is known, what to change. Words of a guest are quoted and cut: a guest chooses the names that it
//! calls. No text holds a configuration or a payload.
//!
//! The wording "Invocation not authorized: missing link definition" is what guests of the OTP era
//! match on, so it stays. Everything after it may change. Code matches on `Error::code`, never on a
//! text.

use std::time::Duration;

use exosuit_core::{Code, Contract, Error, Id, Link, Target};

/// A longer text of a guest's is cut: past every key, contract and alias.
const MAX_QUOTED: usize = 255;

/// Quotes a text of a guest for a message.
///
/// Cut at a character's border, and escaped: a newline in a name cannot forge a second line of a
/// log.
pub(crate) fn quote(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_QUOTED)]
        .escape_debug()
        .to_string()
}

/// A target as its caller named it.
///
/// Parts that were parsed need no quoting, as their types allow no other characters.
pub(crate) fn name(target: &Target) -> String {
    match target {
        Target::Actor(name) => quote(name),
        Target::Provider { id, contract, link } => format!("{id}, {contract} on {link}"),
        Target::Import { namespace, link } => format!("{} on {}", quote(namespace), quote(link)),
    }
}

/// No link of the caller covers the contract under this name. `whose` names the caller, or both
/// ends.
pub(crate) fn missing_link(contract: &str, link: &str, whose: &str) -> Error {
    let detail = format!(
        "Invocation not authorized: missing link definition for {} on {} ({whose})",
        quote(contract),
        quote(link)
    );
    Error::new(Code::MissingLink, detail)
}

/// The claims of the actor do not name the contract.
pub(crate) fn missing_claim(contract: &str, actor: &Id) -> Error {
    let detail = format!(
        "Invocation not authorized: missing capability claim for {contract} (actor {actor})"
    );
    Error::new(Code::MissingClaim, detail)
}

/// The calling actor was never published here, so nothing is known that could allow its call.
pub(crate) fn unknown_caller(actor: &Id) -> Error {
    let detail = format!("Invocation not authorized: the claims of actor {actor} are unknown");
    Error::new(Code::MissingClaim, detail)
}

/// The token of the caller, or of the actor that is called, is past its end.
pub(crate) fn expired(actor: &str) -> Error {
    let detail = format!("the claims of actor {actor} have expired; sign it anew and update it");
    Error::new(Code::ExpiredClaims, detail)
}

/// Nobody here has the name, and no other host may be asked.
pub(crate) fn unknown_actor(name: &str) -> Error {
    let detail = format!(
        "no actor here has the id, public key or call alias {}",
        quote(name)
    );
    Error::new(Code::UnknownTarget, detail)
}

/// Several actors have this name, and it matters which of them is meant.
pub(crate) fn ambiguous<'a>(name: &str, ids: impl Iterator<Item = &'a str>) -> Error {
    let ids: Vec<_> = ids.collect();
    let detail = format!(
        "{} is ambiguous: actors {} have that name, and other settings or links each; call one by id",
        quote(name),
        ids.join(", ")
    );
    Error::new(Code::UnknownTarget, detail)
}

/// An actor of another issuer has the name.
pub(crate) fn name_taken(
    what: &str,
    name: &str,
    id: &Id,
    other: &Id,
    issuer: Option<&str>,
) -> Error {
    let whose = issuer.map_or_else(
        || "which is not signed".to_owned(),
        |issuer| format!("whose issuer is {issuer}"),
    );
    let detail = format!(
        "the {what} {} of actor {id} belongs to actor {other}, {whose}; stop {other}, or give one of \
         the two another name",
        quote(name)
    );
    Error::new(Code::Conflict, detail)
}

/// The alias of a token is ignored. The actor runs, and is called by id or key.
pub(crate) fn no_alias(id: &Id, alias: &str) -> Error {
    let detail = format!(
        "the call alias {} of actor {id} is not valid: expected up to 255 characters of ASCII without \
         spaces, and not the form of a contract or a key",
        quote(alias)
    );
    Error::new(Code::InvalidInput, detail)
}

/// The alias is hidden by an id, which comes first in every look-up.
pub(crate) fn alias_is_an_id(id: &Id, alias: &str) -> Error {
    let detail = format!(
        "the call alias {alias} of actor {id} is the id of another actor, which calls by it reach"
    );
    Error::new(Code::Conflict, detail)
}

/// The alias belongs to another key of the same issuer, until that key's last actor is gone.
pub(crate) fn alias_waits(id: &Id, alias: &str, owner: &Id) -> Error {
    let detail = format!("the call alias {alias} of actor {id} belongs to actor {owner}");
    Error::new(Code::Conflict, detail)
}

/// A remote host called a provider as if it were an actor.
pub(crate) fn no_actor(name: &str) -> Error {
    let detail = format!(
        "Invocation not authorized: {} is not an actor; a provider is called through a link",
        quote(name)
    );
    Error::new(Code::MissingClaim, detail)
}

/// The host called a contract that only a link leads to.
pub(crate) fn no_capability(contract: &str) -> Error {
    let detail = format!(
        "{} is neither an actor nor a built-in capability here; only an actor has links",
        quote(contract)
    );
    Error::new(Code::UnknownTarget, detail)
}

/// The link is there, and its target is not, neither here nor, as far as this host may ask,
/// elsewhere.
pub(crate) fn no_provider(link: &Link) -> Error {
    let detail = format!(
        "{} is linked to {} for {} on {}, but no provider of that name runs here",
        link.source, link.target, link.contract, link.name
    );
    Error::new(Code::Unavailable, detail)
}

/// The provider runs and has not accepted this link: it is being handed over, or was refused.
pub(crate) fn not_taken(link: &Link) -> Error {
    let detail = format!(
        "provider {} has not accepted its link to {} for {} on {}",
        link.target, link.source, link.contract, link.name
    );
    Error::new(Code::Unavailable, detail)
}

/// Two links of one key would send the same operation to two targets.
pub(crate) fn conflict(new: &Link, old: &Link) -> Error {
    let detail = format!(
        "{} is linked to {} for {} on {} already; delete that link, or give this one another name",
        new.source, old.target, new.contract, new.name
    );
    Error::new(Code::Conflict, detail)
}

/// A deletion was requested after this put.
pub(crate) fn deleted_meanwhile(link: &Link) -> Error {
    let detail = format!(
        "the link from {} for {} on {} was deleted before this change of it took effect; put it again \
         if it shall be there",
        link.source, link.contract, link.name
    );
    Error::new(Code::Dropped, detail)
}

/// The status of a link that is bound to other code, see `lineage`. A call through it gets
/// `missing_link`.
pub(crate) fn orphan(link: &Link) -> Error {
    let detail = format!(
        "the link from {} to {} for {} on {} was made for an actor that was stopped, and other code \
         runs under its id; put the link again if that shall use it, or delete it",
        link.source, link.target, link.contract, link.name
    );
    Error::new(Code::Denied, detail)
}

/// The locks of the link were not free in time.
pub(crate) fn busy(link: &Link, timeout: Duration) -> Error {
    let detail = format!(
        "other changes of links of {} and {} have not ended within {timeout:?}; nothing was changed, \
         put the link again",
        link.source, link.target
    );
    Error::new(Code::Deadline, detail)
}

/// The contract of the link is none of the provider's. The text lists those.
pub(crate) fn not_implemented(provider: &Id, contract: &Contract, has: &[Contract]) -> Error {
    let has: Vec<_> = has.iter().map(Contract::as_str).collect();
    let detail = format!(
        "provider {provider} does not implement {contract}, but {}",
        has.join(", ")
    );
    Error::new(Code::InvalidLink, detail)
}

/// Both ends of a link are providers, and providers never call each other.
pub(crate) fn two_providers(link: &Link) -> Error {
    let detail = format!(
        "{} and {} are both providers; a link joins an actor with a provider or with an actor",
        link.source, link.target
    );
    Error::new(Code::InvalidLink, detail)
}

/// All slots of the actor are used. `why` says why the call does not wait.
pub(crate) fn overloaded(actor: &Id, running: u32, why: &str) -> Error {
    let detail = format!("actor {actor} runs {running} calls, the maximum, {why}");
    Error::new(Code::Overloaded, detail)
}

/// As many calls wait for the restart as may.
pub(crate) fn crowded(actor: &Id, waiting: usize) -> Error {
    let detail = format!("actor {actor} does not run, and {waiting} calls wait for it already");
    Error::new(Code::Unavailable, detail)
}

/// The actor did not start within `Options::restart_wait`.
pub(crate) fn not_running(actor: &Id) -> Error {
    let detail = format!("actor {actor} is specified but does not run, and did not start in time");
    Error::new(Code::Unavailable, detail)
}

/// The call is nested too deeply, usually because two actors call each other without end.
pub(crate) fn too_deep(depth: u8, max: u8) -> Error {
    let detail = format!("the call is inside of {depth} others, and at most {max} are allowed");
    Error::new(Code::Depth, detail)
}

/// The host drains, or its router is gone.
pub(crate) fn stopping() -> Error {
    Error::new(Code::Unavailable, "the host is stopping")
}
