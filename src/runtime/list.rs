//! List of the runtimes: the one line that a new one takes beside its folder.

/// Hands the folders of all runtimes to a macro, which makes something of each.
macro_rules! runtimes {
    ($make:ident) => {
        $make! { process docker }
    };
}

pub(crate) use runtimes;
