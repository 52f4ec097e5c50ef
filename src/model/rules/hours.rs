//! Hours of a rule, on the wall clock of one time zone.
//!
//! A window is one stretch of time from a day's `from` to its `until`, also where clocks are set forward or back in it:
//! it contains every moment at which the wall clock shows a time between both. So a time that comes twice begins a
//! window the first time and ends it the second time; one that is skipped stands for the moment of the skip.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};

/// Hours that recur daily, or on some days of the week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    pub from: Time,
    /// Exclusive; a time that is not after `from` is on the next day.
    pub until: Time,
    /// Days on which `from` lies; empty: all days.
    pub days: BTreeSet<Day>,
    pub zone: TimeZone,
}

/// A day of the week, in the order of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day(pub Weekday);

impl Ord for Day {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.to_monday_zero_offset().cmp(&other.0.to_monday_zero_offset())
    }
}

impl PartialOrd for Day {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Windows that are joined where they meet. A week has seven, so a stretch of more than eight has no end.
const MEETING_MAX: usize = 8;

#[derive(Clone, Copy)]
enum HoursBound {
    Begin,
    End,
}

impl Hours {
    #[must_use]
    pub fn contain(&self, at: Timestamp) -> bool {
        self.window(at).is_some()
    }

    /// Returns the end of the hours, from a moment within them; `None`: never.
    #[must_use]
    pub fn end_after(&self, at: Timestamp) -> Option<Timestamp> {
        let mut end = at;
        for _ in 0..MEETING_MAX {
            match self.window(end) {
                Some(later) => end = later,
                None => return Some(end),
            }
        }
        None
    }

    /// Returns the latest end of the windows that contain this moment.
    fn window(&self, at: Timestamp) -> Option<Timestamp> {
        let today = self.zone.to_datetime(at).date();
        // A window that passes midnight began yesterday; where midnight itself comes twice, tomorrow's has begun.
        let days = [today.yesterday().ok(), Some(today), today.tomorrow().ok()];
        let windows = days.into_iter().flatten().filter_map(|day| self.window_of(day));
        windows.filter(|(begin, end)| *begin <= at && at < *end).map(|(_, end)| end).max()
    }

    fn window_of(&self, day: Date) -> Option<(Timestamp, Timestamp)> {
        if !(self.days.is_empty() || self.days.contains(&Day(day.weekday()))) {
            return None;
        }
        let last = if self.until > self.from { day } else { day.tomorrow().ok()? };
        let begin = moment(&self.zone, day.to_datetime(self.from), HoursBound::Begin)?;
        Some((begin, moment(&self.zone, last.to_datetime(self.until), HoursBound::End)?))
    }
}

/// Returns the moment at which the wall clock shows a time; `None`: beyond the range of the calendar.
fn moment(zone: &TimeZone, shown: DateTime, bound: HoursBound) -> Option<Timestamp> {
    match (zone.to_ambiguous_timestamp(shown).offset(), bound) {
        (AmbiguousOffset::Unambiguous { offset }, _) => offset.to_timestamp(shown).ok(),
        (AmbiguousOffset::Fold { before, .. }, HoursBound::Begin) => before.to_timestamp(shown).ok(),
        (AmbiguousOffset::Fold { after, .. }, HoursBound::End) => after.to_timestamp(shown).ok(),
        (AmbiguousOffset::Gap { after, .. }, _) => {
            // By the clock after the skip, it lies before the skip.
            let before_the_skip = after.to_timestamp(shown).ok()?;
            zone.following(before_the_skip).next().map(|skip| skip.timestamp())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::Timestamp;
    use jiff::civil::{Time, Weekday};
    use jiff::tz::TimeZoneDatabase;

    use super::{Day, Hours};

    fn hours(from: &str, until: &str, days: &[Weekday], zone: &str) -> Hours {
        let time = |text: &str| text.parse::<Time>().expect("a time");
        let days: BTreeSet<Day> = days.iter().copied().map(Day).collect();
        let zone = TimeZoneDatabase::bundled().get(zone).expect("a zone");
        Hours { from: time(from), until: time(until), days, zone }
    }

    /// Checks the end reported for each moment in UTC; `-` where the hours don't contain it.
    fn check(hours: &Hours, cases: &[(&str, &str)]) {
        for (at, wanted) in cases {
            let at: Timestamp = at.parse().expect("a moment");
            let end = hours.contain(at).then(|| hours.end_after(at).map_or("never".to_owned(), |end| end.to_string()));
            assert_eq!(end.as_deref().unwrap_or("-"), *wanted, "{at}");
        }
    }

    #[test]
    fn the_first_moment_is_in_and_the_last_is_not() {
        // Berlin is one hour ahead in winter.
        check(
            &hours("09:00", "18:00", &[], "Europe/Berlin"),
            &[
                ("2026-11-21T07:59:59.999999999Z", "-"),
                ("2026-11-21T08:00:00Z", "2026-11-21T17:00:00Z"),
                ("2026-11-21T16:59:59.999999999Z", "2026-11-21T17:00:00Z"),
                ("2026-11-21T17:00:00Z", "-"),
                // And two in summer.
                ("2026-07-01T07:00:00Z", "2026-07-01T16:00:00Z"),
                ("2026-07-01T16:00:00Z", "-"),
            ],
        );
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_that_it_begins_on() {
        // The 20th is a Friday.
        check(
            &hours("22:00", "06:00", &[Weekday::Friday], "UTC"),
            &[
                ("2026-11-20T05:59:00Z", "-"),
                ("2026-11-20T21:59:59Z", "-"),
                ("2026-11-20T22:00:00Z", "2026-11-21T06:00:00Z"),
                ("2026-11-21T00:00:00Z", "2026-11-21T06:00:00Z"),
                ("2026-11-21T05:59:59Z", "2026-11-21T06:00:00Z"),
                ("2026-11-21T06:00:00Z", "-"),
                ("2026-11-21T22:00:00Z", "-"),
            ],
        );
    }

    #[test]
    fn whole_days_that_meet_are_one_window() {
        let weekend = [Weekday::Saturday, Weekday::Sunday];
        check(
            &hours("00:00", "00:00", &weekend, "Europe/Berlin"),
            &[
                ("2026-11-20T22:59:59Z", "-"),
                ("2026-11-20T23:00:00Z", "2026-11-22T23:00:00Z"),
                ("2026-11-22T22:59:59Z", "2026-11-22T23:00:00Z"),
                ("2026-11-22T23:00:00Z", "-"),
            ],
        );
        check(&hours("00:00", "00:00", &[], "UTC"), &[("2026-11-20T12:00:00Z", "never")]);
        check(&hours("12:00", "12:00", &[], "UTC"), &[("2026-11-20T12:00:00Z", "never")]);
    }

    /// On 2026-03-29 at 02:00, clocks in Berlin go to 03:00: 01:00 UTC.
    #[test]
    fn a_time_that_is_skipped_stands_for_the_skip() {
        check(
            &hours("02:30", "05:00", &[], "Europe/Berlin"),
            &[
                ("2026-03-29T00:59:59Z", "-"),
                ("2026-03-29T01:00:00Z", "2026-03-29T03:00:00Z"),
                ("2026-03-29T03:00:00Z", "-"),
            ],
        );
        check(
            &hours("01:00", "02:30", &[], "Europe/Berlin"),
            &[("2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z"), ("2026-03-29T01:00:00Z", "-")],
        );
        // The window is empty on this day, and whole on the next.
        check(
            &hours("02:15", "02:45", &[], "Europe/Berlin"),
            &[
                ("2026-03-29T00:59:59Z", "-"),
                ("2026-03-29T01:00:00Z", "-"),
                ("2026-03-30T00:20:00Z", "2026-03-30T00:45:00Z"),
            ],
        );
    }

    /// On 2026-10-25 at 03:00, clocks in Berlin go back to 02:00: 01:00 UTC.
    #[test]
    fn a_time_that_comes_twice_begins_the_first_time_and_ends_the_second() {
        check(
            &hours("02:30", "05:00", &[], "Europe/Berlin"),
            &[
                ("2026-10-25T00:29:59Z", "-"),
                ("2026-10-25T00:30:00Z", "2026-10-25T04:00:00Z"),
                ("2026-10-25T01:10:00Z", "2026-10-25T04:00:00Z"),
                ("2026-10-25T04:00:00Z", "-"),
            ],
        );
        check(
            &hours("01:00", "02:30", &[], "Europe/Berlin"),
            &[
                ("2026-10-25T00:45:00Z", "2026-10-25T01:30:00Z"),
                ("2026-10-25T01:29:59Z", "2026-10-25T01:30:00Z"),
                ("2026-10-25T01:30:00Z", "-"),
            ],
        );
    }

    /// Samoa had no 2011-12-30.
    #[test]
    fn a_day_that_never_was_has_no_hours() {
        check(
            &hours("00:00", "00:00", &[Weekday::Friday], "Pacific/Apia"),
            &[
                ("2011-12-30T09:59:59Z", "-"),
                ("2011-12-30T10:00:00Z", "-"),
                ("2012-01-06T09:59:59Z", "2012-01-06T10:00:00Z"),
            ],
        );
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        for at in [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH] {
            let _ = hours("22:00", "06:00", &[], "Pacific/Apia").end_after(at);
        }
    }
}
