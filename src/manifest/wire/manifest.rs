//! Top level of a manifest file: the project's keys, the GPUs, modes and goals.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::manifest::wire::example::Example;
use crate::manifest::wire::hooks::NotifierBlock;
use crate::manifest::wire::lifecycle::Lifecycle;
use crate::manifest::wire::service::{Runnable, ServiceBlock};
use crate::manifest::wire::shape::{NamedMap, OneOrMany};
use crate::runtime::list::runtimes_with_settings;
use crate::syntax::located::Located;
use crate::syntax::scalar::ByteSize;

macro_rules! define_manifest {
    ($($runtime:ident)*) => {
        /// Services to run on this machine, in which mode, on which GPUs.
        #[derive(Debug, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[schemars(title = "lcm manifest")]
        pub(crate) struct Manifest {
            /// Version of this format. In exactly one file of the set.
            #[schemars(extend("enum" = [1]), example = 1)]
            pub version: Option<Located<u32>>,
            /// Name of the project, which owns all services below on this host. In exactly one file of the set.
            #[schemars(regex(pattern = crate::syntax::scalar::NAME_OR_VARIABLE_PATTERN), example = &"studio")]
            pub name: Option<Located<String>>,
            /// Former name of the project, or several. Objects that lcm started under a former name count as this
            /// project's: they run on without a restart, and `lcm down` stops and removes them too. No other manifest
            /// may use that name any more.
            #[schemars(example = "studio-old", example = ["studio-old", "atelier"])]
            #[schemars(with = "Option<OneOrMany<crate::syntax::scalar::ProjectNameText>>")]
            pub renamed_from: Option<Located<OneOrMany<Located<String>>>>,
            /// Further files, relative to this one. A name that is defined in two of them is an error.
            #[schemars(example = "gpu-templates.yaml", example = ["gpu-templates.yaml", "voices.yaml"])]
            #[expect(dead_code, reason = "followed by the loader, before types are known; here for the schema")]
            pub include: Option<OneOrMany<String>>,
            /// Default mode, unless the command line or a mode override names another. Only the entry file's counts.
            #[schemars(example = &"voice")]
            pub mode: Option<Located<String>>,
            /// Handling of orphans: objects with this project's mark whose names are not in the manifest.
            #[schemars(extend("default" = "report"), example = &"stop")]
            pub orphans: Option<Located<Orphans>>,
            /// Manifest that manages the project where several folders have one of this name: the one applied first, or
            /// the one applied last.
            #[schemars(extend("default" = "first"), example = &"newest")]
            pub checkout: Option<Located<Checkout>>,
            /// Settings of the GPUs.
            #[schemars(example = Example(r#"{ "reserve": "512MiB", "devices": [{ "index": 0, "vram": "24GiB" }] }"#))]
            pub gpus: Option<Located<GpusBlock>>,
            $(
                #[schemars(
                    description = crate::runtime::$runtime::wire::SETTINGS_DESCRIPTION,
                    extend("examples" = crate::runtime::$runtime::wire::settings_examples())
                )]
                pub $runtime: Option<Located<crate::runtime::$runtime::wire::Settings>>,
            )*
            /// Names of variables whose values are masked in every output, in the environment of any service. The names
            /// of all files add up; a service's own setting takes precedence.
            #[serde(default)]
            #[schemars(example = ["DB_PASSWORD"])]
            pub secret: Vec<Located<String>>,
            /// Names of variables that are no secrets, whichever values they have. The names of all files add up; a
            /// service's own setting takes precedence.
            #[serde(default)]
            #[schemars(example = ["MODEL"])]
            pub plain: Vec<Located<String>>,
            /// Parts of services, for `extends`.
            #[schemars(example = Example(r#"{ "web": { "health": { "timeout": "60s" } } }"#))]
            #[serde(default)]
            #[expect(dead_code, reason = "merged into services before types are known; read to tell their faults")]
            pub templates: NamedMap<ServiceBlock>,
            /// Services: process trees and containers.
            #[serde(default)]
            #[schemars(with = "NamedMap<Runnable>", example = Example(r#"{ "ollama": { "docker": { "image": "ollama/ollama:0.12" }, "vram": "18GB" } }"#))]
            pub services: NamedMap<Located<ServiceBlock>>,
            /// Sets of services that run together; one mode is active. Without modes, all services run.
            #[serde(default)]
            #[schemars(example = Example(r#"{ "chat": { "services": ["ollama"], "others": "keep" } }"#))]
            pub modes: NamedMap<Located<ModeBlock>>,
            /// Goals that need services.
            #[serde(default)]
            #[schemars(example = Example(r#"{ "narrate": { "phases": [3], "priority": 60 } }"#))]
            pub goals: NamedMap<Located<GoalBlock>>,
            /// Rules that narrow or widen which changes are made, and when. The rules of all files add up.
            #[schemars(example = Example(r#"{ "deny": [{ "from": "busy", "services": "comfyui", "reason": "renders for clients" }] }"#))]
            pub lifecycle: Option<Located<Lifecycle>>,
            /// Receivers of change notifications. Those of all files add up.
            #[serde(default)]
            #[schemars(example = Example(r#"[{ "exec": ["./tell.sh"], "classes": "in_error" }]"#))]
            pub notify: Vec<Located<NotifierBlock>>,
        }
    };
}
runtimes_with_settings!(define_manifest);

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Orphans {
    /// Show them, and leave them alone.
    Report,
    /// Stop them.
    Stop,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Checkout {
    /// The manifest applied first. Another one only starts missing services, until the first one's folder is gone or
    /// `lcm apply --take-over` takes over.
    First,
    /// The manifest applied last: each apply takes over.
    Newest,
}

/// GPUs of the machine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Gpus")]
pub(crate) struct GpusBlock {
    /// Memory kept free on every GPU.
    #[schemars(extend("default" = "0MiB"), example = "512MiB")]
    pub reserve: Option<Located<ByteSize>>,
    /// GPUs of a host without a driver (CI), or whose driver reports too little memory (unified memory). These values
    /// override the driver's.
    #[serde(default)]
    #[schemars(example = Example(r#"[{ "index": 0, "vram": "24GiB" }]"#))]
    pub devices: Vec<Located<Device>>,
}

/// GPU declared by this manifest.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Device {
    /// Index of the GPU, as the driver counts.
    #[schemars(example = 0)]
    pub index: Located<u32>,
    /// Memory of the GPU.
    #[schemars(example = "24GiB")]
    pub vram: Located<ByteSize>,
    /// UUID of the GPU, where services refer to the GPU by UUID.
    #[schemars(example = "GPU-8f1e2a34-1111-2222-3333-444455556666")]
    pub uuid: Option<Located<String>>,
    /// True if the GPU uses the host's memory: GB10, Jetson, AMD APUs. Such a GPU never has more memory than the host.
    #[schemars(extend("default" = false), example = true)]
    pub unified: Option<bool>,
}

/// Mode: a set of services that run together.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Mode")]
pub(crate) struct ModeBlock {
    /// Purpose of the mode, in a few words.
    #[schemars(example = "Render video")]
    pub description: Option<String>,
    /// Services that must run in this mode, with all their dependencies.
    #[serde(default)]
    #[schemars(example = ["comfyui"])]
    pub services: Vec<Located<String>>,
    /// Goals that are active in this mode.
    #[serde(default)]
    #[schemars(example = ["narrate"])]
    pub goals: Vec<Located<String>>,
    /// Services that must be off in this mode.
    #[serde(default)]
    #[schemars(example = ["ollama"])]
    pub stop: Vec<Located<String>>,
    /// Handling of running services that this mode does not name.
    #[schemars(extend("default" = "stop"), example = &"keep")]
    pub others: Option<OthersValue>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Others")]
pub(crate) enum OthersValue {
    /// Stop them.
    Stop,
    /// Keep them running while the memory suffices.
    Keep,
}

/// Goal: a purpose that needs services.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Goal")]
pub(crate) struct GoalBlock {
    /// Purpose of the goal, in a few words.
    #[schemars(example = "Read scripts aloud")]
    pub description: Option<String>,
    /// Services that the goal needs, by name.
    #[serde(default)]
    #[schemars(example = ["cosyvoice"])]
    pub services: Vec<Located<String>>,
    /// Services that the goal needs, by phase: every service that lists one of these.
    #[serde(default)]
    #[schemars(example = [3], inner(range(min = 1)))]
    pub phases: Vec<Located<u32>>,
    /// Priority: higher preempts lower. While the goal is active, the services that it needs have at least this
    /// priority.
    #[schemars(extend("default" = 0), example = 60)]
    pub priority: Option<i64>,
}
