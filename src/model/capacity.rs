//! GPU memory at one moment, by the one arithmetic that plans, waits and tables share: what a GPU has, less all that is
//! taken or reserved on it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::model::names::{GpuId, ServiceName};
use crate::model::size::Mebibytes;

/// Services on one GPU that are named, the largest first; the rest is one figure.
const LISTED_MAX: usize = 8;

/// Capacity of every GPU, or the reason why it is unknown.
#[derive(Clone, Debug, Default)]
pub struct HostCapacity {
    pub gpus: BTreeMap<GpuId, GpuCapacity>,
    pub unknown: Option<String>,
    /// Host memory, where the manifest counts it; its readings are complete.
    pub memory: Option<MemoryCapacity>,
}

/// Capacity of the host's memory, in the terms of a GPU's.
#[derive(Clone, Debug)]
pub enum MemoryCapacity {
    Known(GpuCapacity),
    /// Reason why it could not be read.
    Unknown(String),
}

/// Capacity of one GPU, and what takes it.
#[derive(Clone, Debug)]
pub struct GpuCapacity {
    pub index: u32,
    /// `GPU 0`; by its id where the index is ambiguous.
    pub called: String,
    pub capacity: Mebibytes,
    /// Memory that is always kept free.
    pub reserve: Mebibytes,
    pub foreign: Mebibytes,
    /// Foreign programs that hold memory: `Xorg`, `chrome`.
    pub foreign_holders: Vec<String>,
    /// Memory used by all processes together, as the driver reports it; `None`: no driver measures.
    pub used: Option<Mebibytes>,
    /// True if the driver reports how much each process holds.
    pub told: bool,
    /// Reason why the GPU can't be used any more.
    pub lost: Option<String>,
    /// Reason why the GPU can't be read for now.
    pub unreadable: Option<String>,
    /// Services and orphans that run on the GPU.
    pub holders: Vec<MemoryHolder>,
}

/// GPU memory that one service or orphan of this project holds on one GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryHolder {
    /// `None`: an orphan. An orphan may carry a service's name and is another instance all the same.
    pub service: Option<ServiceName>,
    /// `ollama (priority 200)`, `orphan old`.
    pub label: String,
    /// Memory that counts: the larger of declared and measured; what remains resident, once the service is evicted.
    pub counts: Mebibytes,
    /// `None`: no driver measures.
    pub measured: Option<Mebibytes>,
}

impl MemoryHolder {
    /// Returns true if the holder is this service.
    #[must_use]
    pub fn is(&self, service: &ServiceName) -> bool {
        self.service.as_ref() == Some(service)
    }
}

impl GpuCapacity {
    /// Returns the memory that is free for one more service, not counting `except`; negative where the GPU is
    /// overcommitted.
    #[must_use]
    pub fn free(&self, except: Option<&ServiceName>) -> i64 {
        let held: Mebibytes = self.others(except).map(|held| held.counts).sum();
        let taken = [self.reserve, self.foreign, held].map(signed);
        taken.into_iter().fold(signed(self.capacity), i64::saturating_sub)
    }

    /// Returns the sum as a line: `GPU 0 has 24 564 − 512 reserve − 3 200 foreign (Xorg, chrome) − 18 000 ollama
    /// (priority 200) = 2 852`.
    #[must_use]
    pub fn arithmetic(&self, except: Option<&ServiceName>) -> String {
        let mut line = format!("{} has {}", self.called, number(self.capacity));
        let mut subtract = |amount: Mebibytes, what: &str| {
            if amount > Mebibytes::ZERO {
                let _ = write!(line, " − {} {what}", number(amount));
            }
        };
        subtract(self.reserve, "reserve");
        let names = self.foreign_holders.join(", ");
        subtract(self.foreign, &if names.is_empty() { "foreign".to_owned() } else { format!("foreign ({names})") });
        let mut holders: Vec<&MemoryHolder> = self.others(except).collect();
        if holders.len() > LISTED_MAX {
            holders.sort_by(|a, b| (b.counts, &a.label).cmp(&(a.counts, &b.label)));
        }
        let (listed, others) = holders.split_at(holders.len().min(LISTED_MAX));
        for held in listed {
            subtract(held.counts, &held.label);
        }
        subtract(others.iter().map(|held| held.counts).sum(), &format!("{} more", others.len()));
        let free = self.free(except);
        let sign = if free < 0 { "−" } else { "" };
        let _ = write!(line, " = {sign}{}", number(Mebibytes(free.unsigned_abs())));
        line
    }

    fn others(&self, except: Option<&ServiceName>) -> impl Iterator<Item = &MemoryHolder> {
        self.holders.iter().filter(move |held| except.is_none_or(|except| !held.is(except)))
    }
}

fn signed(amount: Mebibytes) -> i64 {
    i64::try_from(amount.0).unwrap_or(i64::MAX / 8)
}

/// The amount without its unit: a row of figures names it once.
fn number(amount: Mebibytes) -> String {
    amount.to_string().trim_end_matches(" MiB").to_owned()
}
