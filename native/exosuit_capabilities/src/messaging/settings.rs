//! The settings of a link: what to listen to, and within which bounds.
//!
//! | text of a subscription | who gets its messages |
//! |---|---|
//! | `orders.*` | one of the hosts that have this link |
//! | `orders.*\|workers` | one of all that listen in the group `workers` |
//! | `orders.*\|` | each host that has this link |

use std::time::Duration;

use exosuit_core::{Configuration, Error, MESSAGING};

use super::subjects::Subjects;
use crate::settings::{Settings, invalid};

/// The number of subscriptions of one link. Each has a mailbox of up to 16 MiB.
const MAX_SUBSCRIPTIONS: usize = 64;

/// What a link asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) subscriptions: Vec<Subscribe>,
    pub(crate) limits: Limits,
}

/// The limits of each subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The number of messages that are handled at a time.
    pub(crate) in_flight: usize,
    /// The time for one message.
    pub(crate) timeout: Duration,
}

/// A subject to listen to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Subscribe {
    pub(crate) subject: String,
    pub(crate) group: Group,
}

/// Who shares the messages of a subscription.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Nobody: each host that has the link gets all messages.
    None,
    /// All that listen in the group of this name.
    Named(String),
    /// The hosts that have the link.
    Link,
}

impl Group {
    /// The name of the group. `own` is that of the link itself.
    pub(crate) fn in_link<'a>(&'a self, own: &'a str) -> Option<&'a str> {
        match self {
            Self::None => None,
            Self::Named(name) => Some(name),
            Self::Link => Some(own),
        }
    }
}

/// Reads the settings of a link on top of its provider's.
///
/// # Errors
///
/// `invalid_link` for a setting, and those of `check_heard` for a subject.
pub(crate) fn read(
    provider: &Configuration,
    link: &Configuration,
    subjects: &Subjects,
) -> Result<Wanted, Error> {
    let mut settings = Settings::new(&MESSAGING);
    settings.lay(provider);
    settings.lay(link);
    Ok(Wanted {
        subscriptions: subscriptions(&settings, subjects)?,
        limits: Limits {
            in_flight: settings.count("max_in_flight")?,
            timeout: settings.duration("timeout_ms")?,
        },
    })
}

/// The settings that list subscriptions. The second is the name of the OTP era.
pub(crate) const SUBSCRIPTIONS: [&str; 2] = ["subscriptions", "subscription"];

/// The setting by which a configuration asks for subscriptions, as it is spelled there.
pub(crate) fn subscribing_key(configuration: &Configuration) -> Option<&str> {
    let means = |key: &&String| {
        SUBSCRIPTIONS
            .iter()
            .any(|name| key.eq_ignore_ascii_case(name))
    };
    configuration.keys().find(means).map(String::as_str)
}

/// The time that an actor is willing to wait for an answer. 0 means as long as its own call may
/// take.
pub(crate) fn patience(milliseconds: u32) -> Option<Duration> {
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds.into()))
}

/// All subscriptions, each once.
fn subscriptions(settings: &Settings, subjects: &Subjects) -> Result<Vec<Subscribe>, Error> {
    let mut subscriptions = Vec::new();
    for key in SUBSCRIPTIONS {
        let given = settings.text(key).unwrap_or_default();
        let given = given.split(',').map(str::trim);
        for text in given.filter(|text| !text.is_empty()) {
            let subscribe = subscription(key, text, subjects)?;
            if subscriptions.contains(&subscribe) {
                continue;
            }
            if subscriptions.len() == MAX_SUBSCRIPTIONS {
                let found = format!("{} subjects or more", MAX_SUBSCRIPTIONS + 1);
                return Err(invalid(key, &found, "at most 64"));
            }
            subscriptions.push(subscribe);
        }
    }
    Ok(subscriptions)
}

/// One subscription: a subject, and perhaps a group after a bar.
fn subscription(key: &str, text: &str, subjects: &Subjects) -> Result<Subscribe, Error> {
    let (subject, group) = match text.split_once('|') {
        None => (text, Group::Link),
        Some((subject, "")) => (subject, Group::None),
        Some((subject, group)) => (subject, Group::Named(group.to_owned())),
    };
    subjects.check_heard(subject)?;
    if let Group::Named(name) = &group {
        let is_bad = |c: char| c.is_whitespace() || c.is_control() || c == '|';
        if name.len() > 255 || name.chars().any(is_bad) {
            let expected =
                "subject, or subject|group with a group of at most 255 bytes without blanks";
            return Err(invalid(key, text, expected));
        }
    }
    let subject = subject.to_owned();
    Ok(Subscribe { subject, group })
}

#[cfg(test)]
mod tests {
    use exosuit_core::Code;

    use super::*;

    fn wanted(settings: &[(&str, &str)]) -> Result<Wanted, Error> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let link = settings.iter().map(owned).collect();
        read(&Configuration::new(), &link, &Subjects::new(&[]))
    }

    fn subscribe(subject: &str, group: Group) -> Subscribe {
        let subject = subject.to_owned();
        Subscribe { subject, group }
    }

    #[test]
    fn subscriptions_are_read_as_both_eras_write_them() {
        let named = || Group::Named("workers".to_owned());
        for key in ["SUBSCRIPTION", "subscriptions"] {
            let wanted = wanted(&[(key, "a.b, c.*|workers,d.>|,a.b,")]).expect("good");
            assert_eq!(
                wanted.subscriptions,
                [
                    subscribe("a.b", Group::Link),
                    subscribe("c.*", named()),
                    subscribe("d.>", Group::None)
                ]
            );
        }
        assert_eq!(wanted(&[]).expect("good").subscriptions, []);
    }

    #[test]
    fn what_is_wrong_is_an_error() {
        let code = |settings: &[(&str, &str)]| wanted(settings).expect_err("an error").code;
        assert_eq!(code(&[("subscriptions", "a..b")]), Code::InvalidInput);
        assert_eq!(code(&[("subscriptions", "a,wasmbus.>")]), Code::Denied);
        assert_eq!(code(&[("subscriptions", "a|b c")]), Code::InvalidLink);
        assert_eq!(code(&[("max_in_flight", "0")]), Code::InvalidLink);
        let many: Vec<_> = (0..65).map(|n| n.to_string()).collect();
        let listed = many.join(",");
        assert_eq!(code(&[("subscriptions", &listed)]), Code::InvalidLink);
        // Nothing is read past the bound.
        let many = format!("{},a..b", many.join(","));
        assert_eq!(code(&[("subscriptions", &many)]), Code::InvalidLink);
    }
}
