//! The limits of new connections, with the semaphores and the budget that count against them.
//!
//! If the limits change, later connections get new ones. Open connections keep theirs.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::budget::Budget;
use super::limits::AddressLimits;

/// The limits that a connection keeps for its whole life.
pub(crate) struct ConnectionLimits {
    /// The numbers.
    pub(crate) address: AddressLimits,
    /// The bytes of bodies in memory.
    pub(crate) budget: Arc<Budget>,
    /// One permit for each connection.
    pub(crate) slots: Arc<Semaphore>,
    /// The requests of HTTP/2 connections.
    pub(crate) streams: Arc<Semaphore>,
}

impl ConnectionLimits {
    /// Fresh semaphores. Connections with former limits count against theirs, so for a while there
    /// may be more in all.
    pub(crate) fn new(address: AddressLimits) -> Arc<Self> {
        Arc::new(Self {
            slots: Arc::new(Semaphore::new(address.max_connections)),
            streams: Arc::new(Semaphore::new(address.max_all_streams())),
            budget: Arc::new(Budget::new(address.max_buffered_bytes)),
            address,
        })
    }
}
