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

pub(crate) use runtimes;
