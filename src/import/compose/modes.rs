//! Modes of the manifest, from the profiles of a Compose project.

use std::collections::{BTreeMap, BTreeSet};

use crate::import::compose::translation::TranslatedService;
use crate::import::draft::ModeDraft;
use crate::import::names::UniqueNames;
use crate::import::writer::YamlValue;

/// Names of modes that a manifest may not define.
const RESERVED: [&str; 2] = ["auto", "off"];

/// Modes, and those that are active by default.
#[derive(Debug, Default)]
pub(super) struct ProfileModes {
    pub(super) drafts: Vec<ModeDraft>,
    /// Names of the default modes.
    pub(super) active: Vec<String>,
    /// Names in `COMPOSE_PROFILES` that no service has.
    pub(super) unknown: Vec<String>,
}

impl ProfileModes {
    /// Returns the value of `mode:`; `None`: there are no modes.
    pub(super) fn default_mode(&self) -> Option<YamlValue> {
        match &self.active[..] {
            [] => self.drafts.first().map(|first| YamlValue::text(&first.name)),
            [one] => Some(YamlValue::text(one)),
            several => Some(YamlValue::texts(several)),
        }
    }
}

/// Returns one mode a profile, and one for services without a profile, if there are any. `active` is the value of
/// `COMPOSE_PROFILES`.
pub(super) fn of_profiles(done: &[TranslatedService], active: Option<&str>) -> ProfileModes {
    let profiles: BTreeSet<&String> = done.iter().flat_map(|one| &one.profiles).collect();
    let wanted: Vec<&str> =
        active.unwrap_or_default().split(',').map(str::trim).filter(|one| !one.is_empty()).collect();
    let is_known = |name: &&str| *name == "*" || profiles.iter().any(|profile| profile == name);
    let unknown = wanted.iter().filter(|name| !is_known(name)).map(|name| (*name).to_owned()).collect();
    if profiles.is_empty() {
        return ProfileModes { unknown, ..ProfileModes::default() };
    }
    let mut names = UniqueNames::default();
    let mut drafts = Vec::new();
    let named = |wanted: &dyn Fn(&TranslatedService) -> bool| -> Vec<String> {
        done.iter().filter(|one| wanted(one)).map(|one| one.name.clone()).collect()
    };
    let plain = named(&|one| one.profiles.is_empty());
    let mut name_of = |profile: &str| {
        let is_reserved = RESERVED.contains(&profile);
        names.give(&if is_reserved { format!("{profile}-profile") } else { profile.to_owned() })
    };
    let taken: BTreeMap<&String, String> = profiles.iter().map(|profile| (*profile, name_of(profile))).collect();
    if !plain.is_empty() {
        drafts.push(ModeDraft {
            name: name_of("default"),
            description: "docker compose up".to_owned(),
            services: plain,
            keeps_others: false,
        });
    }
    for (profile, name) in &taken {
        drafts.push(ModeDraft {
            name: name.clone(),
            description: format!("docker compose --profile {profile} up"),
            services: named(&|one| one.profiles.is_empty() || one.profiles.contains(*profile)),
            keeps_others: false,
        });
    }
    let all = wanted.contains(&"*");
    let is_active = |profile: &String| all || wanted.contains(&profile.as_str());
    let active = taken.iter().filter(|(profile, _)| is_active(profile)).map(|(_, name)| name.clone()).collect();
    ProfileModes { drafts, active, unknown }
}

/// Returns one mode for each service on a GPU, with all services that need no other GPU.
pub(super) fn alone(done: &[TranslatedService]) -> Vec<ModeDraft> {
    let goes_with = |other: &TranslatedService, name: &str| {
        let (mut open, mut seen) = (vec![other], BTreeSet::new());
        while let Some(next) = open.pop() {
            if next.name == name || !seen.insert(&next.name) {
                continue;
            }
            if next.on_gpu {
                return false;
            }
            open.extend(done.iter().filter(|one| next.needs.contains(&one.name)));
        }
        true
    };
    let of = |one: &TranslatedService| ModeDraft {
        name: one.name.clone(),
        description: format!("{} with the GPU to itself", one.name),
        services: done.iter().filter(|other| goes_with(other, &one.name)).map(|other| other.name.clone()).collect(),
        keeps_others: false,
    };
    done.iter().filter(|one| one.on_gpu).map(of).collect()
}
