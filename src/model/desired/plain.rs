//! Defaults, each in one place: the values of a minimal manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::model::desired::{
    Desired, GRACE_DEFAULT, GpuRequest, Health, ModeSource, OrphanPolicy, PROBE_TIMEOUT_DEFAULT, Recover, Service,
    StopPolicy,
};
use crate::model::names::{ProjectName, ServiceName};
use crate::model::rules::Rules;
use crate::model::size::Mebibytes;
use crate::model::spec::Spec;
use crate::model::workload::Workload;

impl Desired {
    /// Creates a manifest without modes, goals and GPUs: all of these services are wanted.
    #[must_use]
    pub fn plain(project: ProjectName, services: impl IntoIterator<Item = Service>) -> Self {
        Self {
            project,
            aliases: BTreeSet::new(),
            take_over: false,
            previous_owner: None,
            mode: None,
            mode_source: ModeSource::Manifest,
            own_mode: None,
            entry_is_choice: false,
            entry: PathBuf::new(),
            is_streamed: false,
            named_in: PathBuf::new(),
            newest_checkout: false,
            goals_requested: BTreeSet::new(),
            orphans: OrphanPolicy::Report,
            reserve: Mebibytes::ZERO,
            host_reserve: Mebibytes::ZERO,
            declared_gpus: Vec::new(),
            endpoints: BTreeMap::new(),
            services: services.into_iter().map(|service| (service.name.clone(), service)).collect(),
            modes: BTreeMap::new(),
            goals: BTreeMap::new(),
            rules: Rules::default(),
            notify: Vec::new(),
            secrets: Vec::new(),
            warnings: Vec::new(),
            files: Arc::default(),
        }
    }
}

impl Service {
    /// Creates a service that is up when it is alive, needs no GPU and depends on nothing.
    #[must_use]
    pub fn plain(name: ServiceName, workload: impl Into<Workload>) -> Self {
        Self {
            name,
            workload: workload.into(),
            job: None,
            stop: StopPolicy::default(),
            vram: Mebibytes::ZERO,
            vram_by_gpu: None,
            ram: Mebibytes::ZERO,
            exclusive_start: false,
            copies: 1,
            gpu: GpuRequest::None,
            gpu_as_index: false,
            priority: 0,
            phases: BTreeSet::new(),
            depends_on: BTreeMap::new(),
            health: Box::default(),
            busy: None,
            drain: None,
            evict: None,
            wake: None,
            hooks: Box::default(),
            recover: Recover::default(),
            ports: BTreeSet::new(),
            missing_secrets: Vec::new(),
            spec: Spec::plain(serde_json::Value::Null),
            source: String::new(),
        }
    }
}

impl Default for StopPolicy {
    fn default() -> Self {
        Self { signal: None, grace: GRACE_DEFAULT, exec: None }
    }
}

impl Default for Recover {
    fn default() -> Self {
        Self { attempts: 3, backoff: Duration::from_secs(1), max_backoff: Duration::from_hours(1) }
    }
}

impl Health {
    /// Returns the longest time that a start may take.
    #[must_use]
    pub fn start_time_max(&self) -> Duration {
        self.warm_time.saturating_add(self.timeout)
    }

    /// Returns true if a service started at `started_at` may still be starting. A clock that was set back ages nothing,
    /// and a start further in the future than any start takes is over.
    #[must_use]
    pub fn may_be_starting(&self, started_at: Timestamp, now: Timestamp) -> bool {
        let allowed = SignedDuration::try_from(self.start_time_max()).unwrap_or(SignedDuration::MAX);
        now.duration_since(started_at).abs() < allowed
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            probe: None,
            any_listener: false,
            probe_timeout: PROBE_TIMEOUT_DEFAULT,
            interval: None,
            warm_time: Duration::ZERO,
            timeout: Duration::from_mins(1),
            failures: 3,
            successes: 1,
            stable_for: Duration::ZERO,
        }
    }
}
