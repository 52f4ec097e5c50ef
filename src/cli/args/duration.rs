//! Times on the command line: `30s`, `1h30m`, `250ms`; as in the manifest, never a bare number.

use std::time::Duration;

use crate::syntax::duration::{self, DurationFault};

/// Longer than this is a slip of the finger.
const MAX: Duration = Duration::from_hours(720);

const INTERVAL_MIN: Duration = Duration::from_millis(250);
const INTERVAL_MAX: Duration = Duration::from_hours(1);

/// Reads one, for clap.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    parse_up_to(text, MAX)
}

/// Reads one that may be as long as `max`.
pub(crate) fn parse_up_to(text: &str, max: Duration) -> Result<Duration, String> {
    let time = text.trim();
    if time.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a time needs a unit, as in 30s, 2m or 1h30m".to_owned());
    }
    duration::parse(time, max).map_err(|fault| match fault {
        DurationFault::Malformed => format!("{text} is no time such as 30s or 1h30m"),
        DurationFault::UnknownUnit(unit) => format!("{unit} is no unit of time: ms, s, m, h and d are"),
        DurationFault::TooLong => format!("more than {} days", max.as_secs() / 86_400),
    })
}

/// How often something is done again: below, it is a load; above, it comes too late.
pub(crate) fn parse_interval(text: &str) -> Result<Duration, String> {
    let is_sound = |interval: &Duration| *interval >= INTERVAL_MIN;
    parse_up_to(text, INTERVAL_MAX)
        .ok()
        .filter(is_sound)
        .ok_or_else(|| format!("{text} is no interval: a time from 250ms to 1h, as in 5s"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::parse;

    #[test]
    fn a_time_has_units() {
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(parse("1m 5s"), Ok(Duration::from_secs(65)));
        for wrong in ["", "30", "-5s", "5 s", "s", "1y", "99999999999999999999s", "31d", "20d11d"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
