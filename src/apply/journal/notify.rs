//! Delivers notifications to notifiers. Delivery never prevents or delays a change: each notifier has a worker of its own
//! at the channel of the run, and only the end of the run waits for the rest, for a bounded time.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::call::{CallReport, named, report, shortened};
use super::pending;
use crate::apply::run::{Notice, Owed, Run, duration_text, millis};
use crate::host::calls::{HookCall, HookResult};
use crate::model::event::CallOutcome;
use crate::model::hooks::{Notifier, Payload};
use crate::model::pending::TRIES_MAX;
use crate::store::PendingChange;

/// Longest wait for deliveries at the end of a run, which may have taken minutes.
const LEAVE_MAX: Duration = Duration::from_secs(10);

/// The same for an interrupted run: it ends within 5 s, of which effects under way have had 4.
const LEAVE_INTERRUPTED: Duration = Duration::from_millis(500);

/// Serves every notifier until the run is over and all notifications are delivered, or their time has run out.
pub(in crate::apply) async fn serve(run: &Run<'_>) {
    let notifiers = run.context.desired.notify.iter().enumerate();
    join_all(notifiers.map(|(at, notifier)| serve_one(run, at, notifier))).await;
}

/// Serves the notifier at this position in the manifest.
async fn serve_one(run: &Run<'_>, at: usize, notifier: &Notifier) {
    let wait_max = notifier.timeout.min(LEAVE_MAX);
    let mut receiver = run.notices.receiver(at);
    let work = async {
        while let Some(posted) = receiver.next().await {
            let delivered = deliver(run, notifier, &posted.notice).await;
            // Delivered from here on, however long its record takes.
            run.notices.delivered(&posted);
            close(run, notifier, &posted.notice, delivered).await;
        }
    };
    tokio::select! {
        biased;
        () = work => {}
        () = wait_is_over(run, wait_max) => {}
    }
    let left = run.notices.take_owed(at);
    if left.is_empty() {
        return;
    }
    let recorded: Vec<u64> = left.iter().filter_map(|owed| owed.id).collect();
    let is_interrupted = run.context.interrupt.borrow().is_some();
    let when = if is_interrupted {
        "the run was interrupted".to_owned()
    } else {
        // A notification that is never accepted is dropped after some runs.
        pending::count_try(run, &recorded).await;
        format!("not accepted within {} of the end of the run", duration_text(wait_max))
    };
    let is_last = |owed: &Owed| !is_interrupted && owed.tries.unwrap_or_default() + 1 >= TRIES_MAX;
    let dropped = left.iter().filter(|owed| owed.id.is_some() && is_last(owed)).count();
    let next = match (recorded.len(), dropped) {
        (0, _) => "",
        (all, dropped) if all == dropped => "; dropped after three runs that tried",
        (_, 0) => "; the next run tries again",
        _ => "; the next run retries those that have not been tried three times",
    };
    let called = format!("{} ({})", named(run, &notifier.call), notifier.source);
    run.warn(&format!("{} not delivered to {called}: {when}{next}", notifications(left.len())));
}

fn notifications(count: usize) -> String {
    if count == 1 { "1 notification was".to_owned() } else { format!("{count} notifications were") }
}

/// Returns when the run has been over for this time, or for [`LEAVE_INTERRUPTED`] where it was interrupted.
async fn wait_is_over(run: &Run<'_>, wait_max: Duration) {
    run.notices.closing().await;
    let hurried = async {
        run.clock.interrupted().await;
        sleep(LEAVE_INTERRUPTED).await;
    };
    tokio::select! {
        () = sleep(wait_max) => {}
        () = hurried => {}
    }
}

/// Result of one delivery.
struct Delivered {
    answer: HookResult,
    took_ms: u64,
}

/// Delivers one notification.
async fn deliver(run: &Run<'_>, notifier: &Notifier, notice: &Notice) -> Delivered {
    let began = Instant::now();
    let call = HookCall {
        call: &notifier.call,
        cwd: &notifier.cwd,
        timeout: notifier.timeout,
        payload: Payload::Change(&notice.payload),
    };
    let answer = run.context.driver.call(&call).await;
    Delivered { answer, took_ms: millis(began.elapsed()) }
}

/// Closes the record of a notification that was delivered. Only a failed delivery is reported.
async fn close(run: &Run<'_>, notifier: &Notifier, notice: &Notice, delivered: Delivered) {
    let Delivered { answer, took_ms } = delivered;
    let done: Vec<u64> = notice.owed.id.iter().copied().collect();
    if notice.owed.tries.is_some() {
        let mut ledger = run.ledger();
        ledger.changed = true;
        ledger.made += 1;
    }
    let Some(error) = answer.error else {
        return pending::settle_ids(run, &done).await;
    };
    let failed = CallReport {
        payload: &notice.payload,
        call: named(run, &notifier.call),
        outcome: CallOutcome::Failed,
        took_ms,
        error: Some(run.mask(&error)),
        output: shortened(&run.mask(&answer.output)),
    };
    // The notifier was reached and refused: a repetition would not change that.
    report(run, failed, PendingChange { done: &done, ..PendingChange::default() }).await;
}
