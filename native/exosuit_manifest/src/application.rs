//! A whole manifest: metadata, components, and names that must be unique.
//!
//! Components are parsed in two rounds. The first gives drafts with names and ids. The second reads
//! the traits, because a link may name a component that stands further down.

use std::collections::{BTreeMap, HashMap};
use std::mem;

use crate::component::{NAME, name};
use crate::diagnostic::{Code, Source};
use crate::draft::{Draft, Drafts, Kind};
use crate::link;
use crate::model::Manifest;
use crate::rollout;
use crate::value::{Map, Value};

/// The one version of the format.
const API_VERSION: &str = "core.oam.dev/v1beta1";
/// The one kind of document.
const KIND: &str = "Application";
/// Stands in for an invalid name, so that the rest can be checked.
const UNNAMED: &str = "application";

/// Parses a manifest. It is valid only if nothing was reported.
pub(crate) fn parse(root: &Value, source: &Source) -> Option<Manifest> {
    let fields = ["apiVersion", "kind", "metadata", "spec"];
    let map = root.map("an Application", &fields)?;
    constant(&map, "apiVersion", API_VERSION);
    constant(&map, "kind", KIND);
    let mut manifest = Manifest {
        file: source.file.clone(),
        name: UNNAMED.to_owned(),
        ..Manifest::default()
    };
    read_metadata(&map, &mut manifest);
    let spec = map.require("spec", "a map with components")?;
    let spec = spec.map("a map with components", &["components", "policies"])?;
    if let Some(policies) = spec.get("policies") {
        policies.warn(Code::UnknownField, "policies are not read");
    }
    let components = spec.require("components", "a list of components")?;
    read_components(&components, source, &mut manifest);
    Some(manifest)
}

/// A field that must have one value.
fn constant(map: &Map, key: &str, constant: &str) {
    if let Some(value) = map.require(key, constant) {
        value.choice(&[(constant, ())]);
    }
}

/// Name, labels and annotations. The version `latest` is refused: wadm uses it for the newest
/// version.
fn read_metadata(map: &Map, manifest: &mut Manifest) -> Option<()> {
    let expected = "a map with the name of the application";
    let metadata = map.require("metadata", expected)?;
    let map = metadata.map(expected, &["annotations", "labels", "name"])?;
    if let Some(name) = map.require("name", NAME).and_then(|value| name(&value)) {
        name.clone_into(&mut manifest.name);
    }
    manifest.labels = texts(&map, "labels");
    manifest.annotations = texts(&map, "annotations");
    if let Some(annotations) = map.get("annotations") {
        manifest.rollout = rollout::parse(&annotations);
    }
    manifest.description = manifest.annotations.get("description").cloned();
    manifest.version = manifest.annotations.get("version").cloned();
    if manifest.version.as_deref() == Some("latest") {
        let version = map.get("annotations")?.find("version")?;
        version.error(Code::InvalidValue, "expected a version of its own");
    }
    Some(())
}

/// A map of texts, empty if it is absent.
fn texts(map: &Map, key: &str) -> BTreeMap<String, String> {
    let value = map.get(key);
    value.map_or_else(BTreeMap::new, |value| value.texts("a map of texts"))
}

/// All components, with their links.
fn read_components<'a>(components: &Value<'a>, source: &Source, manifest: &mut Manifest) {
    let list = components.list("a list of components");
    if list.is_empty() && components.is_list() {
        let message = "expected at least one component";
        components.refuse(Code::Missing, message);
    }
    let parse = |value| Draft::parse(value, &manifest.name, source);
    let drafts = Drafts::new(list.iter().filter_map(parse).collect());
    check_unique(&drafts.list);

    let parse = |draft: &Draft<'a>| draft.parse_traits(&drafts, source);
    let mut traits: Vec<_> = drafts.list.iter().map(parse).collect();
    let links = traits.iter_mut().map(|traits| mem::take(&mut traits.links));
    let links: Vec<_> = links.flatten().collect();
    link::check_conflicts(&links);
    manifest.links = links.into_iter().map(|parsed| parsed.link).collect();

    for (draft, traits) in drafts.list.into_iter().zip(traits) {
        match draft.kind {
            Some(Kind::Actor) => manifest.components.extend(draft.into_actor(traits)),
            Some(Kind::Provider) => manifest.providers.extend(draft.into_provider(traits)),
            None => {}
        }
    }
}

/// Reports components that share a name or an id.
fn check_unique(drafts: &[Draft]) {
    let mut names = HashMap::new();
    let mut ids = HashMap::new();
    for draft in drafts {
        let line = draft.name_at.place().line;
        let same_name = draft.name.and_then(|name| names.insert(name, line));
        if let Some(first) = same_name {
            let message = format!("expected a name of its own; line {first} has this one");
            draft.name_at.error(Code::Duplicate, message);
        }
        let same_id = draft
            .id
            .as_ref()
            .and_then(|id| ids.insert(id, line).map(|line| (id, line)));
        if let (Some((id, first)), None) = (same_id, same_name) {
            let message =
                format!("expected an id of its own; the component in line {first} has {id}");
            draft.at.refuse(Code::Duplicate, message);
        }
    }
}
