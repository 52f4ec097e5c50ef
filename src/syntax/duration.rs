//! Parser of durations such as `1h30m`: sums of numbers with units, shared by the manifest and the command line. Each
//! of them adds its own forms and messages.

use std::time::Duration;

/// Reason why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DurationFault<'a> {
    /// Part that is not a whole number with a unit.
    Malformed,
    UnknownUnit(&'a str),
    TooLong,
}

/// Parses `1h30m`: a sum of whole milliseconds (`ms`), seconds (`s`), minutes (`m`), hours (`h`) and days (`d`).
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

/// Splits off the first number and its unit; returns them and the rest.
fn first_part(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let letters = text[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
    let number = text[..digits].parse().ok()?;
    (letters > 0).then(|| (number, &text[digits..digits + letters], text[digits + letters..].trim_start()))
}
