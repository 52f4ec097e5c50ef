//! Durations on the command line: `30s`, `1h30m`, `250ms`; as in the manifest, never a bare number.

use std::time::Duration;

use crate::syntax::duration::{self, DurationFault};

/// Longest duration; a longer one is a typing error.
const MAX: Duration = Duration::from_hours(720);

const INTERVAL_MIN: Duration = Duration::from_millis(250);
const INTERVAL_MAX: Duration = Duration::from_hours(1);

/// Parses a duration, for clap.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    parse_up_to(text, MAX)
}

/// Parses a duration of at most `max`.
pub(crate) fn parse_up_to(text: &str, max: Duration) -> Result<Duration, String> {
    let time = text.trim();
    if time.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a time needs a unit, as in 30s, 2m or 1h30m".to_owned());
    }
    duration::parse(time, max).map_err(|fault| match fault {
        DurationFault::Malformed => "write a duration such as 30s or 1h30m".to_owned(),
        DurationFault::UnknownUnit(unit) => format!("unknown unit `{unit}`: write ms, s, m, h or d"),
        DurationFault::TooLong => format!("longer than {} days", max.as_secs() / 86_400),
    })
}

/// Parses an interval between two refreshes, for clap: a shorter one loads the machine, a longer one is too late.
pub(crate) fn parse_interval(text: &str) -> Result<Duration, String> {
    let is_sound = |interval: &Duration| *interval >= INTERVAL_MIN;
    parse_up_to(text, INTERVAL_MAX)
        .ok()
        .filter(is_sound)
        .ok_or_else(|| "write a time from 250ms to 1h, such as 5s".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::parse;

    #[test]
    fn a_duration_has_units() {
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(parse("1m 5s"), Ok(Duration::from_secs(65)));
        for wrong in ["", "30", "-5s", "5 s", "s", "1y", "99999999999999999999s", "31d", "20d11d"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
