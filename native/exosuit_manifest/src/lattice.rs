//! What of a manifest cannot be said to other hosts: the control interface has no words for it, or a
//! host would not do it for a stranger. The host that reads the manifest can do it for itself.

use crate::diagnostic::{Code, Diagnostic, Place, Severity};
use crate::model::{ActorSettings, ActorSpec, Execution, Grants, InstancePolicy, Limits, Manifest};

/// The place of a setting, its severity, and its message.
type Refusal = (Place, Severity, &'static str);

const LIMITS: &str = "only the host that reads this manifest keeps them all: other hosts are told of memory, \
                      and of deadline in whole seconds";
const INSTANCES: &str = "only the host that reads this manifest has warm instances: other hosts are not told \
                         of them";
const GRANTS: &str = "only the host that reads this manifest grants them: other hosts show nothing of \
                      themselves to actors that others start";

impl Manifest {
    /// What cannot be honoured on other hosts of a lattice, whichever they are, in the order of their
    /// lines: a warning where the host that reads the manifest can do it, an error where none can.
    pub fn unsupported_elsewhere(&self) -> Vec<Diagnostic> {
        let mut refusals: Vec<_> = self.components.iter().flat_map(refusals).collect();
        refusals.sort_by(|one, other| (&one.0, one.2).cmp(&(&other.0, other.2)));
        let diagnostic = |(place, severity, message)| {
            Diagnostic::new(&self.file, place, (severity, Code::NotHere), message, None)
        };
        refusals.into_iter().map(diagnostic).collect()
    }
}

fn refusals(actor: &ActorSpec) -> impl Iterator<Item = Refusal> {
    let settings = &actor.settings;
    let mut found = own(settings);
    if settings.execution != Execution::default() {
        let message = "expected auto: where a call begins is a choice of each call";
        found.push(("execution", Severity::Error, message));
    }
    found.into_iter().map(|(name, severity, message)| {
        let place = settings.places.get(name).unwrap_or(&actor.place);
        (place.clone(), severity, message)
    })
}

/// The settings that only the host that reads the manifest can honour.
fn own(settings: &ActorSettings) -> Vec<(&'static str, Severity, &'static str)> {
    let is_warm = settings.instances != InstancePolicy::Ephemeral;
    let found = [
        ("limits", !can_be_said(&settings.limits), LIMITS),
        ("instances", is_warm, INSTANCES),
        ("grants", settings.grants != Grants::default(), GRANTS),
    ];
    let found = found.into_iter().filter(|(_, is_own, _)| *is_own);
    let warning = |(name, _, text)| (name, Severity::Warning, text);
    found.map(warning).collect()
}

/// Whether only the host that reads the manifest can run it as it should be.
pub(crate) fn is_own_only(settings: &ActorSettings) -> bool {
    !own(settings).is_empty()
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
