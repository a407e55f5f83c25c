//! Serves calls from the lattice: receives, checks, routes and answers them.
//!
//! Those of the host's own cluster come with a MAC (`mac`) on subjects of their own, all others with a
//! signature (`signed`).

mod inline;
mod mac;
mod signed;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use exosuit_core::Deliver;
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address::Served;
use super::shared::Shared;
use crate::{Error, now};
use inline::{Call, InlineStats};

/// How long a server may be silent before what is drained holds nothing more: many round trips.
const DRAINED: Duration = Duration::from_secs(1);

/// An answer larger than this travels apart, as with the peers.
const LARGEST_ANSWER: usize = 900 << 10;

/// A target served to the lattice, until this is dropped.
#[must_use]
pub struct Serving {
    /// No new calls.
    closed: CancellationToken,
    /// No running ones either.
    ended: CancellationToken,
    calls: TaskTracker,
}

impl Serving {
    /// Takes no new calls, and ends when the running ones have, or when the grace is over.
    pub async fn stop(self, grace: Duration) {
        self.closed.cancel();
        self.calls.close();
        let _late = tokio::time::timeout(grace, self.calls.wait()).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.closed.cancel();
        self.ended.cancel();
    }
}

/// A served target.
struct Service {
    shared: Arc<Shared>,
    served: Served,
    target: Arc<dyn Deliver>,
    client: Client,
    ended: CancellationToken,
}

/// How calls come.
#[derive(Debug, Clone, Copy)]
enum Way {
    Signed,
    Mac,
}

/// Begins to serve.
pub(super) async fn serve(
    shared: Arc<Shared>,
    served: Served,
    target: Arc<dyn Deliver>,
) -> Result<Serving, Error> {
    let serving = Serving {
        closed: CancellationToken::new(),
        ended: CancellationToken::new(),
        calls: TaskTracker::new(),
    };
    let service = Arc::new(Service {
        client: shared.connection.any_client().clone(),
        shared,
        served,
        target,
        ended: serving.ended.clone(),
    });
    let (lattice, keys) = (&service.shared.options.lattice, &service.shared.keys);
    for subject in service.served.mac_subjects(lattice, keys) {
        let group = subject.clone();
        service.listen(Way::Mac, subject, group, &serving).await?;
    }
    // Before, one that was served by the host that was here before could be served again.
    tokio::time::sleep(service.shared.guard.opens_in(now())).await;
    let (subject, group) = (
        service.served.subject(lattice),
        service.served.group(lattice),
    );
    service
        .listen(Way::Signed, subject, group, &serving)
        .await?;
    Ok(serving)
}

/// Takes calls as they come: it never waits for one, so that none is lost unanswered.
async fn receive(
    service: Arc<Service>,
    way: Way,
    mut subscriber: Subscriber,
    closed: CancellationToken,
    calls: TaskTracker,
) {
    let mut closing = pin!(closed.cancelled());
    let mut inline = InlineStats::default();
    loop {
        let message = tokio::select! {
            biased;
            () = &mut closing => break,
            message = subscriber.next() => message,
        };
        let Some(message) = message else {
            return;
        };
        if let Some(call) = service.begin(way, message) {
            inline.run(call, &calls).await;
        }
    }
    let connection = &service.shared.connection;
    if connection.client().is_err() {
        // The end of the subscriber is enough: a connection that is made anew does not know of it.
        return;
    }
    let losses = connection.losses();
    // Messages that the server has already sent are served; it sends no more.
    let drained = async {
        if subscriber.drain().await.is_ok() {
            let mut next = async || tokio::time::timeout(DRAINED, subscriber.next()).await;
            while let Ok(Some(message)) = next().await {
                if let Some(call) = service.begin(way, message) {
                    calls.spawn(call);
                }
            }
        }
    };
    tokio::select! {
        () = service.ended.cancelled() => {}
        () = drained => {}
    }
    if connection.losses() != losses {
        // The client has asked for it again on the new connection, and does not know that: calls
        // would come that nobody takes. Yet another connection is asked for what there is.
        let _ = service.client.force_reconnect().await;
    }
}

impl Service {
    /// Takes the calls on a subject from now on.
    async fn listen(
        self: &Arc<Self>,
        way: Way,
        subject: String,
        group: String,
        serving: &Serving,
    ) -> Result<(), Error> {
        let subscriber = self.client.queue_subscribe(subject, group).await;
        let subscriber = subscriber.map_err(|_| Error::Closed)?;
        let (closed, calls) = (serving.closed.clone(), serving.calls.clone());
        let receive = receive(Arc::clone(self), way, subscriber, closed, calls);
        serving.calls.spawn(receive);
        Ok(())
    }

    /// Checks a message, and gives the call that it is; one that is refused is answered at once.
    fn begin(self: &Arc<Self>, way: Way, message: Message) -> Option<Call> {
        match way {
            Way::Signed => self.begin_signed(message),
            Way::Mac => self.begin_mac(message),
        }
    }

    fn refused(&self, error: Error) -> exosuit_core::Error {
        self.shared.tally.count(self.served.name().as_str(), &error);
        error.into()
    }
}
