//! Channel of notifications to the workers of all notifiers. It never blocks the step that posts: a worker that lags misses
//! the oldest ones, which remain owed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use crate::model::hooks::HookPayload;

/// Largest number of notifications that wait for one notifier: about as many as a mode switch of a whole machine makes.
/// The oldest beyond that wait for the next run.
const WAITING_MAX: usize = 64;

/// Notifications of one run.
pub(in crate::apply) struct NoticeChannel {
    /// `None`: closed.
    sender: Mutex<Option<broadcast::Sender<Arc<Posted>>>>,
    /// One for each notifier, in the manifest's order. `None`: its worker has it.
    receivers: Mutex<Vec<Option<broadcast::Receiver<Arc<Posted>>>>>,
    /// Notifications that are not delivered yet, by notifier and in the order in which they were posted.
    owed: Mutex<BTreeMap<(usize, u64), Owed>>,
    posted: AtomicU64,
    /// True once nothing more is posted.
    closed: watch::Sender<bool>,
}

/// Notifications for one notifier.
pub(in crate::apply) struct NoticeReceiver {
    notifier: usize,
    receiver: Option<broadcast::Receiver<Arc<Posted>>>,
}

/// One notification.
#[derive(Clone, Debug)]
pub(in crate::apply) struct Notice {
    /// Record and earlier tries.
    pub(in crate::apply) owed: Owed,
    pub(in crate::apply) payload: HookPayload,
}

/// Record of a notification that is not delivered yet.
#[derive(Clone, Copy, Debug)]
pub(in crate::apply) struct Owed {
    /// Key of the record; `None`: it could not be recorded.
    pub(in crate::apply) id: Option<u64>,
    /// Number of runs that failed to deliver it; `None`: this run made the notification itself.
    pub(in crate::apply) tries: Option<u32>,
}

/// A notification in the channel.
#[derive(Debug)]
pub(in crate::apply) struct Posted {
    /// Position of its notifier in the manifest, and its number among all that were posted.
    key: (usize, u64),
    pub(in crate::apply) notice: Notice,
}

impl NoticeChannel {
    pub(super) fn new(notifiers: usize) -> Self {
        let sender = broadcast::Sender::new(WAITING_MAX * notifiers.max(1));
        let receivers = (0..notifiers).map(|_| Some(sender.subscribe())).collect();
        Self {
            sender: Mutex::new(Some(sender)),
            receivers: Mutex::new(receivers),
            owed: Mutex::default(),
            posted: AtomicU64::new(0),
            closed: watch::Sender::new(false),
        }
    }

    /// Returns the receiver of one notifier, by its position in the manifest.
    pub(in crate::apply) fn receiver(&self, notifier: usize) -> NoticeReceiver {
        let receiver = lock(&self.receivers).get_mut(notifier).and_then(Option::take);
        NoticeReceiver { notifier, receiver }
    }

    /// Posts a notification to one notifier, by its position in the manifest.
    pub(in crate::apply) fn post(&self, notifier: usize, notice: Notice) {
        let key = (notifier, self.posted.fetch_add(1, Ordering::Relaxed));
        lock(&self.owed).insert(key, notice.owed);
        if let Some(sender) = lock(&self.sender).as_ref() {
            // Without a receiver every worker has run out of time, and the notification remains owed.
            let _ = sender.send(Arc::new(Posted { key, notice }));
        }
    }

    /// Marks a notification as delivered.
    pub(in crate::apply) fn delivered(&self, posted: &Posted) {
        lock(&self.owed).remove(&posted.key);
    }

    /// Takes every notification of one notifier that is not delivered yet.
    pub(in crate::apply) fn take_owed(&self, notifier: usize) -> Vec<Owed> {
        lock(&self.owed).extract_if((notifier, 0)..=(notifier, u64::MAX), |_, _| true).map(|(_, owed)| owed).collect()
    }

    /// Closes the channel at the end of the run: the workers end when they have delivered the rest.
    pub(in crate::apply) fn close(&self) {
        lock(&self.sender).take();
        self.closed.send_replace(true);
    }

    /// Returns when the channel is closed.
    pub(in crate::apply) async fn closing(&self) {
        // The sender is a field of this struct, so that it exists as long as the wait.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }
}

impl NoticeReceiver {
    /// Returns the next notification for this notifier; `None`: the channel is closed, and nothing is left in it.
    pub(in crate::apply) async fn next(&mut self) -> Option<Arc<Posted>> {
        let receiver = self.receiver.as_mut()?;
        loop {
            match receiver.recv().await {
                Ok(posted) if posted.key.0 == self.notifier => return Some(posted),
                // Those that were missed remain owed: they are reported at the end of the run.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
