//! Table of the flags of `docker run`, with those of `podman run` that it lacks: name, letter, form, and use.

use FlagUse::{List, Needless, Number, Size, Special, Switch, Text, Untranslated};

/// Use of a flag for a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlagUse {
    /// Text under a key of Compose's.
    Text(&'static str),
    /// `true` under a key of Compose's.
    Switch(&'static str),
    /// One more item under a key of Compose's.
    List(&'static str),
    /// Number of bytes, counted by 1024.
    Size(&'static str),
    Number(&'static str),
    /// Translated by code of its own.
    Special(SpecialFlag),
    /// Without an effect on a container that lcm runs.
    Needless,
    /// Without a key in Compose.
    Untranslated,
}

/// Flags with a translation of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpecialFlag {
    AddHost,
    Device,
    Entrypoint,
    Env,
    Gpus,
    Health(&'static str),
    Label,
    LogDriver,
    LogOption,
    Mount,
    Name,
    Network,
    NoHealthcheck,
    Publish,
    Pull,
    Remove,
    Restart,
    Runtime,
    StopSignal,
    StopTimeout,
    Sysctl,
    Ulimit,
    Volume,
}

/// One flag.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RunFlag {
    pub(super) long: &'static str,
    pub(super) short: Option<char>,
    /// False for a switch, whose value can only follow an equals sign.
    pub(super) takes_value: bool,
    pub(super) used: FlagUse,
}

const fn value(long: &'static str, used: FlagUse) -> RunFlag {
    RunFlag { long, short: None, takes_value: true, used }
}

const fn value_by(short: char, long: &'static str, used: FlagUse) -> RunFlag {
    RunFlag { long, short: Some(short), takes_value: true, used }
}

const fn switch(long: &'static str, used: FlagUse) -> RunFlag {
    RunFlag { long, short: None, takes_value: false, used }
}

const fn switch_by(short: char, long: &'static str, used: FlagUse) -> RunFlag {
    RunFlag { long, short: Some(short), takes_value: false, used }
}

/// Returns the flag of a name without its dashes.
pub(super) fn by_name(name: &str) -> Option<&'static RunFlag> {
    FLAGS.iter().chain(PODMAN).find(|flag| flag.long == name)
}

/// Returns the flag of a letter.
pub(super) fn by_letter(letter: char) -> Option<&'static RunFlag> {
    FLAGS.iter().find(|flag| flag.short == Some(letter))
}

/// Flags of `docker run`, by name.
pub(super) const FLAGS: &[RunFlag] = &[
    value("add-host", Special(SpecialFlag::AddHost)),
    value("annotation", Untranslated),
    value_by('a', "attach", Needless),
    value("blkio-weight", Untranslated),
    value("blkio-weight-device", Untranslated),
    value("cap-add", List("cap_add")),
    value("cap-drop", List("cap_drop")),
    value("cgroup-parent", Text("cgroup_parent")),
    value("cgroupns", Text("cgroup")),
    value("cidfile", Untranslated),
    value("cpu-count", Untranslated),
    value("cpu-percent", Untranslated),
    value("cpu-period", Number("cpu_period")),
    value("cpu-quota", Number("cpu_quota")),
    value("cpu-rt-period", Number("cpu_rt_period")),
    value("cpu-rt-runtime", Number("cpu_rt_runtime")),
    value_by('c', "cpu-shares", Number("cpu_shares")),
    value("cpus", Number("cpus")),
    value("cpuset-cpus", Text("cpuset")),
    value("cpuset-mems", Untranslated),
    switch_by('d', "detach", Needless),
    value("detach-keys", Needless),
    value("device", Special(SpecialFlag::Device)),
    value("device-cgroup-rule", List("device_cgroup_rules")),
    value("device-read-bps", Untranslated),
    value("device-read-iops", Untranslated),
    value("device-write-bps", Untranslated),
    value("device-write-iops", Untranslated),
    switch("disable-content-trust", Needless),
    value("dns", List("dns")),
    value("dns-opt", List("dns_opt")),
    value("dns-option", List("dns_opt")),
    value("dns-search", List("dns_search")),
    value("domainname", Text("domainname")),
    value("entrypoint", Special(SpecialFlag::Entrypoint)),
    value_by('e', "env", Special(SpecialFlag::Env)),
    value("env-file", List("env_file")),
    value("expose", Needless),
    value("gpus", Special(SpecialFlag::Gpus)),
    value("group-add", List("group_add")),
    value("health-cmd", Special(SpecialFlag::Health("test"))),
    value("health-interval", Special(SpecialFlag::Health("interval"))),
    value("health-retries", Special(SpecialFlag::Health("retries"))),
    value("health-start-interval", Special(SpecialFlag::Health("start_interval"))),
    value("health-start-period", Special(SpecialFlag::Health("start_period"))),
    value("health-timeout", Special(SpecialFlag::Health("timeout"))),
    value_by('h', "hostname", Text("hostname")),
    switch("init", Switch("init")),
    switch_by('i', "interactive", Needless),
    value("io-maxbandwidth", Untranslated),
    value("io-maxiops", Untranslated),
    value("ip", Untranslated),
    value("ip6", Untranslated),
    value("ipc", Text("ipc")),
    value("isolation", Text("isolation")),
    value("kernel-memory", Untranslated),
    value_by('l', "label", Special(SpecialFlag::Label)),
    value("label-file", List("label_file")),
    value("link", Untranslated),
    value("link-local-ip", Untranslated),
    value("log-driver", Special(SpecialFlag::LogDriver)),
    value("log-opt", Special(SpecialFlag::LogOption)),
    value("mac-address", Text("mac_address")),
    value_by('m', "memory", Size("mem_limit")),
    value("memory-reservation", Size("mem_reservation")),
    value("memory-swap", Size("memswap_limit")),
    value("memory-swappiness", Number("mem_swappiness")),
    value("mount", Special(SpecialFlag::Mount)),
    value("name", Special(SpecialFlag::Name)),
    value("net", Special(SpecialFlag::Network)),
    value("net-alias", Untranslated),
    value("network", Special(SpecialFlag::Network)),
    value("network-alias", Untranslated),
    switch("no-healthcheck", Special(SpecialFlag::NoHealthcheck)),
    switch("oom-kill-disable", Switch("oom_kill_disable")),
    value("oom-score-adj", Number("oom_score_adj")),
    value("pid", Text("pid")),
    value("pids-limit", Number("pids_limit")),
    value("platform", Text("platform")),
    switch("privileged", Switch("privileged")),
    value_by('p', "publish", Special(SpecialFlag::Publish)),
    switch_by('P', "publish-all", Untranslated),
    value("pull", Special(SpecialFlag::Pull)),
    switch_by('q', "quiet", Needless),
    switch("read-only", Switch("read_only")),
    value("restart", Special(SpecialFlag::Restart)),
    switch("rm", Special(SpecialFlag::Remove)),
    value("runtime", Special(SpecialFlag::Runtime)),
    value("security-opt", List("security_opt")),
    value("shm-size", Size("shm_size")),
    switch("sig-proxy", Needless),
    value("stop-signal", Special(SpecialFlag::StopSignal)),
    value("stop-timeout", Special(SpecialFlag::StopTimeout)),
    value("storage-opt", Untranslated),
    value("sysctl", Special(SpecialFlag::Sysctl)),
    value("tmpfs", List("tmpfs")),
    switch_by('t', "tty", Needless),
    value("ulimit", Special(SpecialFlag::Ulimit)),
    switch("use-api-socket", Untranslated),
    value_by('u', "user", Text("user")),
    value("userns", Text("userns_mode")),
    value("uts", Text("uts")),
    value_by('v', "volume", Special(SpecialFlag::Volume)),
    value("volume-driver", Untranslated),
    value("volumes-from", Untranslated),
    value_by('w', "workdir", Text("working_dir")),
];

/// Flags that only `podman run` has.
const PODMAN: &[RunFlag] = &[
    value("arch", Untranslated),
    value("authfile", Needless),
    value("cgroups", Untranslated),
    value("conmon-pidfile", Needless),
    switch("env-host", Untranslated),
    value("gidmap", Untranslated),
    switch("http-proxy", Untranslated),
    value("image-volume", Untranslated),
    switch("no-hostname", Untranslated),
    switch("no-hosts", Untranslated),
    value("os", Untranslated),
    value("personality", Untranslated),
    value("pidfile", Needless),
    value("pod", Untranslated),
    switch("read-only-tmpfs", Untranslated),
    switch("replace", Needless),
    value("requires", Untranslated),
    value("restart-policy", Special(SpecialFlag::Restart)),
    switch("rmi", Untranslated),
    switch("rootfs", Untranslated),
    value("sdnotify", Needless),
    value("seccomp-policy", Untranslated),
    value("secret", Untranslated),
    value("shm-size-systemd", Untranslated),
    value("subgidname", Untranslated),
    value("subuidname", Untranslated),
    value("systemd", Untranslated),
    value("timeout", Untranslated),
    switch("tls-verify", Needless),
    value("tz", Untranslated),
    value("uidmap", Untranslated),
    value("umask", Untranslated),
    value("unsetenv", Untranslated),
    switch("unsetenv-all", Untranslated),
    value("variant", Untranslated),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{FLAGS, PODMAN};

    #[test]
    fn each_name_and_each_letter_stands_once() {
        let names: BTreeSet<&str> = FLAGS.iter().chain(PODMAN).map(|flag| flag.long).collect();
        assert_eq!(names.len(), FLAGS.len() + PODMAN.len());
        let letters: Vec<char> = FLAGS.iter().filter_map(|flag| flag.short).collect();
        assert_eq!(letters.iter().collect::<BTreeSet<_>>().len(), letters.len());
        assert!(FLAGS.is_sorted_by_key(|flag| flag.long), "by name, so that a missing one is seen");
    }
}
