//! The traits `link` and `linkdef`, and links that exclude each other.
//!
//! | | `link` of wadm 0.21 | `linkdef` of wadm 0.6 |
//! |---|---|---|
//! | stands in | the component that calls | the actor |
//! | target | a name, or a map with name and configuration | a name |
//! | contract | `namespace` and `package` | that of the target |
//! | name | `name`, `default` if absent | `link_name` of the target |
//! | settings | for both ends | for the target, in `values` |
//!
//! A link from a provider calls a component, as HTTP servers do. A link from a provider to a
//! provider is a mistake.
//!
//! Settings of built-in providers are checked here, because only here both ends are known. A
//! setting without effect is a warning, or an error if safety depends on it.

use std::collections::HashMap;

use exosuit_core::{Builtin, Configuration, Contract, Error, Given, Interface, LinkName};

use crate::config::{self, refuse_secrets};
use crate::diagnostic::Code;
use crate::draft::{Draft, Drafts, Kind};
use crate::image::{Image, builtin_contract};
use crate::model::{Configured, LinkSpec};
use crate::value::{Map, Value};

const LINK: [&str; 8] = [
    "interfaces",
    "name",
    "namespace",
    "package",
    "source",
    "source_config",
    "target",
    "target_config",
];
const TARGET: &str = "the name of a component of this manifest";
const LINK_NAME: &str = "a link name of 1 to 255 characters of A-Z, a-z, 0-9, _ and -";
const CONTRACT: &str = "namespace:package of A-Z, a-z, 0-9, _, - and .";

/// A link, and the properties of its trait, where mistakes are reported.
pub(crate) struct ParsedLink<'a> {
    pub(crate) link: LinkSpec,
    pub(crate) at: Value<'a>,
}

/// Parses the properties of a trait `link`.
///
/// `None` if a part that it needs was reported.
pub(crate) fn parse<'a>(
    properties: &Value<'a>,
    source: &Draft,
    drafts: &Drafts,
) -> Option<ParsedLink<'a>> {
    let map = properties.map(
        "a map with namespace, package, interfaces and target",
        &LINK,
    )?;
    let contract = contract(&map);
    let name = map.get("name").map(|name| link_name(&name));
    let interfaces = interfaces(&map);
    let source_config = source_end(&map);
    let (target_name, target_config) = target_end(&map);
    let target = target(&target_name?, drafts)?;
    check_direction(&map, source, target);
    let configs = (&source_config.values, &target_config.values);
    check_settings(properties, (source, target), configs);
    Some(ParsedLink {
        link: LinkSpec {
            source: source.id.clone()?,
            target: target.id.clone()?,
            name: name.unwrap_or_else(|| Some(LinkName::default()))?,
            contract: contract?,
            interfaces,
            source_config: source_config.values,
            source_parts: source_config.parts,
            target_config: target_config.values,
            target_parts: target_config.parts,
            place: properties.place(),
        },
        at: properties.clone(),
    })
}

/// Parses the properties of an old trait `linkdef`.
///
/// `None` if a part that it needs was reported.
pub(crate) fn parse_old<'a>(
    properties: &Value<'a>,
    source: &Draft,
    drafts: &Drafts,
) -> Option<ParsedLink<'a>> {
    let map = properties.map("a map with target and values", &["target", "values"])?;
    let values = map.get("values");
    let values = values.map(|values| values.texts("a map of configuration values"));
    let at = map.require("target", TARGET)?;
    let target = target(&at, drafts)?;
    let contract = contract_of(target);
    if contract.is_none() {
        let message = "expected a capability with a contract, or a builtin that has one";
        at.error(Code::UnknownTarget, message);
    }
    let values = values.unwrap_or_default();
    check_settings(
        properties,
        (source, target),
        (&Configuration::new(), &values),
    );
    Some(ParsedLink {
        link: LinkSpec {
            source: source.id.clone()?,
            target: target.id.clone()?,
            name: target.link_name.clone(),
            contract: contract?,
            interfaces: Vec::new(),
            source_config: Configuration::new(),
            source_parts: Vec::new(),
            target_config: values,
            target_parts: Vec::new(),
            place: properties.place(),
        },
        at: properties.clone(),
    })
}

/// Reports links that exclude each other: links of one key must cover different interfaces.
///
/// The cost is linear in the links and their interfaces.
pub(crate) fn check_conflicts(links: &[ParsedLink]) {
    let mut seen: HashMap<_, Covered> = HashMap::new();
    for ParsedLink { link, at } in links {
        let covered = seen.entry(link.key()).or_default();
        if let Some(other) = covered.add(link) {
            at.refuse(Code::LinkConflict, conflict(link, other));
        }
    }
}

/// The interfaces that the links of one key cover, each with its link.
#[derive(Default)]
struct Covered<'l> {
    /// The first link of the key.
    anything: Option<&'l LinkSpec>,
    /// The first link without interfaces, which covers all of them.
    everything: Option<&'l LinkSpec>,
    interfaces: HashMap<&'l str, &'l LinkSpec>,
}

impl<'l> Covered<'l> {
    /// Adds a link. Returns the first one that covers some of the same interfaces.
    fn add(&mut self, link: &'l LinkSpec) -> Option<&'l LinkSpec> {
        let mut other = self.everything;
        for interface in &link.interfaces {
            let before = self.interfaces.insert(interface, link);
            // A link does not conflict with itself, even if it names an interface twice.
            other = other.or(before.filter(|before| !std::ptr::eq(*before, link)));
        }
        if link.interfaces.is_empty() {
            other = other.or(self.anything);
            self.everything.get_or_insert(link);
        }
        self.anything.get_or_insert(link);
        other
    }
}

/// The message about two links that exclude each other.
fn conflict(link: &LinkSpec, other: &LinkSpec) -> String {
    let LinkSpec {
        source,
        contract,
        name,
        ..
    } = link;
    let LinkSpec { target, place, .. } = other;
    format!(
        "expected another name, or other interfaces, as {source} is linked to {target} for \
         {contract} under the name {name} by line {}",
        place.line
    )
}

/// The contract of `namespace` and `package`.
fn contract(map: &Map) -> Option<Contract> {
    let namespace = map.require("namespace", "the namespace of the interfaces, such as wasi");
    let package = map.require("package", "the package of the interfaces, such as keyvalue");
    let namespace =
        namespace.and_then(|value| part(&value, |text| Contract::of(text, "a").is_ok()));
    // A package may have a colon (`builtin:logging`), a namespace may not.
    let package = package.and_then(|value| part(&value, |text| Contract::of("a", text).is_ok()));
    Contract::of(namespace?, package?).ok()
}

/// One half of a contract.
fn part<'a>(value: &Value<'a>, is_good: impl FnOnce(&str) -> bool) -> Option<&'a str> {
    let expected = "a name of A-Z, a-z, 0-9, _, - and .";
    let text = value.text(expected)?;
    if is_good(text) {
        return Some(text);
    }
    value.error(Code::InvalidValue, format!("expected {expected}"));
    None
}

/// The interfaces that the link covers. Empty means all.
fn interfaces(map: &Map) -> Vec<String> {
    let list = map.get("interfaces");
    let list = list.map(|list| list.list("a list of interfaces, such as [store, atomics]"));
    let is_name = |text: &str| Interface::parse(text).is_ok();
    let name = |text: &str| is_name(text).then(|| text.to_owned());
    list.iter()
        .flatten()
        .filter_map(|interface| interface.parsed("an interface, such as incoming-handler", name))
        .collect()
}

/// Parses `source: {config, secrets}`, or the older `source_config`. The source is the component of
/// the trait.
fn source_end(map: &Map) -> Configured {
    let source = map.get("source");
    let fields = source.and_then(|value| value.map("a map with config", &["config", "secrets"]));
    config_of_end(fields.as_ref(), map.get("source_config"))
}

/// Parses `target: {name, config, secrets}`, or the older `target: NAME` with `target_config`.
fn target_end<'a>(map: &Map<'a>) -> (Option<Value<'a>>, Configured) {
    let old_config = map.get("target_config");
    match map.require("target", TARGET) {
        Some(target) if target.is_map() => {
            let fields = target.map("a map with name", &["config", "name", "secrets"]);
            let name = fields.as_ref().and_then(|map| map.require("name", TARGET));
            (name, config_of_end(fields.as_ref(), old_config))
        }
        name => (name, config::parse(old_config.as_ref())),
    }
}

/// The configuration of one end, from its new field or its old one.
fn config_of_end(fields: Option<&Map>, old: Option<Value>) -> Configured {
    let new = fields.and_then(|fields| {
        refuse_secrets(fields);
        fields.get("config")
    });
    if let (Some(_), Some(old)) = (&new, &old) {
        let message = "expected the configuration of this end once, in its field config";
        old.refuse(Code::Duplicate, message);
    }
    config::parse(new.or(old).as_ref())
}

/// The component of this name.
fn target<'d, 'a>(name: &Value, drafts: &'d Drafts<'a>) -> Option<&'d Draft<'a>> {
    let text = name.text(TARGET)?;
    let target = drafts.find(text);
    if target.is_none() {
        let hint = name.hint(text, drafts.names());
        let message = format!("expected {TARGET}{hint}");
        name.error(Code::UnknownTarget, message);
    }
    target
}

/// Reports a link between two providers.
fn check_direction(map: &Map, source: &Draft, target: &Draft) {
    if (source.kind, target.kind) == (Some(Kind::Provider), Some(Kind::Provider)) {
        let message = "a link from a capability calls a component, but the target is a capability";
        (map.value()).refuse(Code::UnknownTarget, message);
    }
}

/// Reports settings of a link that have no effect at its built-in provider.
fn check_settings(
    at: &Value,
    (source, target): (&Draft, &Draft),
    (source_config, target_config): (&Configuration, &Configuration),
) {
    let (builtin, own, other) = match (builtin(source), builtin(target)) {
        (_, Some(builtin)) => (builtin, target_config, source_config),
        (Some(builtin), None) => (builtin, source_config, target_config),
        (None, None) => return,
    };
    report_unused(at, builtin.check(Given::ToLink, own));
    report_unused(at, builtin.check(Given::ToOtherEnd, other));
}

/// The built-in provider of a component.
pub(crate) fn builtin(draft: &Draft) -> Option<&'static Builtin> {
    match &draft.image {
        Some(Image::Builtin(name)) => Builtin::find(name),
        _ => None,
    }
}

/// Reports settings without effect.
pub(crate) fn report_unused(at: &Value, checked: Result<Vec<String>, Error>) {
    match checked {
        Ok(warnings) => (warnings.into_iter()).for_each(|text| at.warn(Code::NoEffect, text)),
        Err(error) => at.refuse(Code::NoEffect, error.detail),
    }
}

/// The contract of a provider: as it says itself, or the oldest of a built-in one.
fn contract_of(target: &Draft) -> Option<Contract> {
    let builtin = || match &target.image {
        Some(Image::Builtin(name)) => builtin_contract(name),
        _ => None,
    };
    target.contract.clone().or_else(builtin)
}

/// Parses the name of a link.
pub(crate) fn link_name(value: &Value) -> Option<LinkName> {
    value.parsed(LINK_NAME, |text| LinkName::parse(text).ok())
}

/// Parses the contract of a provider of an old manifest.
pub(crate) fn provider_contract(value: &Value) -> Option<Contract> {
    value.parsed(CONTRACT, |text| Contract::parse(text).ok())
}
