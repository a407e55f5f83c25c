//! The hosts of a lattice, and the one that the arguments select.
//!
//! All hosts are pinged at once. The first answer may take four seconds; then the list is complete
//! when none has come for 750 ms. A host that is selected by its whole id is not looked up.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use exosuit_claims::{KeyKind, PublicKey};
use exosuit_lattice::Error;
use serde::Deserialize;
use serde_json::Value;

use super::control::{Control, unwrap};
use crate::failure::Failure;
use crate::output::printable;

/// The time to wait for the first answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// The time without an answer after which the list is complete.
const QUIET: Duration = Duration::from_millis(750);

/// The largest number of hosts that are listed.
const MOST: usize = 10_000;

/// The number of hosts that an error names.
const SHOWN: usize = 10;

/// A host, as it answers a ping.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Member {
    pub(super) id: String,
    #[serde(default)]
    pub(super) friendly_name: String,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) uptime_seconds: Option<u64>,
    #[serde(default)]
    pub(super) version: Option<String>,
}

impl Control {
    /// Sends a request to one host.
    pub(super) async fn ask_host(
        &self,
        host: &str,
        question: &str,
        body: &Value,
    ) -> Result<Value, Failure> {
        match self.request(&format!("{question}.{host}"), body).await {
            Err(Error::NoResponders(_)) => Err(unknown(self, host).await),
            answer => unwrap(&answer?).map_err(|failure| failure.about(host)),
        }
    }
}

/// The hosts that answer, by id.
pub(super) async fn all(control: &Control) -> Result<Vec<Member>, Failure> {
    let subject = control.subject("host.ping");
    let answers = control
        .bus
        .gather_until_quiet(&subject, Bytes::new(), PATIENCE, QUIET, MOST);
    let members = answers.await?;
    let members = members.iter().filter_map(|answer| parse(answer));
    // A host that serves two interfaces may answer twice.
    let members: BTreeMap<_, _> = members.map(|member| (member.id.clone(), member)).collect();
    Ok(members.into_values().collect())
}

/// The id of the selected host. A complete id is used without a look-up.
pub(super) async fn find(control: &Control) -> Result<String, Failure> {
    if let Some(id) = control.host.as_deref().filter(|host| is_host(host)) {
        return Ok(id.to_owned());
    }
    let members = all(control).await?;
    if members.is_empty() {
        return Err(control.nobody());
    }
    choose(&members, control.host.as_deref(), &control.place())
}

/// The error if no host answers under an id. It names the hosts that there are.
pub(super) async fn unknown(control: &Control, id: &str) -> Failure {
    match all(control).await {
        Ok(members) if members.is_empty() => control.nobody(),
        Ok(members) => absent(id, &members, &control.place()),
        Err(failure) => failure,
    }
}

/// The host of an answer. Ids become parts of subjects, so answers with invalid ids are ignored.
fn parse(answer: &[u8]) -> Option<Member> {
    let member = serde_json::from_value(unwrap(answer).ok()?);
    member.ok().filter(|member: &Member| is_host(&member.id))
}

/// Whether a text is the public key of a host.
fn is_host(text: &str) -> bool {
    PublicKey::parse(text).is_ok_and(|key| key.kind() == KeyKind::Server)
}

/// The host that is meant: the only one, one with this id or name, or one whose id or name begins
/// so.
fn choose(members: &[Member], wanted: Option<&str>, place: &str) -> Result<String, Failure> {
    let Some(wanted) = wanted else {
        return match members {
            [only] => Ok(only.id.clone()),
            several => Err(Failure::usage(format!(
                "there are {} hosts in {place}, select one with --host: {}",
                several.len(),
                names(several)
            ))),
        };
    };
    let exactly = |member: &&Member| member.id == wanted || member.friendly_name == wanted;
    let begins = |member: &&Member| {
        member.id.starts_with(wanted) || member.friendly_name.starts_with(wanted)
    };
    let mut found: Vec<_> = members.iter().filter(exactly).cloned().collect();
    if found.is_empty() {
        found = members.iter().filter(begins).cloned().collect();
    }
    match found.as_slice() {
        [] => Err(absent(wanted, members, place)),
        [only] => Ok(only.id.clone()),
        several => Err(Failure::usage(format!(
            "{} matches several hosts of {place}: {}",
            printable(wanted),
            names(several)
        ))),
    }
}

/// The error for a host that is not there.
fn absent(wanted: &str, members: &[Member], place: &str) -> Failure {
    let text = format!(
        "no host {} in {place}: known are {}",
        printable(wanted),
        names(members)
    );
    Failure::refused("not_found", text)
}

/// The hosts, for an error.
fn names(members: &[Member]) -> String {
    let name = |member: &Member| match member.friendly_name.as_str() {
        "" => member.id.clone(),
        name => format!("{} ({})", member.id, printable(name)),
    };
    let mut names: Vec<_> = members.iter().take(SHOWN).map(name).collect();
    if members.len() > SHOWN {
        names.push(format!("{} more", members.len() - SHOWN));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, friendly_name: &str) -> Member {
        Member {
            id: id.to_owned(),
            friendly_name: friendly_name.to_owned(),
            labels: BTreeMap::new(),
            uptime_seconds: None,
            version: None,
        }
    }

    fn chosen(wanted: Option<&str>) -> Result<String, String> {
        let members = [
            member("NAAB", "quiet-sea"),
            member("NAAC", "quiet-hill"),
            member("NB", "NAAB"),
        ];
        let text = |failure: Failure| failure.to_json()["error"].to_string();
        choose(&members, wanted, "lattice default").map_err(text)
    }

    #[test]
    fn a_host_is_meant_by_id_name_or_how_they_begin() {
        assert_eq!(chosen(Some("NAAC")), Ok("NAAC".to_owned()));
        assert_eq!(chosen(Some("quiet-h")), Ok("NAAC".to_owned()));
        assert_eq!(chosen(Some("NB")), Ok("NB".to_owned()));
    }

    #[test]
    fn what_may_be_several_is_refused_with_their_names() {
        for wanted in [None, Some("quiet"), Some("NAA"), Some("NAAB")] {
            let error = chosen(wanted).expect_err("ambiguous");
            assert!(error.contains("NAAB (quiet-sea)"), "{error}");
        }
    }

    #[test]
    fn who_is_not_there_is_told_with_who_is() {
        let error = chosen(Some("NX")).expect_err("absent");
        assert!(
            error.contains("no host NX in lattice default: known are NAAB"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_host_is_passed_over() {
        for id in ["", "NAAB.>", "not a key"] {
            let answer = serde_json::json!({"success": true, "response": {"id": id}});
            assert!(parse(answer.to_string().as_bytes()).is_none(), "{id}");
        }
    }
}
