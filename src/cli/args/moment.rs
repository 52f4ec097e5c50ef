//! Moments on the command line: `2026-11-20T08:00:00Z`, `2026-11-20`, or so long ago, `2h`.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::cli::args::duration;

/// The store keeps nothing older.
const AGO_MAX: Duration = Duration::from_hours(24 * 400);

/// As it was written; what it means depends on when and where it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    At(Timestamp),
    /// By the clock on the wall.
    Local(DateTime),
    Ago(Duration),
}

/// Reads one, for clap.
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
    Err(format!(
        "{text} is no moment such as 2026-11-20, 2026-11-20T08:00, 2026-11-20T08:00:00Z, or 2h for so long ago"
    ))
}

impl Moment {
    /// Which moment this is, asked now and here.
    pub(crate) fn resolve(self, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, String> {
        match self {
            Self::At(at) => Ok(at),
            Self::Local(local) => local
                .to_zoned(zone.clone())
                .map(|zoned| zoned.timestamp())
                .map_err(|error| format!("{local} is no moment here: {error}")),
            Self::Ago(time) => now.checked_sub(time).map_err(|error| format!("that is too long ago: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::{self, TimeZone};

    use super::parse;

    fn meant(text: &str) -> Result<String, String> {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().expect("a time");
        let zone = TimeZone::fixed(tz::offset(1));
        parse(text)?.resolve(now, &zone).map(|at| at.to_string())
    }

    #[test]
    fn a_moment_is_told_in_several_ways() {
        assert_eq!(meant("2026-11-20T08:00:00Z").as_deref(), Ok("2026-11-20T08:00:00Z"));
        assert_eq!(meant("2026-11-20T08:00:00+02:00").as_deref(), Ok("2026-11-20T06:00:00Z"));
        assert_eq!(meant("2026-11-20").as_deref(), Ok("2026-11-19T23:00:00Z"), "by the clock on the wall");
        assert_eq!(meant("2026-11-20 08:30").as_deref(), Ok("2026-11-20T07:30:00Z"));
        assert_eq!(meant("2h").as_deref(), Ok("2026-11-21T10:00:00Z"));
        assert_eq!(meant("90d").as_deref(), Ok("2026-08-23T12:00:00Z"));
    }

    #[test]
    fn what_is_none_is_refused_with_what_is() {
        for (wrong, why) in [
            ("yesterday", "yesterday is no moment such as 2026-11-20"),
            ("", " is no moment"),
            ("2026-13-01", "2026-13-01 is no moment"),
            ("7", "a time needs a unit"),
            ("3w", "w is no unit of time"),
            ("500d", "more than 400 days"),
        ] {
            let error = meant(wrong).expect_err(wrong);
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }
}
