//! What the new connections of an address are held to: its limits, and what is counted against them.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::budget::Budget;
use super::limits::Limits;

/// What new connections are served under.
pub(crate) struct ConnectionLimits {
    pub(crate) limits: Limits,
    pub(crate) budget: Arc<Budget>,
    pub(crate) slots: Arc<Semaphore>,
    /// For the requests of HTTP/2 connections.
    pub(crate) streams: Arc<Semaphore>,
}

impl ConnectionLimits {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            slots: Arc::new(Semaphore::new(limits.max_connections)),
            streams: Arc::new(Semaphore::new(limits.max_all_streams())),
            budget: Arc::new(Budget::new(limits.max_buffered_bytes)),
            limits,
        })
    }
}
