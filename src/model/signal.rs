//! Signals by number and name, as Linux numbers them: the one list for reading manifests and exits.

/// One signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    pub number: i32,
    /// Name without `SIG`.
    pub name: &'static str,
    /// The signal ends a program, or a service may treat it so: a manifest may name it.
    pub stops: bool,
}

const fn stops(number: i32, name: &'static str) -> Signal {
    Signal { number, name, stops: true }
}

const fn crash(number: i32, name: &'static str) -> Signal {
    Signal { number, name, stops: false }
}

/// All signals that lcm knows by name.
pub const SIGNALS: [Signal; 14] = [
    stops(1, "HUP"),
    stops(2, "INT"),
    stops(3, "QUIT"),
    crash(4, "ILL"),
    stops(6, "ABRT"),
    crash(7, "BUS"),
    crash(8, "FPE"),
    stops(9, "KILL"),
    stops(10, "USR1"),
    crash(11, "SEGV"),
    stops(12, "USR2"),
    stops(14, "ALRM"),
    stops(15, "TERM"),
    stops(28, "WINCH"),
];

/// Returns the names of the signals that a manifest may stop a service with.
pub fn stopping() -> impl Iterator<Item = &'static str> {
    SIGNALS.iter().filter(|signal| signal.stops).map(|signal| signal.name)
}
