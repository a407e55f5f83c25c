//! Parts of a manifest that hosts do not support.
//!
//! A manifest may be good and still not run on these hosts: a provider from a file, a module that
//! the host does not have, an image in a registry. Such parts are errors of
//! the kind `not_here`, so that a tool can tell them from mistakes of the author.

use exosuit_core::reference::NoRegistry;
use exosuit_core::{Builtin, hint};

use crate::diagnostic::{Code, Diagnostic, Place, Severity};
use crate::image::Image;
use crate::model::{ActorSettings, ActorSpec, Execution, Manifest};
use crate::node::quote;

/// The providers that a host offers. Without `modules`, the hosts of a lattice may have any.
struct Host<'a> {
    modules: Option<&'a [&'a str]>,
}

/// Why a part is not supported: its place, what would be right, and what was found.
type Refusal = (Place, String, Option<String>);

impl Manifest {
    /// The parts that a host with these Elixir modules does not support, in the order of their
    /// lines. With `None`, any module is accepted, because the hosts of a lattice differ.
    ///
    /// Labels are not checked: placement reports instances without a matching host, on one host as
    /// on many.
    ///
    /// ```
    /// use exosuit_manifest::{Source, parse};
    ///
    /// let text = "
    /// apiVersion: core.oam.dev/v1beta1
    /// kind: Application
    /// metadata: {name: hello}
    /// spec:
    ///   components:
    ///     - {name: clock, type: capability, properties: {image: 'exosuit+module://MyApp.Clock'}}
    /// ";
    /// let source = Source { file: "app.yaml".into(), directory: "/srv".into() };
    /// let manifest = parse(text, &source).expect("no mistakes").manifest;
    /// // Some host of a lattice may have the module, but a host without modules has not.
    /// assert!(manifest.unsupported(None).is_empty());
    /// assert_eq!(manifest.unsupported(Some(&[])).len(), 1);
    /// ```
    pub fn unsupported(&self, modules: Option<&[&str]>) -> Vec<Diagnostic> {
        let host = Host { modules };
        let mut refusals: Vec<_> = (self.of_components())
            .chain(self.of_providers(&host))
            .collect();
        refusals.sort();
        let kind = (Severity::Error, Code::NotHere);
        refusals
            .into_iter()
            .map(|(place, message, found)| Diagnostic::new(&self.file, place, kind, message, found))
            .collect()
    }

    /// The refusals of actors.
    fn of_components(&self) -> impl Iterator<Item = Refusal> {
        self.components.iter().flat_map(move |actor| {
            let image = reference(&actor.image, &actor.image_place);
            image.into_iter().chain(not_yet(actor))
        })
    }

    /// The refusals of providers.
    fn of_providers(&self, host: &Host) -> impl Iterator<Item = Refusal> {
        (self.providers.iter())
            .filter_map(move |provider| host.lacks_provider(&provider.image, &provider.image_place))
    }
}

impl Host<'_> {
    /// Why a host cannot run a provider of this image.
    fn lacks_provider(&self, image: &Image, place: &Place) -> Option<Refusal> {
        let (what, name, known) = match image {
            Image::Builtin(name) => {
                let known = Builtin::all_names().collect();
                ("a built-in provider", name, known)
            }
            Image::Module(name) => {
                let what = "a module among the host's providers";
                (what, name, self.modules?.to_vec())
            }
            Image::File(path) => {
                let message = "expected a built-in provider or a module: providers from a file \
                               are not supported yet";
                return Some((place.clone(), message.to_owned(), Some(quote(path))));
            }
            Image::Oci(_) => {
                return reference(image, place);
            }
        };
        if known.contains(&name.as_str()) {
            return None;
        }
        let hint = hint(name, known.iter().copied());
        let message = match *known {
            [] => format!("expected {what}, but this host has none"),
            _ => format!("expected {what} ({}){hint}", known.join(", ")),
        };
        Some((place.clone(), message, Some(quote(name))))
    }
}

/// A part of an actor that no host supports yet. It is refused rather than ignored.
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

/// Refuses an image in a registry.
fn reference(image: &Image, place: &Place) -> Option<Refusal> {
    let Image::Oci(image) = image else {
        return None;
    };
    Some((place.clone(), NoRegistry(image).to_string(), None))
}
