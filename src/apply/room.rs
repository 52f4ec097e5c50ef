//! Room is proved before a start, one start at a time: needed ports are free, and what was to end for it has ended.
//!
//! Not here yet: free memory as a driver measures it, less what is promised to services that still load. It belongs
//! into [`hindrance`], under the same lock. Until then the plan's arithmetic stands alone, and the event says UNPROVEN.

use tokio::time::Instant;

use super::health::growing;
use super::run::{Cut, Run, spoken};
use super::verdict::Trouble;
use crate::driver::Life;
use crate::model::desired::Service;
use crate::model::event::Stage;
use crate::model::lifecycle::Action;
use crate::model::plan::{Plan, ReasonCode, Step};

/// Why a start was not let in.
#[derive(Debug)]
pub(super) enum Refusal {
    Trouble(Trouble),
    Cut(Cut),
}

/// Lets a start in as soon as its room is proved. It waits only for room that this run has freed: what somebody else
/// holds is not going to come back.
pub(super) async fn admit(run: &Run<'_>, plan: &Plan, step: &Step, service: &Service) -> Result<(), Refusal> {
    let began = Instant::now();
    let patience = run.context.options.release_timeout;
    let stops: Vec<&Step> = step.needs.iter().filter_map(|need| plan.step(need)).filter(|need| is_stop(need)).collect();
    let freed = !stops.is_empty() || service.ports.iter().any(|port| run.ledger().freed_ports.contains(port));
    loop {
        let found = {
            let _one_at_a_time = run.room.lock().await;
            run.unless_cut(hindrance(run, plan, service, &stops)).await.map_err(Refusal::Cut)?
        };
        let Some(mut trouble) = found else { break };
        let waited = began.elapsed();
        if !freed {
            return Err(Refusal::Trouble(trouble));
        }
        if waited >= patience {
            trouble.error = format!("{}; waited {} for it", trouble.error, spoken(patience));
            return Err(Refusal::Trouble(trouble));
        }
        run.nap(growing(waited).min(patience.saturating_sub(waited))).await.map_err(Refusal::Cut)?;
    }
    if !step.gpus.is_empty() && !stops.is_empty() {
        let detail = "UNPROVEN: no driver measures what came back";
        run.stage(step, Stage::Release, Some(detail.to_owned()));
    }
    Ok(())
}

/// What is in the way of a start, if anything is.
async fn hindrance(run: &Run<'_>, plan: &Plan, service: &Service, stops: &[&Step]) -> Option<Trouble> {
    let (driver, desired) = (run.context.driver, run.context.desired);
    match driver.port_holder(&desired.project, service).await {
        Ok(None) => {}
        Ok(Some(holder)) => return Some(Trouble::new(ReasonCode::PortTaken, format!("port {holder} is held"))),
        Err(error) => {
            return Some(Trouble::new(ReasonCode::Unknown, format!("its ports can't be looked at: {error}")));
        }
    }
    for stop in stops {
        // One that is started again by this plan may run by now, and rightly so.
        let returns = plan.steps.iter().any(|other| other.action == Action::Start && other.service == stop.service);
        let Some(gone) = desired.services.get(&stop.service).filter(|_| !returns) else { continue };
        let look = match driver.look(&desired.project, gone).await {
            Ok(look) => look,
            Err(error) => {
                let error = format!("whether {} is gone can't be told: {error}", stop.service);
                return Some(Trouble::new(ReasonCode::Unknown, error));
            }
        };
        let is_there = match look.life {
            Life::Running | Life::Suspended | Life::Crippled(_) => true,
            Life::Absent | Life::Ended(_) => false,
        };
        if is_there {
            return Some(Trouble::new(ReasonCode::NoRoom, format!("{} still runs", stop.service)));
        }
    }
    None
}

fn is_stop(step: &Step) -> bool {
    step.action == Action::Stop
}
