//! Real process trees on this machine: started, inspected, probed and stopped as `lcm apply` does. Only processes that
//! the tests started themselves are ever signalled.

mod adopting;
mod calling;
mod machine;
mod output;
mod owning;
mod pausing;
mod probing;
mod server;
mod starting;
mod states;
mod stopping;
mod support;
mod surviving;
