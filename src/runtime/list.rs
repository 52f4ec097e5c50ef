//! List of the runtimes: a new runtime needs one line here, beside its folder.

/// Passes the folders of all runtimes to a macro.
#[cfg(not(test))]
macro_rules! runtimes {
    ($make:ident) => {
        $make! { process docker }
    };
}

/// The same list with the skeleton runtime, which runs services in tests only.
#[cfg(test)]
macro_rules! runtimes {
    ($make:ident) => {
        $make! { process docker skeleton }
    };
}

/// Passes to a macro the runtimes that have settings of their own, under their key at the top of a manifest.
macro_rules! runtimes_with_settings {
    ($make:ident) => {
        $make! { docker }
    };
}

/// Passes to a macro the runtime whose networks the key `networks` at the top of a manifest defines.
macro_rules! runtime_with_networks {
    ($make:ident) => {
        $make! { docker }
    };
}

/// Passes to a macro the runtimes with health checks of their own, whose key `health` accepts.
macro_rules! runtimes_with_health_check {
    ($make:ident) => {
        $make! { docker }
    };
}

pub(crate) use {runtime_with_networks, runtimes, runtimes_with_health_check, runtimes_with_settings};
