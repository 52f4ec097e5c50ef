//! Points in time on the command line: `2026-11-20T08:00:00Z`, `2026-11-20`, or `2h` for two hours ago.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::cli::args::duration;

/// Oldest point in time given as an age: the store keeps nothing older.
const AGO_MAX: Duration = Duration::from_hours(24 * 400);

/// Point in time as written; the result depends on the present time and the local time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    At(Timestamp),
    /// Local time.
    Local(DateTime),
    Ago(Duration),
}

/// Parses a point in time, for clap.
pub(crate) fn parse(text: &str) -> Result<Moment, String> {
    let text = text.trim();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Moment::At(at));
    }
    // A day alone is its first moment.
    if let Ok(local) = text.parse::<DateTime>() {
        return Ok(Moment::Local(local));
    }
    let is_time = text.starts_with(|first: char| first.is_ascii_digit()) && !text.contains(['-', ':']);
    if is_time {
        return duration::parse_up_to(text, AGO_MAX).map(Moment::Ago);
    }
    Err("write a time such as 2026-11-20, 2026-11-20T08:00, 2026-11-20T08:00:00Z, or 2h for two hours ago".to_owned())
}

impl Moment {
    /// Returns the point in time, for the present time and time zone. Errors: a local time that does not exist.
    pub(crate) fn resolve(self, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, String> {
        match self {
            Self::At(at) => Ok(at),
            Self::Local(local) => local
                .to_zoned(zone.clone())
                .map(|zoned| zoned.timestamp())
                .map_err(|error| format!("{local} does not exist in the local time zone: {error}")),
            Self::Ago(time) => now.checked_sub(time).map_err(|error| format!("too long ago: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::{self, TimeZone};

    use super::parse;

    fn resolved(text: &str) -> Result<String, String> {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().expect("a time");
        let zone = TimeZone::fixed(tz::offset(1));
        parse(text)?.resolve(now, &zone).map(|at| at.to_string())
    }

    #[test]
    fn a_point_in_time_has_several_forms() {
        assert_eq!(resolved("2026-11-20T08:00:00Z").as_deref(), Ok("2026-11-20T08:00:00Z"));
        assert_eq!(resolved("2026-11-20T08:00:00+02:00").as_deref(), Ok("2026-11-20T06:00:00Z"));
        assert_eq!(resolved("2026-11-20").as_deref(), Ok("2026-11-19T23:00:00Z"), "local time");
        assert_eq!(resolved("2026-11-20 08:30").as_deref(), Ok("2026-11-20T07:30:00Z"));
        assert_eq!(resolved("2h").as_deref(), Ok("2026-11-21T10:00:00Z"));
        assert_eq!(resolved("90d").as_deref(), Ok("2026-08-23T12:00:00Z"));
    }

    #[test]
    fn an_invalid_time_is_refused_with_the_valid_forms() {
        for (wrong, why) in [
            ("yesterday", "write a time such as 2026-11-20"),
            ("", "write a time such as"),
            ("2026-13-01", "write a time such as"),
            ("7", "a time needs a unit"),
            ("3w", "unknown unit `w`"),
            ("500d", "longer than 400 days"),
        ] {
            let error = resolved(wrong).expect_err(wrong);
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }
}
