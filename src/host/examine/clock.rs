//! Program that keeps the system's clock, and the local time zone.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::tz::TimeZone;

use crate::host::{enclosure, proc};
use crate::model::doctor::readings::ClockReading;

/// Programs that keep a clock, by the name that the kernel has (15 characters), and the name that people know.
const SYNCHRONIZERS: [(&str, &str); 7] = [
    (TIMESYNCD, "systemd-timesyncd"),
    ("chronyd", "chronyd"),
    ("ntpd", "ntpd"),
    ("ntp-daemon", "ntpd-rs"),
    ("phc2sys", "phc2sys"),
    ("ptp4l", "ptp4l"),
    ("timed", "timed"),
];
const TIMESYNCD: &str = "systemd-timesyn";

/// File that systemd-timesyncd creates once it has set the clock.
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";

pub(super) fn read(environment: &BTreeMap<String, String>) -> ClockReading {
    let running: Vec<String> =
        proc::pids().into_iter().flatten().filter_map(|pid| Some(proc::stat(pid)?.program)).collect();
    let synchronizer = SYNCHRONIZERS.iter().find(|(program, _)| running.iter().any(|name| name == program));
    let is_timesyncd = synchronizer.is_some_and(|(program, _)| *program == TIMESYNCD);
    let zone = TimeZone::system();
    ClockReading {
        synchronizer: synchronizer.map(|(_, name)| (*name).to_owned()),
        is_synchronised: is_timesyncd.then(|| Path::new(SYNCHRONIZED).exists()),
        is_enclosed: enclosure::read(environment).container.is_some(),
        zone: (!zone.is_unknown()).then(|| zone.iana_name().unwrap_or("without a name").to_owned()),
    }
}
