//! Random tables and calls against the rule in three lines: no call reaches a provider, and none of
//! a provider an actor, without a link and a claim.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Poll;

use exosuit_core::{Capability, Code, Invocation};
use proptest::prelude::*;

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
    /// Actor, provider, contract, and whether the provider is its source.
    PutLink(usize, usize, usize, bool),
    DeleteLink(usize, usize, usize, bool),
    Call(usize, usize),
    CallBack(usize, usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (a, p, c) = (0..ACTORS.len(), 0..PROVIDERS.len(), 0..CONTRACTS.len());
    let claims = proptest::collection::btree_set(c.clone(), 0..=2);
    let link = (a.clone(), p.clone(), c.clone(), any::<bool>());
    let step = prop_oneof![
        2 => (a.clone(), claims).prop_map(|(a, claims)| Step::Publish(a, claims)),
        1 => a.clone().prop_map(Step::Forget),
        2 => p.clone().prop_map(Step::PutProvider),
        1 => p.clone().prop_map(Step::DeleteProvider),
        4 => link.clone().prop_map(|(a, p, c, back)| Step::PutLink(a, p, c, back)),
        1 => link.prop_map(|(a, p, c, back)| Step::DeleteLink(a, p, c, back)),
        4 => (a.clone(), c.clone()).prop_map(|(a, c)| Step::Call(a, c)),
        4 => (a, p, c).prop_map(|(a, p, c)| Step::CallBack(a, p, c)),
    ];
    proptest::collection::vec(step, 1..80)
}

/// What is so, kept in the simplest way.
#[derive(Default)]
struct Model {
    claims: BTreeMap<usize, BTreeSet<usize>>,
    providers: BTreeSet<usize>,
    /// Source, contract → target, by name.
    links: BTreeMap<(&'static str, usize), &'static str>,
}

/// A provider of the tests that implements what its place says.
fn implements(provider: usize, contract: usize) -> bool {
    provider == 2 || provider == contract
}

fn ends(actor: usize, provider: usize, back: bool) -> (&'static str, &'static str) {
    let (actor, provider) = (ACTORS[actor], PROVIDERS[provider]);
    if back {
        (provider, actor)
    } else {
        (actor, provider)
    }
}

impl Model {
    fn claims(&self, actor: usize, contract: usize) -> Option<bool> {
        let claims = self.claims.get(&actor)?;
        Some(claims.contains(&contract))
    }

    fn may_link(&self, actor: usize, provider: usize, contract: usize, back: bool) -> bool {
        let (source, target) = ends(actor, provider, back);
        let free = self
            .links
            .get(&(source, contract))
            .is_none_or(|other| *other == target);
        let known = self.providers.contains(&provider);
        let fits = implements(provider, contract) && self.claims(actor, contract) != Some(false);
        free && (!known || fits)
    }

    fn may_call(&self, actor: usize, contract: usize) -> bool {
        let target = self.links.get(&(ACTORS[actor], contract));
        let provider = PROVIDERS.iter().position(|name| Some(name) == target);
        self.claims(actor, contract) == Some(true)
            && provider.is_some_and(|provider| self.providers.contains(&provider))
            && provider.is_some_and(|provider| implements(provider, contract))
    }

    fn may_call_back(&self, actor: usize, provider: usize, contract: usize) -> bool {
        let joined = [true, false].into_iter().any(|back| {
            let (source, target) = ends(actor, provider, back);
            self.links.get(&(source, contract)) == Some(&target)
        });
        joined && self.claims(actor, contract) == Some(true)
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
            Step::PutLink(a, p, c, back) => return self.put_link(a, p, c, back),
            Step::DeleteLink(a, p, c, back) => self.delete_link(a, p, c, back),
            Step::Call(a, c) => return self.call(a, c),
            Step::CallBack(a, p, c) => return self.call_back(a, p, c),
        }
        Ok(())
    }

    fn publish(&mut self, actor: usize, claims: &BTreeSet<usize>) {
        let names: Vec<_> = claims.iter().map(|claim| CONTRACTS[*claim]).collect();
        self.world
            .run(ACTORS[actor], identity(&names), Arc::new(Says("reached")));
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
        let put = self
            .world
            .router
            .put_provider(id(PROVIDERS[provider]), None, capability);
        drop(now(put).expect("a free id"));
        self.model.providers.insert(provider);
    }

    fn delete_provider(&mut self, provider: usize) {
        let name = id(PROVIDERS[provider]);
        now(self.world.router.delete_provider(&name)).expect("it lets go");
        self.model.providers.remove(&provider);
    }

    fn put_link(&mut self, a: usize, p: usize, c: usize, back: bool) -> Result<(), TestCaseError> {
        let (source, target) = ends(a, p, back);
        let put = now(self
            .world
            .router
            .put_link(link(source, target, CONTRACTS[c])));
        let may = self.model.may_link(a, p, c, back);
        prop_assert_eq!(put.is_ok(), may, "{:?}", put);
        if may {
            self.model.links.insert((source, c), target);
        }
        Ok(())
    }

    fn delete_link(&mut self, a: usize, p: usize, c: usize, back: bool) {
        let (source, target) = ends(a, p, back);
        let key = link(source, target, CONTRACTS[c]).key();
        now(self.world.router.delete_link(&key)).expect("it lets go");
        self.model.links.remove(&(source, c));
    }

    fn call(&self, actor: usize, contract: usize) -> Result<(), TestCaseError> {
        let may = self.model.may_call(actor, contract);
        self.expect(import(ACTORS[actor], CONTRACTS[contract]), may)
    }

    fn call_back(&self, a: usize, p: usize, c: usize) -> Result<(), TestCaseError> {
        let may = self.model.may_call_back(a, p, c);
        self.expect(from_provider(PROVIDERS[p], CONTRACTS[c], ACTORS[a]), may)
    }

    fn expect(&self, call: Invocation, may: bool) -> Result<(), TestCaseError> {
        let answer = now(self.world.call(call));
        prop_assert_eq!(answer.is_ok(), may, "{:?}", answer);
        let links_and_claims = [
            Code::MissingLink,
            Code::MissingClaim,
            Code::Unavailable,
            Code::UnknownTarget,
        ];
        prop_assert!(may || code(answer).is_some_and(|code| links_and_claims.contains(&code)));
        Ok(())
    }
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
