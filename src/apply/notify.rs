//! Tells notifiers of changes. It prevents none and delays none: each has a queue and a worker of its own, and only the
//! end of the run waits for what is left, for a bounded time.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use super::hooks::{Told, named, shortened, tell};
use super::run::{Run, millis, spoken};
use crate::driver::Errand;
use crate::model::event::CallOutcome;
use crate::model::hooks::{Notifier, Occasion, Point, When};

/// A switch of a whole machine makes about as many changes; who can't keep up with that would rather hear the newest.
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
    queue: Mutex<VecDeque<Occasion>>,
    news: Notify,
    /// The oldest one is being told.
    busy: AtomicBool,
    dropped: Mutex<usize>,
}

impl Notices {
    pub(super) fn new(notifiers: usize) -> Self {
        Self { boxes: (0..notifiers).map(|_| Mailbox::default()).collect(), closed: watch::Sender::new(false) }
    }

    /// Puts a change into the queue of everybody who asked for it.
    pub(super) fn post(&self, notifiers: &[Notifier], when: When, occasion: &Occasion) {
        let wanted = |(notifier, _): &(&Notifier, &Mailbox)| notifier.wants(when, &occasion.service, occasion.to);
        for (_, mailbox) in notifiers.iter().zip(&self.boxes).filter(wanted) {
            mailbox.put(occasion.clone());
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
    fn put(&self, occasion: Occasion) {
        let mut queue = lock(&self.queue);
        if queue.len() == QUEUE_MAX {
            queue.pop_front();
            *lock(&self.dropped) += 1;
        }
        queue.push_back(occasion);
        self.news.notify_one();
    }

    /// Not told yet, or not to its end.
    fn left(&self) -> usize {
        lock(&self.queue).len() + usize::from(self.busy.load(Ordering::Relaxed))
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
                Some(occasion) => {
                    mailbox.busy.store(true, Ordering::Relaxed);
                    deliver(run, notifier, &occasion).await;
                    mailbox.busy.store(false, Ordering::Relaxed);
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
    let called = || format!("{} ({})", named(run, &notifier.call), notifier.source);
    let dropped = *lock(&mailbox.dropped);
    if dropped > 0 {
        run.warn(&format!("{} not told to {}: more came than it took", changes(dropped), called()));
    }
    let left = mailbox.left();
    if left > 0 {
        let when = format!("it did not take them within {} of the run's end", spoken(patience));
        let when = if run.context.interrupt.borrow().is_some() { "the run was interrupted".to_owned() } else { when };
        run.warn(&format!("{} not told to {}: {when}", changes(left), called()));
    }
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
async fn deliver(run: &Run<'_>, notifier: &Notifier, occasion: &Occasion) {
    let began = Instant::now();
    let errand = Errand { call: &notifier.call, cwd: &notifier.cwd, timeout: notifier.timeout, occasion };
    let answer = run.context.driver.call(&errand).await;
    let Some(error) = answer.error else { return };
    let told = Told {
        occasion,
        call: named(run, &notifier.call),
        outcome: CallOutcome::Failed,
        took_ms: millis(began.elapsed()),
        error: Some(run.mask(&error)),
        output: shortened(&run.mask(&answer.output)),
    };
    tell(run, told);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
