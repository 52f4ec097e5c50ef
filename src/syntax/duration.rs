//! Durations such as `1h30m`: numbers with their units, added up. The manifest and the command line both read them here;
//! what else each of them takes, and what it reports, is its own.

use std::time::Duration;

/// Reason why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DurationFault<'a> {
    /// A part is no whole number with a unit.
    Malformed,
    UnknownUnit(&'a str),
    TooLong,
}

/// Adds up parts such as `1h30m`, in whole milliseconds (`ms`), seconds (`s`), minutes (`m`), hours (`h`) and days (`d`).
pub(crate) fn parse(text: &str, max: Duration) -> Result<Duration, DurationFault<'_>> {
    let (mut total, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let (number, unit, after) = first_part(rest).ok_or(DurationFault::Malformed)?;
        let milliseconds = match unit {
            "ms" => Some(number),
            "s" => number.checked_mul(1_000),
            "m" => number.checked_mul(60_000),
            "h" => number.checked_mul(3_600_000),
            "d" => number.checked_mul(86_400_000),
            _ => return Err(DurationFault::UnknownUnit(unit)),
        };
        let part = milliseconds.map(Duration::from_millis).filter(|part| *part <= max);
        total = part.map(|part| total + part).filter(|total| *total <= max).ok_or(DurationFault::TooLong)?;
        rest = after;
    }
    Ok(total)
}

/// Digits, letters, and what follows.
fn first_part(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let letters = text[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
    let number = text[..digits].parse().ok()?;
    (letters > 0).then(|| (number, &text[digits..digits + letters], text[digits + letters..].trim_start()))
}
