//! Settings of the whole project: its name, the format's version, GPUs, engine, orphans. Each is set once.

use std::collections::{BTreeMap, BTreeSet};

use crate::manifest::resolve::context::ResolveContext;
use crate::manifest::wire::{self, Manifest};
use crate::model::desired::{DeclaredGpu, OrphanPolicy};
use crate::model::names::{ProjectName, RuntimeName};
use crate::model::size::Mebibytes;
use crate::runtime::list::{runtime_with_networks, runtimes_with_settings};
use crate::syntax::located::Located;
use crate::syntax::problem::Problem;
use crate::syntax::scalar::is_name;
use crate::syntax::source::Span;

/// Version of the manifest format that this lcm reads.
const VERSION: u32 = 1;

/// Host memory kept free: enough for a shell, a container engine and lcm itself.
const HOST_RESERVE_DEFAULT: Mebibytes = Mebibytes(1 << 10);

/// Settings other than services, modes and goals.
#[derive(Debug)]
pub(super) struct ProjectSettings {
    /// Former names of the project.
    pub aliases: BTreeSet<ProjectName>,
    pub orphans: OrphanPolicy,
    pub newest_checkout: bool,
    pub reserve: Mebibytes,
    /// Host memory kept free.
    pub host_reserve: Mebibytes,
    pub devices: Vec<(DeclaredGpu, Span)>,
    /// Endpoints, by runtime.
    pub endpoints: BTreeMap<RuntimeName, String>,
}

/// Returns the project's name, and checks the version.
pub(super) fn project(context: &mut ResolveContext<'_>) -> Option<ProjectName> {
    if let Some(version) = once(context, "version", |manifest| manifest.version.as_ref())
        && version.value != VERSION
    {
        let message = format!("manifest version {} is not supported: this lcm reads version {VERSION}", version.value);
        context.error("lcm::manifest::version", version.span, message, "this version");
    }
    required(context, "version");
    required(context, "name");
    let name = once(context, "name", |manifest| manifest.name.as_ref())?;
    check_name(context, name);
    Some(ProjectName::new(name.value.clone()))
}

fn check_name(context: &mut ResolveContext<'_>, name: &Located<String>) {
    if !is_name(name) {
        let help = "use letters, digits, `_`, `.` and `-`, and begin with a letter or digit";
        let message = format!("invalid project name `{}`", name.value);
        context.error_with_help("lcm::manifest::name", name.span, (message, "this name"), help);
    }
}

/// Returns the former names of the project: each once, and none of them the present one.
fn aliases(context: &mut ResolveContext<'_>) -> BTreeSet<ProjectName> {
    let files = &context.input.files;
    let name = files.iter().find_map(|file| file.manifest.name.as_ref()).map(|name| name.value.clone());
    let mut aliases = BTreeSet::new();
    let Some(written) = once(context, "renamed_from", |manifest| manifest.renamed_from.as_ref()) else {
        return aliases;
    };
    for former in &written.value.0 {
        check_name(context, former);
        if Some(&former.value) == name.as_ref() {
            let message = format!("`renamed_from` contains the present name `{}`", former.value);
            let help = "write the project's former name, or remove `renamed_from`";
            context.error_with_help("lcm::manifest::name", former.span, (message, "this name"), help);
        }
        if !aliases.insert(ProjectName::new(former.value.clone())) {
            let message = format!("`{}` appears twice in `renamed_from`", former.value);
            context.error_with_help(
                "lcm::manifest::duplicate",
                former.span,
                (message, "the second one"),
                "remove one of them",
            );
        }
    }
    aliases
}

pub(super) fn settings(context: &mut ResolveContext<'_>) -> ProjectSettings {
    networks(context);
    let orphans = match once(context, "orphans", |manifest| manifest.orphans.as_ref()).map(|orphans| orphans.value) {
        Some(wire::Orphans::Stop) => OrphanPolicy::Stop,
        Some(wire::Orphans::Report) | None => OrphanPolicy::Report,
    };
    let checkout = once(context, "checkout", |manifest| manifest.checkout.as_ref()).map(|checkout| checkout.value);
    let newest_checkout = match checkout {
        Some(wire::Checkout::Newest) => true,
        Some(wire::Checkout::First) | None => false,
    };
    let gpus = once(context, "gpus", |manifest| manifest.gpus.as_ref());
    let reserve = gpus.and_then(|gpus| gpus.reserve.as_ref()).map(|reserve| Mebibytes::needed(reserve.0));
    let host = once(context, "host", |manifest| manifest.host.as_ref());
    let host_reserve = host.and_then(|host| host.reserve.as_ref()).map(|reserve| Mebibytes::needed(reserve.0));
    // A GPU that could not be read would make every service look too large for the others.
    let devices = gpus.filter(|gpus| !gpus.damaged).map(|gpus| devices(context, &gpus.devices)).unwrap_or_default();
    let endpoints = endpoints(context);
    let aliases = aliases(context);
    ProjectSettings {
        aliases,
        orphans,
        newest_checkout,
        reserve: reserve.unwrap_or_default(),
        host_reserve: host_reserve.unwrap_or(HOST_RESERVE_DEFAULT),
        devices,
        endpoints,
    }
}

macro_rules! resolve_settings {
    ($($runtime:ident)*) => {
        /// Returns the addresses of endpoints that the runtimes' settings name.
        fn endpoints(context: &mut ResolveContext<'_>) -> BTreeMap<RuntimeName, String> {
            let mut endpoints = BTreeMap::new();
            $(
                if let Some(settings) = once(context, stringify!($runtime), |manifest| manifest.$runtime.as_ref())
                    && let Some(endpoint) = crate::runtime::$runtime::resolve::endpoint(context, settings)
                {
                    endpoints.insert(RuntimeName::known(stringify!($runtime)), endpoint);
                }
            )*
            endpoints
        }
    };
}
runtimes_with_settings!(resolve_settings);

macro_rules! check_networks {
    ($runtime:ident) => {
        /// Checks the networks that the manifest defines.
        pub(super) fn networks(context: &mut ResolveContext<'_>) {
            crate::runtime::$runtime::resolve::networks::check(context);
        }
    };
}
runtime_with_networks!(check_networks);

fn devices(context: &mut ResolveContext<'_>, written: &[Located<wire::Device>]) -> Vec<(DeclaredGpu, Span)> {
    let mut devices: Vec<(DeclaredGpu, Span)> = Vec::new();
    for device in written {
        let gpu = DeclaredGpu {
            index: device.index.value,
            uuid: device.uuid.as_ref().map(|uuid| uuid.value.clone()),
            capacity: Mebibytes::available(device.vram.0),
            unified: device.unified.unwrap_or_default(),
        };
        let same = |other: &DeclaredGpu| other.index == gpu.index || (gpu.uuid.is_some() && other.uuid == gpu.uuid);
        if let Some((_, first)) = devices.iter().find(|(other, _)| same(other)) {
            let problem = Problem::error("lcm::manifest::duplicate", format!("GPU {} is declared twice", gpu.index))
                .at(context.place(device.index.span), "the second one")
                .also(context.place(*first), "the first one");
            context.problems.push(problem);
        }
        devices.push((gpu, device.index.span));
    }
    devices
}

/// Returns the value of a key that only one file of the set may have.
fn once<'a, T>(
    context: &mut ResolveContext<'a>,
    key: &str,
    get: impl Fn(&'a Manifest) -> Option<&'a Located<T>>,
) -> Option<&'a Located<T>> {
    let mut found = context.input.files.iter().filter_map(|file| get(&file.manifest));
    let first = found.next()?;
    for second in found {
        let problem =
            Problem::error("lcm::manifest::duplicate", format!("`{key}` is set in two files of this manifest"))
                .at(context.place(second.span), "the second one")
                .also(context.place(first.span), "the first one");
        context.problems.push(problem);
    }
    Some(first)
}

/// Reports a key that no file has and one must have.
fn required(context: &mut ResolveContext<'_>, key: &str) {
    let input = context.input;
    if input.complete
        && let Some(entry) = input.files.first()
        && !input.files.iter().any(|file| file.keys.contains(key))
    {
        let problem = Problem::error("lcm::manifest::missing", format!("missing `{key}`"))
            .at(context.place(Span { file: entry.file, offset: 0, length: 0 }), "it belongs here")
            .help(match key {
                "version" => "write `version: 1`",
                _ => "write `name:` and a name for the project, which owns all its services on this host",
            });
        context.problems.push(problem);
    }
}
