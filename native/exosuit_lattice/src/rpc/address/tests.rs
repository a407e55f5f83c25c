//! Names on the wire, there and back.

use std::sync::Arc;

use exosuit_claims::KeyPair;
use exosuit_core::Link;

use super::*;

fn id(text: &str) -> Id {
    Id::parse(text).expect("an id")
}

fn key(kind: KeyKind) -> Id {
    id(KeyPair::generate(kind).public_key().as_str())
}

fn keyvalue() -> Contract {
    Contract::parse("wasmcloud:keyvalue").expect("a contract")
}

fn local(name: &str, key: Option<&Id>, contracts: Option<Vec<Contract>>) -> Local {
    Local {
        id: id(name),
        key: key.cloned(),
        contracts,
    }
}

fn linked(target: &Id) -> Destination {
    Destination::Linked(Arc::new(Link {
        source: id("counter"),
        target: target.clone(),
        name: LinkName::default(),
        contract: keyvalue(),
        interfaces: Vec::new(),
        source_config: [].into(),
        target_config: [].into(),
    }))
}

/// The subjects on which something is served, with their groups.
fn doors(local: &Local) -> Vec<(String, String)> {
    let lattice = id("default");
    let served = Served::all(local);
    let door = |served: &Served| (served.subject(&lattice), served.group(&lattice));
    served.iter().map(door).collect()
}

fn both(subject: String) -> (String, String) {
    (subject.clone(), subject)
}

#[test]
fn an_actor_is_served_by_all_its_names() {
    let key = key(KeyKind::Module);
    let own = |name: &str| both(format!("exosuit.rpc.default.{name}"));
    let plain = both(format!("wasmbus.rpc.default.{key}"));
    assert_eq!(
        doors(&local("counter", Some(&key), None)),
        [own("counter"), plain.clone(), own(key.as_str())]
    );
    assert_eq!(doors(&local("counter", None, None)), [own("counter")]);
    for of_itself in [None, Some(&key)] {
        assert_eq!(
            doors(&local(key.as_str(), of_itself, None)),
            [plain.clone(), own(key.as_str())]
        );
    }
}

#[test]
fn a_provider_is_served_for_every_link() {
    let key = key(KeyKind::Provider);
    let provider = local("keyvalue", Some(&key), Some(vec![keyvalue()]));
    let own = |name: &str| both(format!("exosuit.rpc.default.{name}"));
    let plain = (format!("wasmbus.rpc.default.{key}.*"), "rpc".to_owned());
    assert_eq!(
        doors(&provider),
        [own("keyvalue"), plain, own(key.as_str())]
    );
}

#[test]
fn a_call_goes_the_way_of_the_peers_wherever_that_will_do() {
    let (module, provider, name) = (key(KeyKind::Module), key(KeyKind::Provider), id("counter"));
    let (bytes, values) = (Payload::from("x"), Payload::Values(Vec::new()));
    let through = || Some((keyvalue(), LinkName::default()));
    let subject = |destination: &Destination, payload| {
        Address::of(destination.clone(), payload).subject(&id("default"))
    };
    let cases = [
        (
            Destination::Actor(module.clone()),
            format!("wasmbus.rpc.default.{module}"),
        ),
        (
            Destination::Actor(name.clone()),
            "exosuit.rpc.default.counter".to_owned(),
        ),
        (linked(&module), format!("wasmbus.rpc.default.{module}")),
        (
            linked(&provider),
            format!("wasmbus.rpc.default.{provider}.default"),
        ),
        (linked(&name), "exosuit.rpc.default.counter".to_owned()),
    ];
    for (destination, expected) in &cases {
        assert_eq!(subject(destination, &bytes), *expected);
    }
    for (destination, name) in cases
        .iter()
        .map(|(to, _)| to)
        .zip([&module, &name, &module, &provider, &name])
    {
        assert_eq!(
            subject(destination, &values),
            format!("exosuit.rpc.default.{name}")
        );
    }
    let named = Address::of(linked(&provider), &values);
    assert_eq!(
        named,
        Address::Named {
            name: provider,
            through: through()
        }
    );
}

#[test]
fn a_call_says_whom_it_is_for() {
    let provider = key(KeyKind::Provider);
    let served = Served::all(&local("keyvalue", Some(&provider), Some(vec![keyvalue()])));
    let target = Target::Provider {
        id: id("keyvalue"),
        contract: keyvalue(),
        link: LinkName::default(),
    };
    let called = Address::of(linked(&provider), &Payload::from("x"));
    let subject = called.subject(&id("default"));
    let (named, plain) = (&served[0], &served[1]);
    assert_eq!(plain.target(&subject, &called.entity()), Ok(target.clone()));

    let by_id = Address::of(linked(&id("keyvalue")), &Payload::from("x"));
    let own = by_id.subject(&id("default"));
    assert_eq!(named.target(&own, &by_id.entity()), Ok(target));

    // Through one link, said to be another; and for somebody else.
    let other = format!("wasmbus.rpc.default.{provider}.other");
    assert!(plain.target(&other, &called.entity()).is_err());
    assert!(named.target(&own, &called.entity()).is_err());
    for (contract, link) in [
        ("", ""),
        ("wasmcloud", "default"),
        ("a:b", ""),
        ("a:b", "x.y"),
    ] {
        let mut called = called.entity();
        (called.contract, called.link) = (contract.to_owned(), link.to_owned());
        let refused = plain.target(&subject, &called);
        assert!(refused.is_err(), "{contract} {link}: {refused:?}");
    }
}

#[test]
fn an_actor_is_called_by_a_link_on_our_own_subject_only() {
    let module = key(KeyKind::Module);
    let served = Served::all(&local("counter", Some(&module), None));
    let target = Ok(Target::Actor("counter".to_owned()));
    let by_link = Address::Named {
        name: id("counter"),
        through: Some((keyvalue(), LinkName::default())),
    };
    assert_eq!(
        served[0].target("exosuit.rpc.default.counter", &by_link.entity()),
        target
    );
    let mut called = Entity::actor(module.as_str());
    assert_eq!(served[1].target("", &called), target);
    called.link = "default".to_owned();
    assert!(served[1].target("", &called).is_err());
}

#[test]
fn a_caller_is_known_on_the_other_side() {
    let host = KeyPair::generate(KeyKind::Server);
    let (module, provider) = (key(KeyKind::Module), key(KeyKind::Provider));
    let by_provider = Origin::Provider {
        id: id("messaging"),
        contract: keyvalue(),
        link: LinkName::default(),
    };
    let by_actor = |name: &str| Origin::Actor(id(name));
    let cases = [
        (by_actor("counter"), Some(&module)),
        (by_actor("counter"), None),
        (by_actor("messenger"), None),
        (by_actor(module.as_str()), None),
        (by_actor(module.as_str()), Some(&module)),
        (by_provider.clone(), Some(&provider)),
        (by_provider, None),
    ];
    for (origin, key) in cases {
        let (entity, id) = of_origin(&origin, key, host.public_key()).expect("a caller");
        let (name, through) = match &origin {
            Origin::Provider { id, contract, link } => (id, Some((contract.clone(), link.clone()))),
            Origin::Actor(id) => (id, None),
            _ => unreachable!("of none of the cases"),
        };
        let remote = Remote {
            id: name.clone(),
            key: key.filter(|key| *key != name).cloned(),
            through,
        };
        assert_eq!(
            origin_of(&entity, id.map(Id::as_str)),
            Ok(Origin::Elsewhere(remote))
        );
    }
}

#[test]
fn another_host_is_a_host_and_nobody_else_is() {
    let host = KeyPair::generate(KeyKind::Server);
    let host = host.public_key();
    let (entity, id) = of_origin(&Origin::Host, None, host).expect("a caller");
    assert_eq!((origin_of(&entity, None), id), (Ok(Origin::Host), None));

    let name = Id::parse(host.as_str()).expect("an id");
    for origin in [
        Origin::Actor(name.clone()),
        Origin::Actor(Id::parse("a").expect("an id")),
    ] {
        assert!(of_origin(&origin, Some(&name), host).is_err());
    }
    assert!(of_origin(&Origin::Actor(name), None, host).is_err());
}

#[test]
fn what_cannot_be_a_caller_is_refused() {
    let provider = key(KeyKind::Provider);
    let good = entity(&provider, &keyvalue(), &LinkName::default());
    assert!(origin_of(&good, Some("keyvalue")).is_ok());
    let refused = |change: fn(&mut Entity)| {
        let mut entity = good.clone();
        change(&mut entity);
        origin_of(&entity, None)
    };
    assert!(refused(|entity| entity.link = "a.b".to_owned()).is_err());
    assert!(refused(|entity| entity.link.clear()).is_err());
    assert!(refused(|entity| entity.contract.clear()).is_err());
    assert!(refused(|entity| (entity.contract, entity.link) = Default::default()).is_err());
    for key in ["", "*", "M A", "a.>"] {
        assert!(origin_of(&Entity::actor(key), None).is_err(), "{key:?}");
        assert!(origin_of(&good, Some(key)).is_err(), "{key:?}");
    }
    // What comes from elsewhere does not go elsewhere.
    let remote = origin_of(&good, None).expect("a caller");
    let host = KeyPair::generate(KeyKind::Server);
    assert!(of_origin(&remote, None, host.public_key()).is_err());
}
