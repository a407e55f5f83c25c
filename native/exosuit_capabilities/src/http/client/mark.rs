//! The mark of a connection: whose requests it serves, and which addresses it may reach.
//!
//! ```text
//! https://api.example.com/v1
//! https://public.shop@api.example.com/v1       the mark is before the @
//!         └reach └caller
//! ```

use http::Uri;
use http::uri::{Authority, PathAndQuery};

use super::reach::Reach;

/// The caller and the reach of a connection.
///
/// The pool finds connections by the authority of their target. The mark is added to that as its user part, so
/// that the connection of one actor never serves another. The mark is not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) reach: Reach,
    /// The id of the actor that sends. Ids have only letters that an authority may have.
    pub(crate) caller: Box<str>,
}

impl Mark {
    /// The target with this mark. `None` if it has no authority.
    pub(crate) fn put(&self, target: &Uri) -> Option<Uri> {
        let Self { reach, caller } = self;
        let authority = format!("{reach}.{caller}@{}", target.authority()?);
        with_authority(target, authority.parse().ok()?)
    }

    /// The mark of a target, and the target without it. `None` if there is none.
    pub(crate) fn take(target: &Uri) -> Option<(Self, Uri)> {
        let (mark, authority) = target.authority()?.as_str().split_once('@')?;
        let (reach, caller) = mark.split_once('.')?;
        let mark = Self {
            reach: Reach::parse(reach)?,
            caller: caller.into(),
        };
        Some((mark, with_authority(target, authority.parse().ok()?)?))
    }
}

/// The same target with another authority.
fn with_authority(target: &Uri, authority: Authority) -> Option<Uri> {
    let mut parts = target.clone().into_parts();
    parts.authority = Some(authority);
    parts
        .path_and_query
        .get_or_insert(PathAndQuery::from_static("/"));
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_marked_and_gets_its_mark_off() {
        for reach in [Reach::All, Reach::Public(Vec::new())] {
            for target in [
                "http://a.example/x?y",
                "https://[::1]:8443/",
                "http://10.1.1.1:80/",
            ] {
                let target: Uri = target.parse().expect("a URI");
                let (reach, caller) = (reach.clone(), "an_Actor-1".into());
                let mark = Mark { reach, caller };
                let marked = mark.put(&target).expect("a URI");
                assert_ne!(marked.authority(), target.authority());
                assert_eq!(Mark::take(&marked), Some((mark, target)));
            }
        }
        for bad in [
            "http://a.example/",
            "http://x@a.example/",
            "http://x.y@a.example/",
        ] {
            assert_eq!(Mark::take(&bad.parse().expect("a URI")), None);
        }
    }
}
