//! Driver whose free text holds no secret: probe details, reasons, errors, outputs and log lines are masked as they
//! come from the machine, so that everything derived from them is masked too.
//!
//! Typed fields (names, ids, paths, ports, states, sizes, digests) pass as they are. So does [`Logged`]: a secret may
//! span two readings of a log, so its reader masks whole lines.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Instant;

use async_trait::async_trait;
use jiff::Timestamp;
use tracing::{debug, warn};

use crate::host::calls::{HookCall, HookResult};
use crate::host::elapsed::elapsed_ms;
use crate::model::desired::{Desired, Service};
use crate::model::facts::{BusyReading, Facts, GpuFact, HistoryFact, ProbeFacts, ProbeReading, Reading};
use crate::model::instance::Instance;
use crate::model::names::{ProjectName, RuntimeName, ServiceName};
use crate::model::pending::PendingCall;
use crate::model::secret::Masker;
use crate::runtime::{Driver, DriverError, Inspection, LogMark, Logged, Pause, Start, StopRequest};

/// Driver whose free text is masked.
#[derive(Debug)]
pub struct Masked<D> {
    driver: D,
    masker: Masker,
}

impl<D> Masked<D> {
    /// Masks by this masker all free text that the driver reports.
    pub fn new(driver: D, masker: Masker) -> Self {
        Self { driver, masker }
    }

    /// Returns the driver and its masker.
    pub(crate) fn parts(&self) -> (&D, &Masker) {
        (&self.driver, &self.masker)
    }

    fn error(&self, error: DriverError) -> DriverError {
        let mask = |text: String| self.masker.mask(&text);
        match error {
            DriverError::NoEngine { endpoint, reason } => {
                DriverError::NoEngine { endpoint: mask(endpoint), reason: mask(reason) }
            }
            DriverError::Engine { what, reason } => DriverError::Engine { what: mask(what), reason: mask(reason) },
            DriverError::Io { what, source } => DriverError::Io { what: mask(what), source: self.io(source) },
            DriverError::Missing(text) => DriverError::Missing(mask(text)),
            DriverError::Refused(text) => DriverError::Refused(mask(text)),
            DriverError::Survivors { survivors, waited } => {
                DriverError::Survivors { survivors: mask(survivors), waited }
            }
        }
    }

    /// Awaits a call of the driver, masks its error, and logs how it ended.
    async fn logged<T>(
        &self,
        call: &'static str,
        service: Option<&ServiceName>,
        work: impl Future<Output = Result<T, DriverError>> + Send,
    ) -> Result<T, DriverError> {
        let began = Instant::now();
        let result = work.await.map_err(|error| self.error(error));
        let (service, took_ms) = (service.map(ServiceName::as_str), elapsed_ms(began));
        match &result {
            Ok(_) => debug!(target: "runtime", call, service, took_ms, "driver call succeeded"),
            Err(error) => warn!(target: "runtime", call, service, took_ms, %error, "driver call failed"),
        }
        result
    }

    /// Masks an I/O error. The system's own errors quote nothing; a masked error keeps its kind.
    fn io(&self, error: io::Error) -> io::Error {
        let (text, kind) = (error.to_string(), error.kind());
        let masked = self.masker.mask(&text);
        if masked == text { error } else { io::Error::new(kind, masked) }
    }

    fn probed(&self, mut reading: ProbeReading) -> ProbeReading {
        probe(&self.masker, &mut reading);
        reading
    }
}

/// Masks the free text of facts.
pub fn mask_facts(masker: &Masker, facts: &mut Facts) {
    if masker.is_empty() {
        return;
    }
    // Every field by its name, so that a new one is not forgotten here.
    let Facts {
        format: _,
        host: _,
        host_id: _,
        host_identity: _,
        // Paths, and options that name them.
        enclosure: _,
        observed_at: _,
        instances,
        claims,
        // Paths of the manifest, which are shown as they are.
        paths: _,
        gpus,
        memory,
        reservations: _,
        listeners,
        probes,
        history,
        holds,
        holds_unknown,
        switches,
        pending,
    } = facts;
    mask_kept(masker, history, pending);
    for claim in claims {
        masker.mask_in_place(&mut claim.reason);
    }
    instances.all_mut().for_each(|read| read.mask(masker));
    reading(masker, gpus, |gpu: &mut GpuFact| {
        gpu.lost.iter_mut().chain(&mut gpu.unreadable).for_each(|reason| masker.mask_in_place(reason));
    });
    memory.mask_reason(masker);
    reading(masker, listeners, |_| {});
    for ProbeFacts { health, busy } in probes.values_mut() {
        if let Some(health) = health {
            probe(masker, health);
        }
        if let Some(BusyReading::Busy(detail)) = busy {
            masker.mask_in_place(detail);
        }
    }
    let texts = holds.values_mut().flat_map(|hold| hold.reason.iter_mut().chain(hold.metadata.values_mut()));
    texts
        .chain(holds_unknown.iter_mut())
        .chain(switches.iter_mut().filter_map(|switched| switched.reason.as_mut()))
        .for_each(|text| masker.mask_in_place(text));
}

/// Masks the free text that the store keeps of services and runs.
fn mask_kept(masker: &Masker, history: &mut BTreeMap<ServiceName, HistoryFact>, pending: &mut [PendingCall]) {
    for report in history.values_mut().filter_map(|past| past.report.as_mut()) {
        masker.mask_in_place(&mut report.error);
    }
    for call in pending {
        masker.mask_in_place(&mut call.call);
        masker.mask_in_place(&mut call.payload.reason);
    }
}

fn reading<T>(masker: &Masker, reading: &mut Reading<Vec<T>>, mask: impl FnMut(&mut T)) {
    match reading {
        Reading::Known(all) => all.iter_mut().for_each(mask),
        Reading::Unknown(reason) => masker.mask_in_place(reason),
        Reading::NotAsked => {}
    }
}

fn probe(masker: &Masker, reading: &mut ProbeReading) {
    match reading {
        ProbeReading::Failed { detail: text, .. } | ProbeReading::Unknown(text) => masker.mask_in_place(text),
        ProbeReading::Passed => {}
    }
}

#[async_trait]
impl<D: Driver> Driver for Masked<D> {
    async fn survey(&self, desired: &Desired) -> Facts {
        let began = Instant::now();
        let mut facts = self.driver.survey(desired).await;
        mask_facts(&self.masker, &mut facts);
        debug!(target: "runtime", call = "survey", took_ms = elapsed_ms(began), "driver call ended");
        facts
    }

    async fn complete(&self, desired: &Desired, surveyed: Facts) -> Facts {
        let began = Instant::now();
        let mut facts = self.driver.complete(desired, surveyed).await;
        mask_facts(&self.masker, &mut facts);
        debug!(target: "runtime", call = "complete", took_ms = elapsed_ms(began), "driver call ended");
        facts
    }

    async fn record(&self, project: &ProjectName) {
        self.driver.record(project).await;
    }

    async fn inspect(&self, project: &ProjectName, service: &Service) -> Result<Inspection, DriverError> {
        self.logged("look", Some(&service.name), self.driver.inspect(project, service)).await
    }

    async fn prepare(&self, service: &Service) -> Result<(), DriverError> {
        self.logged("prepare", Some(&service.name), self.driver.prepare(service)).await
    }

    async fn start(&self, start: &Start<'_>) -> Result<Instance, DriverError> {
        self.logged("start", Some(&start.service.name), self.driver.start(start)).await
    }

    async fn settle(&self, project: &ProjectName, service: &Service) -> Result<(), DriverError> {
        self.logged("settle", Some(&service.name), self.driver.settle(project, service)).await
    }

    async fn restore(&self, project: &ProjectName, service: &Service) -> Result<bool, DriverError> {
        self.logged("restore", Some(&service.name), self.driver.restore(project, service)).await
    }

    async fn stop(&self, stop: &StopRequest<'_>) -> Result<(), DriverError> {
        self.logged("stop", Some(stop.service), self.driver.stop(stop)).await
    }

    async fn pause(&self, pause: &Pause<'_>) -> Result<(), DriverError> {
        self.logged("pause", Some(pause.service), self.driver.pause(pause)).await
    }

    async fn unpause(&self, pause: &Pause<'_>) -> Result<(), DriverError> {
        self.logged("unpause", Some(pause.service), self.driver.unpause(pause)).await
    }

    async fn update(&self, project: &ProjectName, service: &Service, instance: &Instance) -> Result<(), DriverError> {
        self.logged("update", Some(&service.name), self.driver.update(project, service, instance)).await
    }

    async fn scale(
        &self,
        project: &ProjectName,
        service: &Service,
        instance: &Instance,
        copies: u32,
    ) -> Result<(), DriverError> {
        self.logged("scale", Some(&service.name), self.driver.scale(project, service, instance, copies)).await
    }

    async fn remove(&self, project: &ProjectName, instance: &Instance) -> Result<(), DriverError> {
        self.logged("remove", None, self.driver.remove(project, instance)).await
    }

    async fn remove_network(
        &self,
        project: &ProjectName,
        runtime: &RuntimeName,
        network: &str,
    ) -> Result<(), DriverError> {
        self.logged("remove_network", None, self.driver.remove_network(project, runtime, network)).await
    }

    async fn evict(&self, service: &Service) -> Result<(), DriverError> {
        self.logged("evict", Some(&service.name), self.driver.evict(service)).await
    }

    async fn wake(&self, start: &Start<'_>) -> Result<(), DriverError> {
        self.logged("wake", Some(&start.service.name), self.driver.wake(start)).await
    }

    async fn probe(&self, project: &ProjectName, service: &Service, instance: &Instance) -> ProbeReading {
        let began = Instant::now();
        let result = self.probed(self.driver.probe(project, service, instance).await);
        let (service, took_ms) = (service.name.as_str(), elapsed_ms(began));
        debug!(target: "runtime", call = "probe", service, took_ms, ?result, "driver call ended");
        result
    }

    async fn busy(&self, service: &Service, instance: &Instance) -> BusyReading {
        let began = Instant::now();
        let result = match self.driver.busy(service, instance).await {
            BusyReading::Idle => BusyReading::Idle,
            BusyReading::Busy(detail) => BusyReading::Busy(self.masker.mask(&detail)),
        };
        let (service, took_ms) = (service.name.as_str(), elapsed_ms(began));
        debug!(target: "runtime", call = "busy", service, took_ms, ?result, "driver call ended");
        result
    }

    async fn port_holder(&self, project: &ProjectName, service: &Service) -> Result<Option<String>, DriverError> {
        let holder = self.logged("port_holder", Some(&service.name), self.driver.port_holder(project, service)).await?;
        Ok(holder.map(|holder| self.masker.mask(&holder)))
    }

    async fn log_tail(&self, project: &ProjectName, service: &Service, lines: usize) -> Vec<String> {
        let mut tail = self.driver.log_tail(project, service, lines).await;
        for line in &mut tail {
            self.masker.mask_in_place(line);
        }
        tail
    }

    async fn log_from(
        &self,
        project: &ProjectName,
        service: &Service,
        mark: Option<&LogMark>,
    ) -> Result<Option<Logged>, DriverError> {
        self.logged("log_from", Some(&service.name), self.driver.log_from(project, service, mark)).await
    }

    async fn call(&self, call: &HookCall<'_>) -> HookResult {
        let began = Instant::now();
        let HookResult { error, output } = self.driver.call(call).await;
        let error = error.map(|error| self.masker.mask(&error));
        let (hook, took_ms, error_text) = (call.payload.hook(), elapsed_ms(began), error.as_deref());
        debug!(target: "runtime", call = "hook", hook, took_ms, error = error_text, "driver call ended");
        HookResult { error, output: self.masker.mask(&output) }
    }

    async fn require_host_path(&self, path: &Path) -> Result<(), DriverError> {
        self.logged("require_host_path", None, self.driver.require_host_path(path)).await
    }

    fn now(&self) -> Timestamp {
        self.driver.now()
    }
}

#[cfg(test)]
mod tests;
