//! Contract of leases.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use super::factory::at;
use crate::store::lease::{FencingToken, Grant, Lease, LeaseError, LeaseHolder, LeaseRequest, LeaseScope};

fn holder(pid: u32) -> LeaseHolder {
    LeaseHolder {
        pid,
        user: "kim".to_owned(),
        command: "lcm apply".to_owned(),
        since: at(0),
        project: "studio".to_owned(),
    }
}

async fn acquire(lease: &dyn Lease, pid: u32, wait_max: Duration, newest: u64) -> Result<Grant, LeaseError> {
    acquire_of(lease, &LeaseScope::host(), pid, (wait_max, newest)).await
}

async fn acquire_of(
    lease: &dyn Lease,
    scope: &LeaseScope,
    pid: u32,
    (wait_max, newest): (Duration, u64),
) -> Result<Grant, LeaseError> {
    let holder = holder(pid);
    let request = LeaseRequest { holder: &holder, wait_max, newest: FencingToken(newest), on_wait: &|_| () };
    lease.acquire(scope, &request).await
}

async fn acquire_at_once(lease: &dyn Lease, pid: u32) -> Result<Grant, LeaseError> {
    acquire(lease, pid, Duration::ZERO, 0).await
}

/// `open`: returns a lease of the same scope, as another process has it.
pub(super) async fn the_second_is_refused_with_the_name_of_the_holder<L: Lease>(open: impl Fn() -> L) {
    let first = acquire_at_once(&open(), 4711).await.expect("it is free");
    first.check().expect("it is held");
    let error = acquire_at_once(&open(), 2).await.expect_err("it is held");
    let LeaseError::Held { holder: Some(named), .. } = &error else { panic!("{error}") };
    assert_eq!(**named, holder(4711));
    let named = "`lcm apply` of kim (pid 4711, project studio), since 2026-09-21T14:13:20Z";
    assert!(error.to_string().contains(named), "{error}");
    drop(first);
    acquire_at_once(&open(), 2).await.expect("dropping the grant has released it");
}

pub(super) async fn tokens_rise<L: Lease>(open: impl Fn() -> L) {
    let mut last = FencingToken::default();
    for pid in 1..4 {
        let grant = acquire_at_once(&open(), pid).await.expect("it is free");
        assert!(grant.token() > last, "{} after {last}", grant.token());
        last = grant.token();
    }
    let newest = last.0 + 1_000_000_000_000;
    let above = acquire(&open(), 9, Duration::ZERO, newest).await.expect("it is free");
    assert!(above.token() > FencingToken(newest), "above all that the caller has on record");
}

pub(super) async fn a_wait_is_bounded_and_reported_once<L: Lease>(open: impl Fn() -> L) {
    let _first = acquire_at_once(&open(), 1).await.expect("it is free");
    let (reported, wait_max, began) = (AtomicU32::new(0), Duration::from_millis(250), Instant::now());
    let on_wait = |error: &LeaseError| {
        assert!(matches!(error, LeaseError::Held { .. }), "{error}");
        reported.fetch_add(1, Ordering::Relaxed);
    };
    let holder = holder(2);
    let request = LeaseRequest { holder: &holder, wait_max, newest: FencingToken::default(), on_wait: &on_wait };
    let error = open().acquire(&LeaseScope::host(), &request).await.expect_err("it is held");
    assert!(matches!(error, LeaseError::Held { .. }), "{error}");
    assert!((wait_max..Duration::from_secs(30)).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(reported.into_inner(), 1);
}

pub(super) async fn a_wait_ends_when_the_lease_is_released<L: Lease>(open: impl Fn() -> L) {
    let first = std::sync::Mutex::new(Some(acquire_at_once(&open(), 1).await.expect("it is free")));
    let released = first.lock().expect("not poisoned").as_ref().map(Grant::token).expect("held");
    // The holder releases it at the moment when the second reports that it waits.
    let free = |_: &LeaseError| drop(first.lock().expect("not poisoned").take());
    let (holder, newest) = (holder(2), FencingToken::default());
    let request = LeaseRequest { holder: &holder, wait_max: Duration::from_mins(1), newest, on_wait: &free };
    let second = open().acquire(&LeaseScope::host(), &request).await.expect("it was released");
    assert!(second.token() > released);
}

pub(super) async fn a_wait_that_is_cancelled_acquires_nothing<L: Lease>(open: impl Fn() -> L) {
    let first = acquire_at_once(&open(), 1).await.expect("it is free");
    {
        let second = open();
        let mut waiting = Box::pin(acquire(&second, 2, Duration::from_mins(1), 0));
        assert!(waiting.as_mut().now_or_never().is_none());
        tokio::select! {
            _ = &mut waiting => panic!("it is held"),
            () = tokio::time::sleep(Duration::from_millis(150)) => {}
        }
    }
    drop(first);
    acquire(&open(), 3, Duration::from_secs(30), 0).await.expect("only the third wants it");
}

/// A lease that covers one scope alone refuses any other.
pub(super) async fn another_scope_is_another_lease_or_none<L: Lease>(open: impl Fn() -> L) {
    let _first = acquire_at_once(&open(), 1).await.expect("it is free");
    let other = LeaseScope::new("once/key");
    match acquire_of(&open(), &other, 2, (Duration::ZERO, 0)).await {
        Ok(_second) => {
            let error = acquire_of(&open(), &other, 3, (Duration::ZERO, 0)).await.expect_err("the second holds it");
            let LeaseError::Held { holder: Some(named), .. } = error else { panic!("{error}") };
            assert_eq!(*named, holder(2));
        }
        Err(error @ LeaseError::Unusable { .. }) => assert!(error.to_string().contains("not once/key"), "{error}"),
        Err(error) => panic!("{error}"),
    }
}
