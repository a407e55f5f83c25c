//! The settings of a link: what to listen to, and within which bounds.

use std::time::Duration;

use exosuit_core::{Configuration, Error, MESSAGING};

use super::subjects::Subjects;
use crate::settings::{Settings, invalid};

/// How many subscriptions one link may have.
const MAX_SUBSCRIPTIONS: usize = 64;

/// The wishes of a link, by its settings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) subscriptions: Vec<Subscribe>,
    pub(crate) limits: Limits,
}

/// The bounds of one subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) in_flight: usize,
    pub(crate) timeout: Duration,
}

/// A subject to listen to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Subscribe {
    pub(crate) subject: String,
    pub(crate) group: Group,
}

/// The group of subscribers that shares the messages.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// No group: each host that has the link gets all messages.
    None,
    /// All subscriptions that name this group.
    Named(String),
    /// The hosts that have the link.
    Link,
}

impl Group {
    /// Its name for a link whose own is this.
    pub(crate) fn in_link<'a>(&'a self, own: &'a str) -> Option<&'a str> {
        match self {
            Self::None => None,
            Self::Named(name) => Some(name),
            Self::Link => Some(own),
        }
    }
}

/// Reads a provider's settings with a link's on top.
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

/// The names under which subscriptions stand.
pub(crate) const SUBSCRIPTIONS: [&str; 2] = ["subscriptions", "subscription"];

/// The key by which a configuration asks for subscriptions, if it does.
pub(crate) fn subscribing_key(configuration: &Configuration) -> Option<&str> {
    let means = |key: &&String| {
        SUBSCRIPTIONS
            .iter()
            .any(|name| key.eq_ignore_ascii_case(name))
    };
    configuration.keys().find(means).map(String::as_str)
}

/// How long an actor that asks is willing to wait; 0 is as long as its own call may take.
pub(crate) fn patience(milliseconds: u32) -> Option<Duration> {
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds.into()))
}

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
