//! Current status: services, GPUs and goals in one document, `lcm.status/2`, and as a table.

mod address;
mod document;
mod gpus;
mod memory;
mod next;
mod text;

pub(super) use document::needed;
pub use document::{
    BudgetLine, EstimatesLine, FORMAT, GoalLine, GpuStatus, HoldLine, LastRun, OrphanStatus, ServiceLine, Status,
};
pub use memory::MemoryStatus;
pub use next::{Outlook, Outlooks};
pub use text::{text, within};
