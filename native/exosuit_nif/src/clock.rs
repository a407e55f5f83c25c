//! The clocks of tests, and what the guests of a host see of time and chance. `Exosuit.Case.Clock` calls these.
//!
//! They do nothing but read and write a few numbers, and run on a normal scheduler.
//!
//! Without `host_simulate` a host has no such clock, and its guests see the time of the machine. Actors that run
//! already keep what they started with. Deadlines and timeouts go by the clock of the machine in any case.

use std::sync::Arc;

use exosuit_engine::{ManualClock, Simulation};
use rustler::types::atom::ok;
use rustler::{Atom, Resource, ResourceArc};

use crate::host::Host;

/// A clock that a test moves. It lives as long as the test or an actor holds it.
struct Clock(Arc<ManualClock>);

#[rustler::resource_impl]
impl Resource for Clock {}

/// Makes a clock, which stands at this time in nanoseconds since 1970.
#[rustler::nif]
fn clock_new(wall: u64) -> ResourceArc<Clock> {
    ResourceArc::new(Clock(Arc::new(ManualClock::new(wall))))
}

/// The time of a clock, in nanoseconds since 1970.
#[rustler::nif]
fn clock_read(clock: ResourceArc<Clock>) -> u64 {
    clock.0.wall()
}

/// Sets a clock to a time in nanoseconds since 1970. The monotonic time stays.
#[rustler::nif]
fn clock_set(clock: ResourceArc<Clock>, wall: u64) -> Atom {
    clock.0.set(wall);
    ok()
}

/// Moves a clock forward, by nanoseconds.
#[rustler::nif]
fn clock_advance(clock: ResourceArc<Clock>, by: u64) -> Atom {
    clock.0.advance(by);
    ok()
}

/// Gives the actors that start on a host from now on this clock, and random numbers of this seed.
#[rustler::nif]
fn host_simulate(
    host: ResourceArc<Host>,
    clock: Option<ResourceArc<Clock>>,
    seed: Option<u64>,
) -> Atom {
    host.state().simulate(Simulation {
        clock: clock.map(|clock| clock.0.clone()),
        seed,
    });
    ok()
}
