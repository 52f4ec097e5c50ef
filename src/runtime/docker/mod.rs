//! Services that are containers of one Docker engine: its keys, its readings, its effects.

pub mod drive;
