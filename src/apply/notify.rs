//! Tells notifiers of changes. It prevents none and delays none: each has a queue and a worker of its own, and only the
//! end of the run waits for what is left, for a bounded time.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use super::hooks::{CallReport, named, report, shortened};
use super::pending;
use super::run::{Run, millis, spoken};
use crate::host::calls::HookCall;
use crate::model::event::CallOutcome;
use crate::model::hooks::{HookPayload, Notifier, Payload, Point, When};
use crate::model::pending::TRIES_MAX;
use crate::store::PendingChange;

/// A switch of a whole machine makes about as many changes. The oldest beyond that wait for the next run.
const QUEUE_MAX: usize = 64;

/// Nobody minds so long at the end of a run that took minutes.
const LEAVE_MAX: Duration = Duration::from_secs(10);

/// After an interrupt, effects under way had their 4 s of the promised 5.
const LEAVE_INTERRUPTED: Duration = Duration::from_millis(500);

/// What is to be told in one run, to each notifier of the manifest.
pub(super) struct Notices {
    boxes: Vec<Mailbox>,
    /// Nothing more comes.
    closed: watch::Sender<bool>,
}

#[derive(Default)]
struct Mailbox {
    queue: Mutex<VecDeque<Notice>>,
    news: Notify,
    /// The one that is being told.
    under_way: Mutex<Option<Notice>>,
    /// The oldest, where more came than it took.
    passed_over: Mutex<Vec<Notice>>,
}

/// One notification.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    /// Key of its record; `None`: it could not be recorded.
    pub(super) id: Option<u64>,
    pub(super) payload: HookPayload,
    /// Runs that tried in vain; `None`: it is this run's own.
    pub(super) tries: Option<u32>,
}

impl Notices {
    pub(super) fn new(notifiers: usize) -> Self {
        Self { boxes: (0..notifiers).map(|_| Mailbox::default()).collect(), closed: watch::Sender::new(false) }
    }

    /// Puts a notification into the queue of one notifier, by its position in the manifest.
    pub(super) fn post(&self, notifier: usize, notice: Notice) {
        if let Some(mailbox) = self.boxes.get(notifier) {
            mailbox.put(notice);
        }
    }

    /// The run is over: the workers end when they have told what is left.
    pub(super) fn close(&self) {
        self.closed.send_replace(true);
        self.boxes.iter().for_each(|mailbox| mailbox.news.notify_one());
    }

    fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    async fn closing(&self) {
        // The sender is here: it can't be gone.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }
}

impl Mailbox {
    fn put(&self, notice: Notice) {
        let mut queue = lock(&self.queue);
        if queue.len() == QUEUE_MAX {
            lock(&self.passed_over).extend(queue.pop_front());
        }
        queue.push_back(notice);
        self.news.notify_one();
    }

    /// Not told, or not to its end.
    fn left(&self) -> Vec<Notice> {
        let passed_over = std::mem::take(&mut *lock(&self.passed_over)).into_iter();
        passed_over.chain(lock(&self.under_way).take()).chain(std::mem::take(&mut *lock(&self.queue))).collect()
    }
}

/// On which side of a change a notifier is, as a point.
pub(super) fn point_of(when: When) -> Point {
    match when {
        When::Before => Point::NotifyBefore,
        When::After => Point::NotifyAfter,
    }
}

/// Serves all of them until the run is over and everything is told, or their time is.
pub(super) async fn serve(run: &Run<'_>) {
    let notifiers = run.context.desired.notify.iter();
    join_all(notifiers.zip(&run.notices.boxes).map(|(notifier, mailbox)| serve_one(run, notifier, mailbox))).await;
}

async fn serve_one(run: &Run<'_>, notifier: &Notifier, mailbox: &Mailbox) {
    let patience = notifier.timeout.min(LEAVE_MAX);
    let work = async {
        loop {
            let next = lock(&mailbox.queue).pop_front();
            match next {
                Some(notice) => {
                    lock(&mailbox.under_way).replace(notice.clone());
                    deliver(run, notifier, &notice).await;
                    lock(&mailbox.under_way).take();
                }
                None if run.notices.is_closed() => return,
                None => mailbox.news.notified().await,
            }
        }
    };
    tokio::select! {
        biased;
        () = work => {}
        () = out_of_patience(run, patience) => {}
    }
    let left = mailbox.left();
    if left.is_empty() {
        return;
    }
    let recorded: Vec<u64> = left.iter().filter_map(|notice| notice.id).collect();
    let is_interrupted = run.context.interrupt.borrow().is_some();
    let when = if is_interrupted {
        "the run was interrupted".to_owned()
    } else {
        // A notifier that never takes them must not owe them for ever.
        pending::tried_in_vain(run, &recorded);
        format!("it did not take them within {} of the run's end", spoken(patience))
    };
    let is_last = |notice: &Notice| !is_interrupted && notice.tries.unwrap_or_default() + 1 >= TRIES_MAX;
    let dropped = left.iter().filter(|notice| notice.id.is_some() && is_last(notice)).count();
    let next = match (recorded.len(), dropped) {
        (0, _) => "",
        (all, dropped) if all == dropped => "; after three runs that tried it is dropped",
        (_, 0) => "; the next run tells it",
        _ => "; the next run tells what it has not tried three times",
    };
    let called = format!("{} ({})", named(run, &notifier.call), notifier.source);
    run.warn(&format!("{} not told to {called}: {when}{next}", changes(left.len())));
}

fn changes(count: usize) -> String {
    if count == 1 { "1 change was".to_owned() } else { format!("{count} changes were") }
}

/// Returns when the run has been over for so long, or for but a moment where it was interrupted.
async fn out_of_patience(run: &Run<'_>, patience: Duration) {
    run.notices.closing().await;
    let hurried = async {
        run.interrupted().await;
        sleep(LEAVE_INTERRUPTED).await;
    };
    tokio::select! {
        () = sleep(patience) => {}
        () = hurried => {}
    }
}

/// One that is told well is not worth a word.
async fn deliver(run: &Run<'_>, notifier: &Notifier, notice: &Notice) {
    let began = Instant::now();
    let Notice { id, payload, tries } = notice;
    let call = HookCall {
        call: &notifier.call,
        cwd: &notifier.cwd,
        timeout: notifier.timeout,
        payload: Payload::Change(payload),
    };
    let answer = run.context.driver.call(&call).await;
    let done: Vec<u64> = id.iter().copied().collect();
    if tries.is_some() {
        let mut ledger = run.ledger();
        ledger.changed = true;
        ledger.made += 1;
    }
    let Some(error) = answer.error else {
        return pending::settle_ids(run, &done);
    };
    let failed = CallReport {
        payload,
        call: named(run, &notifier.call),
        outcome: CallOutcome::Failed,
        took_ms: millis(began.elapsed()),
        error: Some(run.mask(&error)),
        output: shortened(&run.mask(&answer.output)),
    };
    // It was told, and did not want it: another time would be no better.
    report(run, failed, PendingChange { done: &done, ..PendingChange::default() });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
