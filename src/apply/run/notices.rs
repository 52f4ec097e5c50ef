//! Queues of notifications, one for each notifier of the manifest. A queue never blocks the step that fills it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::model::hooks::HookPayload;

/// A switch of a whole machine makes about as many changes. The oldest beyond that wait for the next run.
const QUEUE_MAX: usize = 64;

/// Notifications of one run, for each notifier in the manifest's order.
pub(in crate::apply) struct NoticeQueues {
    queues: Vec<NoticeQueue>,
    /// True when nothing more is posted.
    closed: watch::Sender<bool>,
}

/// Notifications for one notifier.
#[derive(Default)]
pub(in crate::apply) struct NoticeQueue {
    waiting: Mutex<VecDeque<Notice>>,
    posted: Notify,
    /// The notification that is being delivered.
    under_way: Mutex<Option<Notice>>,
    /// The oldest ones, where more were posted than the queue holds.
    passed_over: Mutex<Vec<Notice>>,
}

/// One notification.
#[derive(Clone, Debug)]
pub(in crate::apply) struct Notice {
    /// Key of its record; `None`: it could not be recorded.
    pub(in crate::apply) id: Option<u64>,
    pub(in crate::apply) payload: HookPayload,
    /// Number of runs that tried in vain; `None`: this run made the notification itself.
    pub(in crate::apply) tries: Option<u32>,
}

impl NoticeQueues {
    pub(super) fn new(notifiers: usize) -> Self {
        Self { queues: (0..notifiers).map(|_| NoticeQueue::default()).collect(), closed: watch::Sender::new(false) }
    }

    /// Queues of the notifiers, in the manifest's order.
    pub(in crate::apply) fn iter(&self) -> impl Iterator<Item = &NoticeQueue> {
        self.queues.iter()
    }

    /// Puts a notification into the queue of one notifier, by its position in the manifest.
    pub(in crate::apply) fn post(&self, notifier: usize, notice: Notice) {
        if let Some(queue) = self.queues.get(notifier) {
            queue.put(notice);
        }
    }

    /// Closes the queues at the end of the run: the workers end when they have delivered the rest.
    pub(in crate::apply) fn close(&self) {
        self.closed.send_replace(true);
        self.queues.iter().for_each(|queue| queue.posted.notify_one());
    }

    pub(in crate::apply) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Returns when the queues are closed.
    pub(in crate::apply) async fn closing(&self) {
        // The sender is a field of this struct, so that it exists as long as the wait.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }
}

impl NoticeQueue {
    fn put(&self, notice: Notice) {
        let mut waiting = lock(&self.waiting);
        if waiting.len() == QUEUE_MAX {
            lock(&self.passed_over).extend(waiting.pop_front());
        }
        waiting.push_back(notice);
        self.posted.notify_one();
    }

    /// Takes the next notification, which then counts as under way.
    pub(in crate::apply) fn begin_next(&self) -> Option<Notice> {
        let next = lock(&self.waiting).pop_front()?;
        lock(&self.under_way).replace(next.clone());
        Some(next)
    }

    /// Ends the delivery of the notification under way.
    pub(in crate::apply) fn end(&self) {
        lock(&self.under_way).take();
    }

    /// Returns when a notification was posted, or the queues were closed.
    pub(in crate::apply) async fn when_posted(&self) {
        self.posted.notified().await;
    }

    /// Takes every notification that was not delivered to its end.
    pub(in crate::apply) fn take_undelivered(&self) -> Vec<Notice> {
        let passed_over = std::mem::take(&mut *lock(&self.passed_over)).into_iter();
        passed_over.chain(lock(&self.under_way).take()).chain(std::mem::take(&mut *lock(&self.waiting))).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
