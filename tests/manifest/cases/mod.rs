//! Cases that a corpus file can't say: what a manifest comes to, and files made on the spot.

mod beside;
mod files;
mod gpus;
mod resolved;
mod secrets;
