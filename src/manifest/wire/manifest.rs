//! A manifest file as a whole: its keys at the top, the GPUs, modes and goals.

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
        /// What should run on this machine, in which mode, on which GPUs.
        #[derive(Debug, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[schemars(title = "lcm manifest")]
        pub(crate) struct Manifest {
            /// The version of this format. In exactly one file of the set.
            #[schemars(extend("enum" = [1]), example = 1)]
            pub version: Option<Located<u32>>,
            /// The project: the owner of everything below on this host. In exactly one file of the set.
            #[schemars(regex(pattern = crate::syntax::scalar::NAME_OR_VARIABLE_PATTERN), example = &"studio")]
            pub name: Option<Located<String>>,
            /// Former name of the project, or several. Things that lcm started under it count as this project's: they run on
            /// without a restart, and `lcm down` stops and removes them too. No other manifest may use that name any more.
            #[schemars(example = "studio-old", example = ["studio-old", "atelier"])]
            #[schemars(with = "Option<OneOrMany<crate::syntax::scalar::ProjectNameText>>")]
            pub renamed_from: Option<Located<OneOrMany<Located<String>>>>,
            /// Further files, relative to this one. What is defined in two of them is an error.
            #[schemars(example = "gpu-templates.yaml", example = ["gpu-templates.yaml", "voices.yaml"])]
            #[expect(dead_code, reason = "followed by the loader, before types are known; here for the schema")]
            pub include: Option<OneOrMany<String>>,
            /// The mode to be in, where nothing else says so. Only that of the file which lcm is called with counts.
            #[schemars(example = &"voice")]
            pub mode: Option<Located<String>>,
            /// What becomes of things that bear this project's mark, but no name that stands here.
            #[schemars(extend("default" = "report"), example = &"stop")]
            pub orphans: Option<Located<Orphans>>,
            /// Manifest that manages the project where several folders have one of this name: the one that was first applied, or
            /// the one applied last.
            #[schemars(extend("default" = "first"), example = &"newest")]
            pub checkout: Option<Located<Checkout>>,
            /// The GPUs, where there is something to say about them.
            #[schemars(example = Example(r#"{ "reserve": "512MiB", "devices": [{ "index": 0, "vram": "24GiB" }] }"#))]
            pub gpus: Option<Located<GpusBlock>>,
            $(
                #[schemars(
                    description = crate::runtime::$runtime::wire::SETTINGS_DESCRIPTION,
                    extend("examples" = crate::runtime::$runtime::wire::settings_examples())
                )]
                pub $runtime: Option<Located<crate::runtime::$runtime::wire::Settings>>,
            )*
            /// Names of variables whose values are masked in every output, in the environment of whatever service. Those of all
            /// files add up; what a service says counts first.
            #[serde(default)]
            #[schemars(example = ["DB_PASSWORD"])]
            pub secret: Vec<Located<String>>,
            /// Names of variables that are no secrets, whatever their values look like. Those of all files add up; what a
            /// service says counts first.
            #[serde(default)]
            #[schemars(example = ["MODEL"])]
            pub plain: Vec<Located<String>>,
            /// Parts of services, for `extends`.
            #[schemars(example = Example(r#"{ "web": { "health": { "timeout": "60s" } } }"#))]
            #[serde(default)]
            #[expect(dead_code, reason = "merged into services before types are known; read to tell their faults")]
            pub templates: NamedMap<ServiceBlock>,
            /// What can run: process trees and containers.
            #[serde(default)]
            #[schemars(with = "NamedMap<Runnable>", example = Example(r#"{ "ollama": { "docker": { "image": "ollama/ollama:0.12" }, "vram": "18GB" } }"#))]
            pub services: NamedMap<Located<ServiceBlock>>,
            /// Sets of services that run together; one mode is active. Without any, all services are wanted.
            #[serde(default)]
            #[schemars(example = Example(r#"{ "chat": { "services": ["ollama"], "others": "keep" } }"#))]
            pub modes: NamedMap<Located<ModeBlock>>,
            /// Things wanted, which need services.
            #[serde(default)]
            #[schemars(example = Example(r#"{ "narrate": { "phases": [3], "priority": 60 } }"#))]
            pub goals: NamedMap<Located<GoalBlock>>,
            /// Rules that narrow or widen which changes are made, and when. Those of all files add up.
            #[schemars(example = Example(r#"{ "deny": [{ "from": "busy", "services": "comfyui", "reason": "renders for clients" }] }"#))]
            pub lifecycle: Option<Located<Lifecycle>>,
            /// Who is told of changes. Those of all files add up.
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
    /// They are shown, and left alone.
    Report,
    /// They are stopped.
    Stop,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Checkout {
    /// Another one only starts what is missing, until its folder is gone or `lcm apply --take-over` hands over.
    First,
    /// Each apply takes over.
    Newest,
}

/// The machine's GPUs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GpusBlock {
    /// Kept free on every GPU.
    #[schemars(extend("default" = "0MiB"), example = "512MiB")]
    pub reserve: Option<Located<ByteSize>>,
    /// GPUs, where the host can't be asked (no driver, CI) or reports too little: unified memory. What stands here goes
    /// over the driver's figure.
    #[serde(default)]
    #[schemars(example = Example(r#"[{ "index": 0, "vram": "24GiB" }]"#))]
    pub devices: Vec<Located<Device>>,
}

/// A GPU that this manifest vouches for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Device {
    /// Its number, as the driver counts.
    #[schemars(example = 0)]
    pub index: Located<u32>,
    /// Its memory.
    #[schemars(example = "24GiB")]
    pub vram: Located<ByteSize>,
    /// Its UUID, where services name it by that.
    #[schemars(example = "GPU-8f1e2a34-1111-2222-3333-444455556666")]
    pub uuid: Option<Located<String>>,
    /// Whether it uses the host's memory: GB10, Jetson, AMD APUs. It never has more than the host.
    #[schemars(extend("default" = false), example = true)]
    pub unified: Option<bool>,
}

/// A set of services that run together.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModeBlock {
    /// What it is for, in a few words.
    #[schemars(example = "Render video")]
    pub description: Option<String>,
    /// Services that must run in this mode, with all that they depend on.
    #[serde(default)]
    #[schemars(example = ["comfyui"])]
    pub services: Vec<Located<String>>,
    /// Goals that this mode adds.
    #[serde(default)]
    #[schemars(example = ["narrate"])]
    pub goals: Vec<Located<String>>,
    /// Services that must be off in any case.
    #[serde(default)]
    #[schemars(example = ["ollama"])]
    pub stop: Vec<Located<String>>,
    /// What becomes of running services that this mode does not name.
    #[schemars(extend("default" = "stop"), example = &"keep")]
    pub others: Option<OthersValue>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OthersValue {
    /// They are stopped.
    Stop,
    /// They may go on, where there is room.
    Keep,
}

/// Something wanted, which needs services.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GoalBlock {
    /// What it is for, in a few words.
    #[schemars(example = "Read scripts aloud")]
    pub description: Option<String>,
    /// Services that it needs, by name.
    #[serde(default)]
    #[schemars(example = ["cosyvoice"])]
    pub services: Vec<Located<String>>,
    /// Services that it needs, by phase: all that list one of these.
    #[serde(default)]
    #[schemars(example = [3], inner(range(min = 1)))]
    pub phases: Vec<Located<u32>>,
    /// Higher matters more. While the goal is active, the services that it needs have at least this.
    #[schemars(extend("default" = 0), example = 60)]
    pub priority: Option<i64>,
}
