//! What of a manifest cannot be said to other hosts: the control interface has no words for it, or a
//! host would not do it for a stranger.

use crate::diagnostic::{Code, Diagnostic, Place, Severity};
use crate::model::{ActorSpec, Execution, Grants, InstancePolicy, Limits, Manifest};

impl Manifest {
    /// What cannot be honoured on other hosts of a lattice, whichever they are; empty when they can be
    /// told the whole. In the order of their lines.
    pub fn unsupported_elsewhere(&self) -> Vec<Diagnostic> {
        let mut refusals: Vec<_> = self.components.iter().flat_map(refusals).collect();
        refusals.sort();
        let kind = (Severity::Error, Code::NotHere);
        refusals
            .into_iter()
            .map(|(place, message)| Diagnostic::new(&self.file, place, kind, message, None))
            .collect()
    }
}

fn refusals(actor: &ActorSpec) -> impl Iterator<Item = (Place, &'static str)> {
    let settings = &actor.settings;
    let found = [
        (
            "limits",
            !can_be_said(&settings.limits),
            "expected memory, and deadline in whole seconds: other hosts are told of no other limits",
        ),
        (
            "instances",
            settings.instances != InstancePolicy::Ephemeral,
            "expected ephemeral: other hosts are not told of warm instances",
        ),
        (
            "execution",
            settings.execution != Execution::default(),
            "expected auto: where a call begins is a choice of each call",
        ),
        (
            "grants",
            settings.grants != Grants::default(),
            "expected no grants: a host shows nothing of itself to actors that others start",
        ),
    ];
    let found = found.into_iter().filter(|(_, is_refused, _)| *is_refused);
    found.map(|(name, _, message)| {
        let place = settings.places.get(name).unwrap_or(&actor.place);
        (place.clone(), message)
    })
}

/// 1.x has words for memory, and for time in seconds.
fn can_be_said(limits: &Limits) -> bool {
    let Limits {
        memory: _,
        table,
        queue,
        log,
        deadline_ms,
    } = limits;
    let seconds = deadline_ms.is_none_or(|deadline| deadline.is_multiple_of(1_000));
    seconds && (table, queue, log) == (&None, &None, &None)
}
