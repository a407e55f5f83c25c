//! Random tables and calls against the rule in three lines: no call reaches a provider, and none of
//! a provider an actor, without a link and a claim. Links name their ends by id or by key, and of
//! two the one by id counts. Of callers elsewhere nothing but the link is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use exosuit_core::{Capability, Code, Error, Invocation, Target};
use proptest::prelude::*;

use crate::others::{asking, remote_actor, remote_provider};
use crate::support::*;

const ACTORS: [&str; 3] = ["a", "b", "c"];
const PROVIDERS: [&str; 3] = ["kv", "http", "both"];
const CONTRACTS: [&str; 2] = [KEYVALUE, HTTP];

#[derive(Debug, Clone)]
enum Step {
    Publish(usize, BTreeSet<usize>),
    Forget(usize),
    PutProvider(usize),
    DeleteProvider(usize),
    PutLink(Ends, usize),
    DeleteLink(Ends, usize),
    Call(usize, usize),
    CallBack(usize, usize, usize),
    CallFromAfar(usize, usize),
    CallBackFromAfar(usize, usize, usize),
}

/// The ends of a link, and how it names them.
#[derive(Debug, Clone, Copy)]
struct Ends {
    actor: usize,
    provider: usize,
    /// Whether the actor is named by its public key, and the provider by its key.
    by_key: (bool, bool),
    /// Whether the provider is its source.
    back: bool,
}

impl Ends {
    fn names(self) -> (String, String) {
        let actor = &actor_names(self.actor)[usize::from(self.by_key.0)];
        let provider = &provider_names(self.provider)[usize::from(self.by_key.1)];
        if self.back {
            (provider.clone(), actor.clone())
        } else {
            (actor.clone(), provider.clone())
        }
    }
}

/// By which letter each is keyed.
const LETTERS: [char; 3] = ['A', 'B', 'C'];

fn actor_names(actor: usize) -> [String; 2] {
    [ACTORS[actor].to_owned(), public_key(LETTERS[actor])]
}

fn provider_names(provider: usize) -> [String; 2] {
    [
        PROVIDERS[provider].to_owned(),
        provider_key(LETTERS[provider]),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (a, p, c) = (0..ACTORS.len(), 0..PROVIDERS.len(), 0..CONTRACTS.len());
    let claims = proptest::collection::btree_set(c.clone(), 0..=2);
    let ends = (a.clone(), p.clone(), any::<(bool, bool)>(), any::<bool>());
    let ends = ends.prop_map(|(actor, provider, by_key, back)| Ends {
        actor,
        provider,
        by_key,
        back,
    });
    let link = (ends, c.clone());
    let step = prop_oneof![
        2 => (a.clone(), claims).prop_map(|(a, claims)| Step::Publish(a, claims)),
        1 => a.clone().prop_map(Step::Forget),
        2 => p.clone().prop_map(Step::PutProvider),
        1 => p.clone().prop_map(Step::DeleteProvider),
        4 => link.clone().prop_map(|(ends, c)| Step::PutLink(ends, c)),
        1 => link.prop_map(|(ends, c)| Step::DeleteLink(ends, c)),
        4 => (a.clone(), c.clone()).prop_map(|(a, c)| Step::Call(a, c)),
        4 => (a.clone(), p.clone(), c.clone()).prop_map(|(a, p, c)| Step::CallBack(a, p, c)),
        2 => (a.clone(), c.clone()).prop_map(|(a, c)| Step::CallFromAfar(a, c)),
        2 => (a, p, c).prop_map(|(a, p, c)| Step::CallBackFromAfar(a, p, c)),
    ];
    proptest::collection::vec(step, 1..80)
}

/// The expected state of the router, in the simplest form.
#[derive(Default)]
struct Model {
    claims: BTreeMap<usize, BTreeSet<usize>>,
    providers: BTreeSet<usize>,
    /// Source, contract → target, by the names in the link.
    links: BTreeMap<(String, usize), String>,
}

/// A provider of the tests that implements what its place says.
fn implements(provider: usize, contract: usize) -> bool {
    provider == 2 || provider == contract
}

impl Model {
    fn claims(&self, actor: usize, contract: usize) -> Option<bool> {
        let claims = self.claims.get(&actor)?;
        Some(claims.contains(&contract))
    }

    fn may_link(&self, ends: Ends, contract: usize) -> bool {
        let (source, target) = ends.names();
        let free = self
            .links
            .get(&(source, contract))
            .is_none_or(|other| *other == target);
        let known = self.providers.contains(&ends.provider);
        let claims = self.claims(ends.actor, contract);
        let fits = implements(ends.provider, contract) && claims != Some(false);
        free && (!known || fits)
    }

    fn is_linked(&self, actor: usize, contract: usize) -> bool {
        let mut names = actor_names(actor).into_iter();
        let target = names.find_map(|name| self.links.get(&(name, contract)));
        let is_target = |provider: &usize| {
            target.is_some_and(|target| provider_names(*provider).contains(target))
        };
        let provider = self.providers.iter().find(|provider| is_target(provider));
        provider.is_some_and(|provider| implements(*provider, contract))
    }

    fn may_call(&self, actor: usize, contract: usize) -> bool {
        self.claims(actor, contract) == Some(true) && self.is_linked(actor, contract)
    }

    fn may_call_back(&self, actor: usize, provider: usize, contract: usize) -> bool {
        let (actors, providers) = (actor_names(actor), provider_names(provider));
        // One that does not run here has told nobody its key.
        let known = if self.providers.contains(&provider) {
            2
        } else {
            1
        };
        self.joined(&actors, &providers[..known], contract)
            && self.claims(actor, contract) == Some(true)
    }

    fn may_call_back_from_afar(&self, actor: usize, provider: usize, contract: usize) -> bool {
        let (actors, providers) = (actor_names(actor), provider_names(provider));
        self.joined(&actors, &providers, contract) && self.claims(actor, contract) == Some(true)
    }

    fn joined(&self, actors: &[String], providers: &[String], contract: usize) -> bool {
        let links = self.links.iter().filter(|((_, what), _)| *what == contract);
        let mut ends = links.map(|((source, _), target)| (source, target));
        let joins = |one: &String, other| actors.contains(one) && providers.contains(other);
        ends.any(|(source, target)| joins(source, target) || joins(target, source))
    }
}

struct Both {
    world: World,
    model: Model,
}

impl Both {
    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Publish(a, ref claims) => self.publish(a, claims),
            Step::Forget(a) => self.forget(a),
            Step::PutProvider(p) => self.put_provider(p),
            Step::DeleteProvider(p) => self.delete_provider(p),
            Step::PutLink(ends, c) => return self.put_link(ends, c),
            Step::DeleteLink(ends, c) => self.delete_link(ends, c),
            Step::Call(a, c) => return self.call(a, c),
            Step::CallBack(a, p, c) => return self.call_back(a, p, c),
            Step::CallFromAfar(a, c) => return self.call_from_afar(a, c),
            Step::CallBackFromAfar(a, p, c) => return self.call_back_from_afar(a, p, c),
        }
        Ok(())
    }

    fn publish(&mut self, actor: usize, claims: &BTreeSet<usize>) {
        let names: Vec<_> = claims.iter().map(|claim| CONTRACTS[*claim]).collect();
        self.world.run(
            ACTORS[actor],
            signed(LETTERS[actor], &names),
            Arc::new(Says("reached")),
        );
        self.model.claims.insert(actor, claims.clone());
        self.put_all_again();
    }

    /// As the host does when something was refused before: what is allowed now takes effect.
    fn put_all_again(&self) {
        for link in self.world.router.links() {
            drop(now(self.world.router.put_link((*link).clone())));
        }
    }

    fn forget(&mut self, actor: usize) {
        self.world.router.forget_actor(&id(ACTORS[actor]));
        self.model.claims.remove(&actor);
    }

    fn put_provider(&mut self, provider: usize) {
        let implemented = (0..CONTRACTS.len()).filter(|contract| implements(provider, *contract));
        let contracts = implemented.map(|c| contract(CONTRACTS[c])).collect();
        let capability = Provider::of(contracts) as Arc<dyn Capability>;
        let [name, key] = provider_names(provider);
        let put = self
            .world
            .router
            .put_provider(id(&name), Some(id(&key)), capability);
        drop(now(put).expect("a free id"));
        self.model.providers.insert(provider);
    }

    fn delete_provider(&mut self, provider: usize) {
        let name = id(PROVIDERS[provider]);
        now(self.world.router.delete_provider(&name)).expect("it lets go");
        self.model.providers.remove(&provider);
    }

    fn put_link(&mut self, ends: Ends, c: usize) -> Result<(), TestCaseError> {
        let (source, target) = ends.names();
        let link = link(&source, &target, CONTRACTS[c]);
        let put = now(self.world.router.put_link(link));
        let may = self.model.may_link(ends, c);
        prop_assert_eq!(put.is_ok(), may, "{:?}", put);
        if may {
            self.model.links.insert((source, c), target);
        }
        Ok(())
    }

    fn delete_link(&mut self, ends: Ends, c: usize) {
        let (source, target) = ends.names();
        let key = link(&source, &target, CONTRACTS[c]).key();
        now(self.world.router.delete_link(&key)).expect("it lets go");
        self.model.links.remove(&(source, c));
    }

    fn call(&self, actor: usize, contract: usize) -> Result<(), TestCaseError> {
        let may = self.model.may_call(actor, contract);
        let call = import(ACTORS[actor], CONTRACTS[contract]);
        expect(&now(self.world.call(call)), may)
    }

    fn call_back(&self, a: usize, p: usize, c: usize) -> Result<(), TestCaseError> {
        let may = self.model.may_call_back(a, p, c);
        let call = from_provider(PROVIDERS[p], CONTRACTS[c], ACTORS[a]);
        expect(&now(self.world.call(call)), may)
    }

    fn call_from_afar(&self, actor: usize, contract: usize) -> Result<(), TestCaseError> {
        let may = self.model.is_linked(actor, contract);
        let [name, key] = actor_names(actor);
        let origin = remote_actor(&name, Some(&key));
        self.expect_from_afar(call(origin, asking(CONTRACTS[contract])), may)
    }

    fn call_back_from_afar(&self, a: usize, p: usize, c: usize) -> Result<(), TestCaseError> {
        let may = self.model.may_call_back_from_afar(a, p, c);
        let [name, key] = provider_names(p);
        let origin = remote_provider(&name, Some(&key), CONTRACTS[c]);
        self.expect_from_afar(call(origin, Target::Actor(ACTORS[a].into())), may)
    }

    fn expect_from_afar(&self, call: Invocation, may: bool) -> Result<(), TestCaseError> {
        expect(&now(self.world.call_from_afar(call)), may)
    }
}

fn expect(answer: &Result<Bytes, Error>, may: bool) -> Result<(), TestCaseError> {
    prop_assert_eq!(answer.is_ok(), may, "{:?}", answer);
    let links_and_claims = [
        Code::MissingLink,
        Code::MissingClaim,
        Code::Unavailable,
        Code::UnknownTarget,
    ];
    let expected = |error: &Error| links_and_claims.contains(&error.code);
    prop_assert!(answer.as_ref().err().is_none_or(expected));
    Ok(())
}

/// Nothing here has to wait.
fn now<F: Future>(future: F) -> F::Output {
    match poll_once(future) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_call_passes_without_link_and_claim(steps in steps()) {
        let (world, model) = (World::new(), Model::default());
        let mut both = Both { world, model };
        for step in &steps {
            both.step(step)?;
        }
    }
}
