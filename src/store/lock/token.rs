//! Fencing tokens of the host's lock. The last one is kept in a file beside the lock's, so that tokens rise across the
//! users of a host, each of whom has a store of their own.
//!
//! The file is read and written under the lock. It is lost with a reboot, and every user may write or remove it; hence
//! a token is also at least the time and the newest one in the caller's store, and a number ahead of the clock is
//! ignored. A file that can't be used keeps no run from its lock.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};

use crate::files::host_wide;
use crate::store::lease::FencingToken;

/// Digits of the largest `u64`. They are written in one call and in place, so that a kill leaves the old or the new
/// number.
const DIGITS: usize = 20;

/// Bound on numbers in the file, ahead of the clock: a clock may have been set back by an hour of daylight saving time
/// or a wrong zone, and no lock is taken a million times a second.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(26);

/// Returns the token of a lock that was taken just now, and keeps it as the last one.
pub(super) fn next(lock: &Path, newest: FencingToken, now: Timestamp) -> FencingToken {
    let file = host_wide::open_or_create(&beside(lock)).ok().filter(host_wide::has_single_link);
    let last = file.as_ref().and_then(|file| read(file, now));
    let token = FencingToken::above(last.into_iter().chain([newest]), now);
    if let Some(file) = file {
        let _ = file.write_all_at(format!("{token:0DIGITS$}").as_bytes(), 0);
    }
    token
}

fn beside(lock: &Path) -> PathBuf {
    let mut path = lock.as_os_str().to_owned();
    path.push(".token");
    PathBuf::from(path)
}

fn read(file: &File, now: Timestamp) -> Option<FencingToken> {
    let mut digits = [0; DIGITS];
    file.read_exact_at(&mut digits, 0).ok()?;
    let token: u64 = std::str::from_utf8(&digits).ok()?.parse().ok()?;
    let bound = now.saturating_add(AHEAD_MAX).unwrap_or(Timestamp::MAX).as_microsecond();
    (token <= u64::try_from(bound).unwrap_or_default()).then_some(FencingToken(token))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use jiff::{SignedDuration, Timestamp};

    use super::{beside, next};
    use crate::store::lease::FencingToken;

    const NONE: FencingToken = FencingToken(0);

    fn now() -> Timestamp {
        Timestamp::from_second(1_790_000_000).expect("in range")
    }

    #[test]
    fn tokens_rise_also_when_the_clock_is_set_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lcm.lock");
        let first = next(&path, NONE, now());
        assert_eq!(first, FencingToken(1_790_000_000_000_000));
        assert_eq!(next(&path, NONE, now()), FencingToken(first.0 + 1));
        assert_eq!(next(&path, NONE, now() - SignedDuration::from_hours(1)), FencingToken(first.0 + 2));
        assert_eq!(fs::read_to_string(beside(&path)).expect("kept"), "00001790000000000002");
        assert_eq!(next(&path, NONE, now() + SignedDuration::from_secs(1)), FencingToken(first.0 + 1_000_000));
    }

    #[test]
    fn a_lost_or_forged_file_takes_no_token_below_the_stores_nor_above_the_clock() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lcm.lock");
        let first = next(&path, NONE, now());
        fs::remove_file(beside(&path)).expect("a reboot");
        let earlier = now() - SignedDuration::from_hours(24);
        assert_eq!(next(&path, first, earlier), FencingToken(first.0 + 1), "the store has the newest");
        for forged in ["99999999999999999999", "18446744073709551615", "-0000000000000000001", "x", ""] {
            fs::write(beside(&path), forged).expect("written");
            assert_eq!(next(&path, NONE, now()), first, "{forged}");
        }
        fs::remove_file(beside(&path)).expect("removed");
        fs::create_dir(beside(&path)).expect("made");
        assert_eq!(next(&path, first, now()), FencingToken(first.0 + 1), "no file can be used");
    }
}
