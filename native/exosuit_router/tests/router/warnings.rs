//! Parts of a link without effect are reported once, as soon as they are known.

use std::sync::Arc;

use exosuit_core::{
    Answer, Capability, CapabilityCall, Contract, Deliver, Error, Invocation, Link, Notice,
};

use crate::support::*;

/// A component: its calls name no link.
struct Component;

impl Deliver for Component {
    fn deliver(&self, _: Invocation) -> Answer {
        Box::pin(async { Ok("".into()) })
    }

    fn names_links(&self) -> bool {
        false
    }
}

/// A provider that has something to say of each setting.
struct Picky(Vec<Contract>);

impl Picky {
    fn capability() -> Arc<dyn Capability> {
        Arc::new(Self(vec![contract(KEYVALUE)]))
    }
}

impl Capability for Picky {
    fn contracts(&self) -> &[Contract] {
        &self.0
    }

    fn invoke(&self, _: CapabilityCall) -> Answer {
        Box::pin(std::future::pending())
    }

    fn warnings(&self, link: &Link) -> Vec<String> {
        assert_eq!(link.target, id("kv"), "as the provider knows the link");
        link.target_config.keys().cloned().collect()
    }
}

fn with(setting: &str) -> Link {
    let mut link = link("counter", "kv", KEYVALUE);
    link.target_config.insert(setting.into(), String::new());
    link
}

fn named(name: &str) -> Link {
    Link {
        name: link_name(name),
        ..link("counter", "kv", KEYVALUE)
    }
}

/// The warnings since the last call of this function.
fn told(world: &World) -> Vec<String> {
    let warning = |notice| match notice {
        Notice::LinkWarning { text, .. } => Some(text),
        _ => None,
    };
    world
        .notices
        .take()
        .into_iter()
        .filter_map(warning)
        .collect()
}

#[tokio::test]
async fn what_a_provider_says_of_a_link_is_told_when_it_takes_it() -> Result<(), Error> {
    let world = World::new();
    world.router.put_link(with("first")).await?;
    assert!(told(&world).is_empty(), "nobody knows yet");
    world
        .router
        .put_provider(id("kv"), None, Picky::capability())
        .await?;
    assert_eq!(told(&world), ["first"]);
    world.router.put_link(with("second")).await?;
    assert_eq!(told(&world), ["second"]);
    assert_eq!(
        world.router.link_warnings(&with("second").key()),
        ["second"]
    );
    Ok(())
}

#[tokio::test]
async fn what_was_told_is_not_told_again() -> Result<(), Error> {
    let world = World::new();
    world
        .router
        .put_provider(id("kv"), None, Picky::capability())
        .await?;
    world.router.put_link(with("first")).await?;
    world.router.put_link(with("first")).await?;
    world
        .router
        .put_provider(id("kv"), None, Picky::capability())
        .await?;
    assert_eq!(told(&world), ["first"]);
    assert_eq!(world.router.link_warnings(&with("first").key()), ["first"]);
    Ok(())
}

#[tokio::test]
async fn a_link_that_names_its_provider_by_key_is_told_of_as_well() -> Result<(), Error> {
    let world = World::new();
    let key = provider_key('A');
    world
        .router
        .put_provider(id("kv"), Some(id(&key)), Picky::capability())
        .await?;
    let by_key = Link {
        target: id(&key),
        ..with("first")
    };
    world.router.put_link(by_key).await?;
    assert_eq!(told(&world), ["first"]);
    Ok(())
}

#[tokio::test]
async fn a_component_never_uses_a_link_of_another_name() -> Result<(), Error> {
    for actor_first in [true, false] {
        let world = World::new();
        let run = || world.run("counter", identity(&[KEYVALUE]), Arc::new(Component));
        if actor_first {
            run();
        }
        world.router.put_link(named("default")).await?;
        world.router.put_link(named("other")).await?;
        if !actor_first {
            assert!(told(&world).is_empty(), "nobody knows yet");
            run();
        }
        let told = told(&world);
        assert!(
            told.len() == 1 && told[0].contains("\"other\" is never used"),
            "{told:?}"
        );
        assert_eq!(world.router.link_warnings(&named("other").key()), told);
    }
    Ok(())
}

#[tokio::test]
async fn an_actor_of_the_wasmbus_chooses_its_links() -> Result<(), Error> {
    let world = World::new();
    world.run("counter", identity(&[KEYVALUE]), Arc::new(Says("")));
    world.router.put_link(named("other")).await?;
    assert!(told(&world).is_empty());
    Ok(())
}
