//! What hosts cannot honour of a manifest.

use exosuit_core::reference::NoRegistry;
use exosuit_core::{Builtin, hint};

use crate::diagnostic::{Code, Diagnostic, Place, Severity};
use crate::image::Image;
use crate::model::{ActorSettings, ActorSpec, Execution, Manifest};
use crate::node::quote;

/// What a host has to offer. Without `modules`, the hosts of a lattice may have any.
struct Host<'a> {
    modules: Option<&'a [&'a str]>,
}

/// Why something cannot be honoured: where, what would be right, what was found.
type Refusal = (Place, String, Option<String>);

impl Manifest {
    /// What a host with these Elixir modules cannot honour, in the order of their lines; `None` if any
    /// module may be named, as hosts of a lattice differ. Where its
    /// labels do not meet a spread, nothing is wrong with the manifest: what has no place is for
    /// whoever places it to tell, on one host as on many.
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

    fn of_components(&self) -> impl Iterator<Item = Refusal> {
        self.components.iter().flat_map(move |actor| {
            let image = reference(&actor.image, &actor.image_place);
            image.into_iter().chain(not_yet(actor))
        })
    }

    fn of_providers(&self, host: &Host) -> impl Iterator<Item = Refusal> {
        (self.providers.iter())
            .filter_map(move |provider| host.lacks_provider(&provider.image, &provider.image_place))
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

fn reference(image: &Image, place: &Place) -> Option<Refusal> {
    let Image::Oci(image) = image else {
        return None;
    };
    Some((place.clone(), NoRegistry(image).to_string(), None))
}
