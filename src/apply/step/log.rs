//! Last lines of a service's log, for the report of a failure.

use crate::apply::run::Run;
use crate::model::names::ServiceName;

/// Lines of a report: enough to show the cause, few enough to read.
const LINES: usize = 10;

/// Returns the last lines that a service wrote, masked.
pub(in crate::apply) async fn log_tail(run: &Run<'_>, service: &ServiceName) -> Vec<String> {
    let desired = run.context.desired;
    let Some(service) = desired.services.get(service) else { return Vec::new() };
    let log = run.context.driver.log_tail(&desired.project, service, LINES).await;
    log.iter().map(|line| run.mask(line)).collect()
}
