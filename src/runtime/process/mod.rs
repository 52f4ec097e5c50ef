//! Services that are process trees of this host, each started under a shim.

pub mod drive;
