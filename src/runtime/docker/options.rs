//! Options of a container beyond its image, mounts and networks: names, privileges, limits and logging. One form for
//! those of the manifest and those that an engine reports, so that both are compared as the same texts.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::spec;

/// Options that are compared even if the manifest does not state them: each gives the container more rights.
const RIGHTS: [&str; 3] = ["privileged", "cap_add", "security_opt"];

/// Prefix that the kernel gives the names of capabilities, and Compose's users often leave out.
const CAPABILITY_PREFIX: &str = "CAP_";

/// Digits of a profile's digest in a diff: enough to see that two differ.
const PROFILE_DIGITS: usize = 12;

/// Nanoseconds of CPU time in one second, by which engines count CPUs.
pub(crate) const NANOS_PER_CPU: u64 = 1_000_000_000;

/// Options of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerOptions {
    pub hostname: Option<String>,
    /// Entries of `/etc/hosts`, as `HOST:ADDRESS`.
    pub extra_hosts: Vec<String>,
    pub dns: Vec<String>,
    pub working_dir: Option<String>,
    pub init: Option<bool>,
    /// Options of the kernel, by mount point; empty for none.
    pub tmpfs: BTreeMap<String, String>,
    /// Names as `capability` returns them.
    pub cap_add: BTreeSet<String>,
    pub cap_drop: BTreeSet<String>,
    /// Security options as `security_option` returns them.
    pub security_opt: Vec<String>,
    pub privileged: Option<bool>,
    pub group_add: Vec<String>,
    /// Limit of memory; it can be changed while the container runs.
    pub mem_limit_bytes: Option<u64>,
    /// Limit of CPUs, in billionths of one; it can be changed while the container runs.
    pub nano_cpus: Option<u64>,
    pub logging: Logging,
}

/// Destination of a container's output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logging {
    /// Driver; `None`: the engine's default.
    pub driver: Option<String>,
    /// Options of the driver. Some drivers take a token there.
    pub options: BTreeMap<String, String>,
}

impl ContainerOptions {
    /// Returns the options that are set, as texts, keyed by the key of the manifest. Limits and options of the log
    /// driver are left out: limits are compared with those that a manifest does not state, and the others by digest.
    #[must_use]
    pub(crate) fn values(&self) -> BTreeMap<String, String> {
        // Every field by its name, so that a new one is not forgotten here.
        let Self {
            hostname,
            extra_hosts,
            dns,
            working_dir,
            init,
            tmpfs,
            cap_add,
            cap_drop,
            security_opt,
            privileged,
            group_add,
            mem_limit_bytes: _,
            nano_cpus: _,
            logging: Logging { driver, options: _ },
        } = self;
        let flag = |flag: &Option<bool>| flag.map(|flag| flag.to_string());
        let values = [
            ("hostname", hostname.clone()),
            ("extra_hosts", sorted(extra_hosts)),
            ("dns", joined(dns)),
            ("working_dir", working_dir.clone()),
            ("init", flag(init)),
            ("tmpfs", joined(tmpfs.iter().map(mount_text))),
            ("cap_add", joined(cap_add)),
            ("cap_drop", joined(cap_drop)),
            ("security_opt", sorted(security_opt.iter().map(|option| short(option)))),
            // Not privileged is the same as without the key.
            ("privileged", flag(&privileged.filter(|privileged| *privileged))),
            ("group_add", sorted(group_add)),
            ("logging driver", driver.clone()),
        ];
        values.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }

    /// Returns the values that are compared with a container's of which `stated` are in the manifest: those, and rights
    /// that it has beyond them.
    #[must_use]
    pub(crate) fn compared(&self, stated: &Self) -> BTreeMap<String, String> {
        let stated = stated.values();
        let mut values = self.values();
        values.retain(|key, _| stated.contains_key(key) || RIGHTS.contains(&key.as_str()));
        values
    }

    /// Returns true if an option labels processes for `SELinux`. Engines add such a label where they turn that off.
    #[must_use]
    pub(crate) fn has_labels(&self) -> bool {
        self.security_opt.iter().any(|option| is_label(option))
    }
}

/// Returns true for the security option that labels processes for `SELinux`.
#[must_use]
pub(crate) fn is_label(option: &str) -> bool {
    option.starts_with("label=")
}

/// Returns the name of a capability in capitals and without the kernel's prefix.
#[must_use]
pub(crate) fn capability(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix(CAPABILITY_PREFIX).map_or_else(|| name.clone(), str::to_owned)
}

/// Returns a security option as `NAME=VALUE`, or its name alone where that means the same. Engines also accept the older
/// form with a colon.
#[must_use]
pub(crate) fn security_option(text: &str) -> String {
    let Some(at) = text.find([':', '=']) else { return text.to_owned() };
    match (&text[..at], &text[at + 1..]) {
        (name @ "no-new-privileges", "true") => name.to_owned(),
        (name, value) => format!("{name}={value}"),
    }
}

/// Returns a security option for a diff, in which a profile is a digest.
fn short(option: &str) -> String {
    match option.split_once('=') {
        Some((name, profile)) if profile.starts_with('{') => {
            let digest: String = spec::digest(&[profile.as_bytes()]).chars().take(PROFILE_DIGITS).collect();
            format!("{name}=profile {digest}")
        }
        Some(_) | None => option.to_owned(),
    }
}

fn mount_text((target, options): (&String, &String)) -> String {
    if options.is_empty() { target.clone() } else { format!("{target}:{options}") }
}

fn sorted(items: impl IntoIterator<Item = impl Into<String>>) -> Option<String> {
    let mut items: Vec<String> = items.into_iter().map(Into::into).collect();
    items.sort_unstable();
    joined(items)
}

/// Joins texts; `None`: there are none.
fn joined(items: impl IntoIterator<Item = impl Into<String>>) -> Option<String> {
    let items: Vec<String> = items.into_iter().map(Into::into).collect();
    (!items.is_empty()).then(|| items.join(", "))
}

#[cfg(test)]
mod tests {
    use super::{ContainerOptions, capability, security_option};

    #[test]
    fn names_have_one_form() {
        for name in ["NET_ADMIN", "CAP_NET_ADMIN", "net_admin", "cap_net_admin"] {
            assert_eq!(capability(name), "NET_ADMIN");
        }
        for (written, same) in [
            ("no-new-privileges", "no-new-privileges"),
            ("no-new-privileges:true", "no-new-privileges"),
            ("no-new-privileges=false", "no-new-privileges=false"),
            ("seccomp:unconfined", "seccomp=unconfined"),
            ("apparmor=docker-default", "apparmor=docker-default"),
            ("seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}", "seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}"),
        ] {
            assert_eq!(security_option(written), same);
        }
    }

    #[test]
    fn only_stated_options_and_further_rights_are_compared() {
        let real = ContainerOptions {
            hostname: Some("a1b2".to_owned()),
            privileged: Some(true),
            init: Some(false),
            ..ContainerOptions::default()
        };
        let keys = |stated: &ContainerOptions| real.compared(stated).into_keys().collect::<Vec<_>>();
        assert_eq!(keys(&ContainerOptions::default()), ["privileged"]);
        let stated = ContainerOptions { init: Some(true), privileged: Some(false), ..ContainerOptions::default() };
        assert_eq!(keys(&stated), ["init", "privileged"]);
        assert_eq!(stated.compared(&stated)["init"], "true");
        assert!(!stated.compared(&stated).contains_key("privileged"), "as without the key");
    }

    #[test]
    fn a_profile_is_shown_as_a_digest() {
        let with = |profile: &str| {
            let security_opt = vec![format!("seccomp={profile}")];
            ContainerOptions { security_opt, ..ContainerOptions::default() }.values()["security_opt"].clone()
        };
        assert!(with("{}").starts_with("seccomp=profile ") && with("{}").len() < 40);
        assert_ne!(with("{}"), with("{\"a\":1}"));
        assert_eq!(with("unconfined"), "seccomp=unconfined");
    }
}
