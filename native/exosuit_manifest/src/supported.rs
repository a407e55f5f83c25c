//! What a certain host cannot honour of a manifest.

use std::collections::BTreeMap;

use exosuit_core::{Builtin, hint};

use crate::diagnostic::{Code, Diagnostic, Place, Severity};
use crate::image::Image;
use crate::model::{ActorSettings, ActorSpec, Execution, Manifest, Spread};
use crate::node::quote;

/// What a host has to offer.
struct Host<'a> {
    labels: &'a BTreeMap<String, String>,
    modules: &'a [&'a str],
}

/// Why something cannot be honoured: where, what would be right, what was found.
type Refusal = (Place, String, Option<String>);

impl Manifest {
    /// What a host with these labels and Elixir modules cannot honour; empty when it can start the
    /// whole. In the order of their lines.
    pub fn unsupported(
        &self,
        host_labels: &BTreeMap<String, String>,
        modules: &[&str],
    ) -> Vec<Diagnostic> {
        let host = Host {
            labels: host_labels,
            modules,
        };
        let mut refusals: Vec<_> = (self.of_components(&host))
            .chain(self.of_providers(&host))
            .collect();
        refusals.sort();
        let kind = (Severity::Error, Code::NotHere);
        refusals
            .into_iter()
            .map(|(place, message, found)| Diagnostic::new(&self.file, place, kind, message, found))
            .collect()
    }

    fn of_components(&self, host: &Host) -> impl Iterator<Item = Refusal> {
        self.components.iter().flat_map(move |actor| {
            let image = reference(&actor.image, "a file", &actor.image_place);
            image
                .into_iter()
                .chain(host.lacks_labels(&actor.spread))
                .chain(not_yet(actor))
        })
    }

    fn of_providers(&self, host: &Host) -> impl Iterator<Item = Refusal> {
        self.providers.iter().flat_map(move |provider| {
            let image = host.lacks_provider(&provider.image, &provider.image_place);
            let several = provider.instances.filter(|instances| instances.get() > 1);
            let several = several.map(|instances| {
                let message = "expected 1 instance: a host runs a provider once".to_owned();
                (provider.place.clone(), message, Some(instances.to_string()))
            });
            let labels = host.lacks_labels(&provider.spread);
            image.into_iter().chain(several).chain(labels)
        })
    }
}

impl Host<'_> {
    fn lacks_provider(&self, image: &Image, place: &Place) -> Option<Refusal> {
        let (what, name, known) = match image {
            Image::Builtin(name) => {
                let known = Builtin::all_names().collect();
                ("a built-in provider", name, known)
            }
            Image::Module(name) => {
                let what = "a module among the host's providers";
                (what, name, self.modules.to_vec())
            }
            Image::File(path) => {
                let message = "expected a built-in provider or a module: providers from a file \
                               are not supported yet";
                return Some((place.clone(), message.to_owned(), Some(quote(path))));
            }
            Image::Oci(_) => {
                return reference(image, "a built-in provider or a module", place);
            }
        };
        if known.contains(&name.as_str()) {
            return None;
        }
        let hint = hint(name, known.iter().copied());
        let message = match *known {
            [] => format!("expected {what}, of which this host has none"),
            _ => format!("expected {what} ({}){hint}", known.join(", ")),
        };
        Some((place.clone(), message, Some(quote(name))))
    }

    fn lacks_labels(&self, spread: &[Spread]) -> Vec<Refusal> {
        let labels = spread.iter().flat_map(|spread| {
            let labels = spread.requirements.iter();
            labels.map(|(label, value)| (&spread.place, label, value))
        });
        labels
            .filter(|(_, label, value)| self.labels.get(*label) != Some(*value))
            .map(|(place, label, value)| {
                let has = match self.labels.get(label) {
                    Some(other) => format!("this host has {}", quote(other)),
                    None => "this host has no such label".to_owned(),
                };
                let message = format!("expected labels of this host as requirements; {has}");
                let found = quote(&format!("{label}={value}"));
                (place.clone(), message, Some(found))
            })
            .collect()
    }
}

/// What the manifest can say of an actor, but no host does yet: better refused than passed over.
fn not_yet(actor: &ActorSpec) -> Option<Refusal> {
    let ActorSettings {
        execution,
        places,
        instances: _,
        limits: _,
        grants: _,
    } = &actor.settings;
    if *execution == Execution::default() {
        return None;
    }
    let message = "expected auto: where a call begins is a choice of each call, and the others learn \
                   from what the actor did before";
    let place = places.get("execution")?;
    Some((place.clone(), message.to_owned(), None))
}

fn reference(image: &Image, expected: &str, place: &Place) -> Option<Refusal> {
    let Image::Oci(reference) = image else {
        return None;
    };
    let message = format!("expected {expected}: registries are not supported yet");
    Some((place.clone(), message, Some(quote(reference))))
}
