//! Who holds the pins of an actor, and how many each may have.
//!
//! A pin lasts as long as its caller wants, and cannot be taken back. So those who come first could keep all of them.
//! The rules leave some for others:
//!
//! | holders | of the pins that the actor may have |
//! |---|---|
//! | the instances of one actor together | at most half |
//! | the instances of all actors together | at most three quarters |
//! | all processes of Elixir together | at most three quarters |
//!
//! Halves are rounded down and three quarters too, so that one is left for the others; but each may have one. With a
//! single pin, the first caller gets it. Processes are not told apart: they are code of the host, which can count its
//! own.

use exosuit_core::{Id, Origin};

use crate::Error;

/// Those whose pins are counted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::abi::component) enum Holder {
    /// The instances of an actor, of this host or another one.
    Actor(Id),
    /// The processes of Elixir, those of providers too.
    Processes,
}

impl Holder {
    /// Who calls.
    pub(in crate::abi::component) fn of(origin: &Origin) -> Self {
        match origin {
            Origin::Actor(id) => Self::Actor(id.clone()),
            Origin::Elsewhere(remote) => Self::Actor(remote.id.clone()),
            Origin::Host | Origin::Provider { .. } => Self::Processes,
        }
    }

    fn is_actor(&self) -> bool {
        matches!(self, Self::Actor(_))
    }

    /// Whether it may hold one more of `max` pins, when those are held by `holders`. The error `overloaded` says why
    /// not.
    pub(super) fn check<'a>(
        &self,
        holders: impl Iterator<Item = &'a Self>,
        max: usize,
    ) -> Result<(), Error> {
        let (mut all, mut alike, mut same) = (0, 0, 0);
        for holder in holders {
            all += 1;
            alike += usize::from(holder.is_actor() == self.is_actor());
            same += usize::from(holder == self);
        }
        let half = (max / 2).max(1);
        let most = (max - max.div_ceil(4)).max(1);
        if all >= max {
            return Err(refused(&format!(
                "{all} instances of the actor hold resources for callers, as many as may"
            )));
        }
        match self {
            Self::Actor(id) if same >= half => Err(refused(&format!(
                "{same} instances of the actor hold resources for instances of {id}, as many as may for one \
                 actor: half of {max}"
            ))),
            _ if alike >= most => {
                let callers = if self.is_actor() {
                    "actors"
                } else {
                    "processes"
                };
                Err(refused(&format!(
                    "{alike} instances of the actor hold resources for {callers}, as many as may: three quarters \
                     of {max}, so that some are left for others"
                )))
            }
            _ => Ok(()),
        }
    }
}

fn refused(why: &str) -> Error {
    Error::Overloaded(format!(
        "{why}: drop resources, or raise its `instances` (and for many, `pool_slots` of the engine)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(id: &str) -> Holder {
        Holder::Actor(Id::parse(id).expect("a good id"))
    }

    /// How many pins such a caller gets, beside those that others hold.
    fn gets(holder: &Holder, others: &[Holder], max: usize) -> usize {
        let mut holders = others.to_vec();
        while holder.check(holders.iter(), max).is_ok() {
            holders.push(holder.clone());
        }
        holders.len() - others.len()
    }

    #[test]
    fn an_actor_gets_half_and_processes_get_three_quarters_but_each_gets_one() {
        let maxima = [1, 2, 3, 4, 8, 100];
        let of = |holder: &Holder| maxima.map(|max| gets(holder, &[], max));
        assert_eq!(of(&actor("a")), [1, 1, 1, 2, 4, 50]);
        assert_eq!(of(&Holder::Processes), [1, 1, 2, 3, 6, 75]);
    }

    #[test]
    fn actors_together_leave_a_quarter_for_processes_and_the_other_way_round() {
        let greedy = [actor("a"), actor("a"), actor("a"), actor("a")];
        assert_eq!(gets(&actor("b"), &greedy, 8), 2);
        let actors = [&greedy[..], &[actor("b"), actor("b")]].concat();
        assert_eq!(gets(&actor("c"), &actors, 8), 0);
        assert_eq!(gets(&Holder::Processes, &actors, 8), 2);
        let processes = vec![Holder::Processes; 6];
        assert_eq!(gets(&actor("a"), &processes, 8), 2);
    }

    #[test]
    fn the_error_says_who_holds_how_many() {
        let holders = vec![actor("a"); 2];
        let error = actor("a")
            .check(holders.iter(), 4)
            .expect_err("it has half");
        assert!(
            error
                .to_string()
                .contains("for instances of a, as many as may for one actor: half of 4")
        );
        let holders = vec![Holder::Processes; 3];
        let error = Holder::Processes
            .check(holders.iter(), 4)
            .expect_err("they have three quarters");
        assert!(
            error
                .to_string()
                .contains("for processes, as many as may: three quarters of 4")
        );
    }
}
