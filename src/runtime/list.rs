//! List of the runtimes: the one line that a new one takes beside its folder.

/// Hands the folders of all runtimes to a macro, which makes something of each.
#[cfg(not(test))]
macro_rules! runtimes {
    ($make:ident) => {
        $make! { process docker }
    };
}

/// With the skeleton of a new one, which carries services in tests alone.
#[cfg(test)]
macro_rules! runtimes {
    ($make:ident) => {
        $make! { process docker skeleton }
    };
}

/// Hands those to a macro that have settings of their own, under their key at the top of a manifest.
macro_rules! runtimes_with_settings {
    ($make:ident) => {
        $make! { docker }
    };
}

/// Hands those to a macro that check the health of their instances themselves, where `health` has their key.
macro_rules! runtimes_with_health_check {
    ($make:ident) => {
        $make! { docker }
    };
}

pub(crate) use {runtimes, runtimes_with_health_check, runtimes_with_settings};
