//! Service as written in a manifest.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};

use crate::manifest::wire::example::Example;
use crate::manifest::wire::hooks::{HooksBlock, RecoverBlock};
use crate::manifest::wire::probes::{BusyBlock, EvictBlock, HealthBlock, StopBlock, WakeBlock, complete_calls};
use crate::manifest::wire::shape::{NamedMap, OneOrMany};
use crate::manifest::wire::vram::VramValue;
use crate::runtime::list::runtimes;
use crate::syntax::fault::{Fault, suggest};
use crate::syntax::located::{Located, WORD};
use crate::syntax::scalar::{ByteSize, DurationText, ScalarText};
use crate::syntax::source::Span;

/// Keys of one runtime's block, for advice on a key in the wrong place.
pub(crate) struct BlockKeys {
    pub runtime: &'static str,
    /// Key by which the runtime's map is recognised.
    pub mark: &'static str,
    /// Key that a plain text in place of the block stands for.
    pub main: &'static str,
    /// Block that an editor offers, as JSON, and its description.
    pub snippet: (&'static str, &'static str),
    /// Keys that no other runtime has.
    pub own: &'static [&'static str],
    /// Keys that other runtimes have too, and a service has not.
    pub shared: &'static [&'static str],
    /// True if the runtime uses Compose's keys.
    pub has_compose_keys: bool,
}

macro_rules! define_service {
    ($($runtime:ident)*) => {
        /// Service, or a template: a part of a service that others extend.
        #[derive(Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[schemars(rename = "Service")]
        pub(crate) struct ServiceBlock {
            /// Purpose of the service, in a few words.
            #[schemars(example = "Image generation")]
            #[expect(dead_code, reason = "for readers of the manifest alone")]
            pub description: Option<String>,
            /// Template to extend, or a list of them: a later template overrides an earlier one, and this service
            /// overrides all of them. Maps are merged; lists and scalars are replaced.
            #[schemars(example = &"web", example = ["web", "large"])]
            #[expect(dead_code, reason = "followed before types are known; here for the schema")]
            pub extends: Option<OneOrMany<String>>,
            $(
                #[schemars(
                    description = crate::runtime::$runtime::wire::DESCRIPTION,
                    extend("examples" = crate::runtime::$runtime::wire::examples())
                )]
                pub $runtime: Option<Located<crate::runtime::$runtime::wire::Block>>,
            )*
            /// Same as `secret` of the process or container, whose own setting takes precedence.
            #[serde(default)]
            #[schemars(example = ["DB_PASSWORD"])]
            pub secret: Vec<Located<String>>,
            /// Same as `plain` of the process or container, whose own setting takes precedence.
            #[serde(default)]
            #[schemars(example = ["MODEL"])]
            pub plain: Vec<Located<String>>,
            /// True for a job: a service that runs to its end. Exit code 0 under the present spec means that the job is
            /// done. It runs again when its spec changes or on `lcm start`, and not because it ended, because a secret
            /// or an image tag changed, or because its container was removed (`lcm down` forgets it). Any other end is a
            /// failure, which is retried within `recover`. `post_start` hooks are called when the job runs. Services
            /// wait for its end with `service_completed_successfully` in `depends_on`.
            #[schemars(extend("default" = false), example = true)]
            pub job: Option<Located<bool>>,
            /// Longest run of a job: lcm stops a job that runs longer, and counts that as a failure. lcm checks it while
            /// it waits for the job, and whenever it is applied. Unset: no limit.
            #[schemars(example = "2h")]
            pub timeout: Option<Located<DurationText>>,
            /// Stop procedure of the service: a signal or a command.
            #[schemars(example = Example(r#"{ "signal": "TERM", "grace": "30s" }"#))]
            pub stop: Option<Located<StopBlock>>,
            /// GPU memory that the service needs, on each GPU that it uses: an amount, or a share of the GPU's memory.
            /// A list has an entry for each GPU, in the order in which a process sees them: with an explicit list of
            /// GPUs in the order of that list, else the largest entry is for the GPU with the most memory. With
            /// `gpu: auto`, a list of several entries requests as many GPUs.
            #[schemars(extend("default" = "0MiB"), example = "20GB", example = "45%", example = ["18GB", "8GB"])]
            pub vram: Option<Located<VramValue>>,
            /// Host memory that the service needs. Only services with `ram` are counted: a service starts once as much
            /// is available, beside `host.reserve`.
            #[schemars(example = "24GiB")]
            pub ram: Option<Located<ByteSize>>,
            /// True for a service that measures free GPU memory while it loads, as vLLM does: nothing else starts or
            /// releases memory on its GPUs until it is healthy.
            #[schemars(extend("default" = false), example = true)]
            pub exclusive_start: Option<Located<bool>>,
            /// GPUs that the service uses. `auto`, the default for a service that needs memory: one GPU with enough
            /// free memory.
            #[schemars(example = &"auto", example = &"none", example = 0, example = Example(r#"{ "any": [0, 1] }"#), example = Example(r#"{ "count": 2 }"#))]
            pub gpu: Option<Located<GpuValue>>,
            /// Priority: higher preempts lower. Where memory is short, services with a lower priority are stopped.
            #[schemars(extend("default" = 0), example = 100)]
            pub priority: Option<i64>,
            /// Phases of your work that the service is part of; goals select services by phase.
            #[serde(default)]
            #[schemars(example = [4], inner(range(min = 1)))]
            pub phases: Vec<Located<u32>>,
            /// Services that must be running before this one starts; by default they must also be healthy, and a job
            /// must have completed.
            #[schemars(example = ["cosyvoice"], example = Example(r#"{ "db": { "condition": "service_healthy", "restart": true } }"#))]
            pub depends_on: Option<DependsOn>,
            /// Health probe, and the time limits of a start. Unset: a service that is alive counts as healthy.
            #[schemars(example = Example(r#"{ "http": "http://localhost:8188/system_stats", "warm_time": "30s", "timeout": "120s" }"#))]
            pub health: Option<Located<HealthBlock>>,
            /// Busy probe. lcm stops a busy service once it is idle, or after `drain`.
            #[schemars(example = Example(r#"{ "http": "http://localhost:8188/prompt", "pointer": "/exec_info/queue_remaining" }"#))]
            pub busy: Option<Located<BusyBlock>>,
            /// Longest wait for a busy service before it is stopped anyway. Unset: lcm waits until the run's `--timeout`
            /// (30m); the stop then fails, and the service keeps running. Has no effect without `busy`,
            /// or if the value is above `--timeout`.
            #[schemars(example = "5m")]
            pub drain: Option<Located<DurationText>>,
            /// Calls that make the service release its GPU memory without being stopped.
            #[schemars(example = Example(r#"{ "exec": ["./unload.sh"], "resident": "1GiB" }"#))]
            pub evict: Option<Located<EvictBlock>>,
            /// Calls that make the service load into GPU memory again after it released that memory; made once enough
            /// memory is free. Unset: lcm only frees the memory and reserves it for the service, which loads by itself.
            #[schemars(example = Example(r#"{ "http": { "url": "http://localhost:8000/wake_up" } }"#))]
            pub wake: Option<Located<WakeBlock>>,
            /// Hooks that are called when the service starts or stops.
            #[schemars(example = Example(r#"{ "post_start": [{ "exec": ["./warm.sh"], "timeout": "2m" }] }"#))]
            pub hooks: Option<Located<HooksBlock>>,
            /// Restart policy after a failure of the service.
            #[schemars(example = Example(r#"{ "attempts": 3, "backoff": "1s", "max_backoff": "1h" }"#))]
            pub recover: Option<Located<RecoverBlock>>,
        }

        impl ServiceBlock {
            /// Returns the service's runtime blocks, by key.
            pub(crate) fn blocks(&self) -> Vec<(&'static str, Span)> {
                let blocks = [$((stringify!($runtime), self.$runtime.as_ref().map(|block| block.span))),*];
                blocks.into_iter().filter_map(|(name, span)| Some((name, span?))).collect()
            }
        }

        /// Keys of all runtimes.
        pub(crate) const RUNTIME_KEYS: &[&str] = &[$(stringify!($runtime)),*];

        /// Hints for a service without a runtime, by runtime.
        pub(crate) const HINTS: &[&str] = &[$(crate::runtime::$runtime::wire::HINT),*];

        /// Keys of each runtime's block.
        pub(crate) const BLOCK_KEYS: &[BlockKeys] = &[$(BlockKeys {
            runtime: stringify!($runtime),
            mark: crate::runtime::$runtime::wire::MARK,
            main: crate::runtime::$runtime::wire::MAIN_KEY,
            snippet: crate::runtime::$runtime::wire::SNIPPET,
            own: crate::runtime::$runtime::wire::KEYS,
            shared: crate::runtime::$runtime::wire::SHARED_KEYS,
            has_compose_keys: crate::runtime::$runtime::wire::HAS_COMPOSE_KEYS,
        }),*];

        /// Conditions, in the schema, for the block of each runtime to be complete.
        fn complete_blocks() -> Vec<(&'static str, Value)> {
            vec![$((stringify!($runtime), crate::runtime::$runtime::wire::complete())),*]
        }
    };
}
runtimes!(define_service);

/// Returns the keys of a service. Made from the schema at each call: for advice on faults alone.
pub(crate) fn service_keys() -> Vec<String> {
    let schema = ServiceBlock::json_schema(&mut SchemaGenerator::default());
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(serde_json::Map::keys).cloned().collect()
}

/// Schema of a service that is complete, unless it extends a template.
pub(crate) struct Runnable;

impl JsonSchema for Runnable {
    fn schema_name() -> Cow<'static, str> {
        "Runnable".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = ServiceBlock::json_schema(generator);
        schema.insert("description".to_owned(), "A service with exactly one runtime.".into());
        let blocks = complete_blocks();
        let pairs = blocks.iter().enumerate().flat_map(|(at, (one, _))| {
            blocks[at + 1..].iter().map(move |(other, _)| json!({ "required": [one, other] }))
        });
        let pairs: Vec<Value> = pairs.collect();
        let two = if let [pair] = &pairs[..] { pair.clone() } else { json!({ "anyOf": pairs }) };
        schema.insert("not".to_owned(), two);
        schema.insert("if".to_owned(), json!({ "required": ["extends"] }));
        schema.insert("then".to_owned(), true.into());
        let each = |(name, complete): &(&str, Value)| json!({ "required": [name], "properties": { *name: complete } });
        let one: Vec<Value> = blocks.iter().map(each).collect();
        schema.insert("else".to_owned(), json!({ "oneOf": one, "properties": complete_calls() }));
        schema
    }
}

/// GPUs of a service.
#[derive(Clone, Debug)]
pub(crate) enum GpuValue {
    None,
    Auto,
    All(Vec<GpuIdValue>),
    Any(Vec<GpuIdValue>),
    Count(u32),
    /// Any other form, with the GPU passed to the program by index.
    AsIndex(Box<Self>),
}

/// One GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GpuIdValue {
    Index(u32),
    Uuid(String),
}

/// Choice of GPUs: one of several, a number of them, or all of a list; and the form of the GPU id that the program
/// gets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GpuChoice {
    /// One of these GPUs.
    #[schemars(example = [0, 1])]
    any: Option<Vec<GpuIdValue>>,
    /// Number of different GPUs.
    #[schemars(range(min = 1), example = 2)]
    count: Option<u32>,
    /// All of these GPUs together.
    #[schemars(example = [0, 1])]
    all: Option<Vec<GpuIdValue>>,
    /// Form of the GPU id that the program gets: `index` for programs that expect an integer. Unset: the UUID. A MIG
    /// instance is always passed by UUID.
    #[serde(rename = "as")]
    #[schemars(example = &"index")]
    form: Option<GpuForm>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum GpuForm {
    Index,
}

impl GpuIdValue {
    /// Parses an index, or a UUID as the driver writes it.
    fn parse(text: &str) -> Option<Self> {
        if let Ok(index) = text.parse() {
            return Some(Self::Index(index));
        }
        ["GPU-", "MIG-"].iter().any(|prefix| text.starts_with(prefix)).then(|| Self::Uuid(text.to_owned()))
    }

    fn unknown(text: &str) -> Fault {
        let fault = Fault::new("lcm::manifest::gpu", format!("invalid GPU `{text}`"), "neither an index nor a UUID");
        if text.eq_ignore_ascii_case("all") {
            return fault.help("write the number of GPUs, as `gpu: { count: 2 }`, or name them, as `gpu: [0, 1]`");
        }
        fault.help("write an index like `0`, or a UUID like `GPU-8f1e…`, as `nvidia-smi -L` shows them")
    }
}

impl<'de> Deserialize<'de> for GpuIdValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ScalarText(text) = ScalarText::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(Self::unknown(&text)))
    }
}

impl<'de> Deserialize<'de> for GpuValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WORD, GpuVisitor)
    }
}

struct GpuVisitor;

impl<'de> Visitor<'de> for GpuVisitor {
    type Value = GpuValue;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("`auto`, `none`, a GPU, a list of GPUs, `{ any: [..] }`, `{ count: 2 }` or `{ as: index }`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<GpuValue, E> {
        match text {
            "none" => Ok(GpuValue::None),
            "auto" => Ok(GpuValue::Auto),
            other => GpuIdValue::parse(other).map(|id| GpuValue::All(vec![id])).ok_or_else(|| {
                let fault = GpuIdValue::unknown(other);
                let near = suggest(other, ["auto", "none"]);
                E::custom(if near.starts_with("did") { fault.help(near) } else { fault })
            }),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<GpuValue, A::Error> {
        let mut all = Vec::new();
        while let Some(id) = items.next_element()? {
            all.push(id);
        }
        together(&all).map_err(A::Error::custom)?;
        Ok(GpuValue::All(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<GpuValue, A::Error> {
        let GpuChoice { any, count, all, form } = GpuChoice::deserialize(MapAccessDeserializer::new(map))?;
        let which = match (any, count, all) {
            (Some(any), None, None) => {
                different(&any).map_err(A::Error::custom)?;
                GpuValue::Any(any)
            }
            (None, Some(count), None) if count > 0 => GpuValue::Count(count),
            (None, None, Some(all)) => {
                together(&all).map_err(A::Error::custom)?;
                GpuValue::All(all)
            }
            (None, None, None) if form.is_some() => GpuValue::Auto,
            (_, _, _) => {
                let fault = Fault::new(
                    "lcm::manifest::gpu",
                    "expected one of `any`, `all` and a `count` of 1 or more",
                    "none, or several of them",
                );
                let help = "write `{ any: [0, 1] }`, `{ all: [0, 1] }` or `{ count: 2 }`, with `as: index` next to it \
                            for a program that parses integers";
                return Err(A::Error::custom(fault.help(help)));
            }
        };
        Ok(match form {
            Some(GpuForm::Index) => GpuValue::AsIndex(Box::new(which)),
            None => which,
        })
    }
}

/// Checks that a MIG instance is alone: a process sees one MIG instance, and no other GPU next to it.
fn together(ids: &[GpuIdValue]) -> Result<(), Fault> {
    different(ids)?;
    let is_instance = |id: &GpuIdValue| matches!(id, GpuIdValue::Uuid(uuid) if uuid.starts_with("MIG-"));
    if ids.len() > 1 && ids.iter().any(is_instance) {
        let message = "a process can use only one MIG instance, and no other GPU next to it";
        let fault = Fault::new("lcm::manifest::gpu", message, "these together");
        return Err(fault.help("write `{ any: [..] }` to use one of them"));
    }
    Ok(())
}

fn different(ids: &[GpuIdValue]) -> Result<(), Fault> {
    if ids.is_empty() {
        return Err(Fault::new("lcm::manifest::gpu", "the list of GPUs is empty", "no entries")
            .help("write `none` to use no GPU"));
    }
    let twice = ids.iter().enumerate().any(|(position, id)| ids[..position].contains(id));
    if twice { Err(Fault::new("lcm::manifest::gpu", "the list names the same GPU twice", "these")) } else { Ok(()) }
}

/// Dependencies on other services, by name.
#[derive(Debug)]
pub(crate) enum DependsOn {
    List(Vec<Located<String>>),
    Map(NamedMap<DependencyBlock>),
}

/// Condition on another service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Dependency")]
pub(crate) struct DependencyBlock {
    /// State that the other service must have reached; for a job, the default is `service_completed_successfully`.
    #[schemars(extend("default" = "service_healthy"), example = &"service_started")]
    pub condition: Option<Located<ConditionValue>>,
    /// True if this service is restarted as well whenever lcm recreates or restarts the other service.
    #[schemars(extend("default" = false), example = true)]
    pub restart: Option<Located<bool>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Condition")]
pub(crate) enum ConditionValue {
    /// The other service is running.
    #[serde(rename = "service_started")]
    Started,
    /// The other service is running and healthy.
    #[serde(rename = "service_healthy")]
    Healthy,
    /// The other service is a job (`job: true`), and has ended with exit code 0 under its present spec.
    #[serde(rename = "service_completed_successfully")]
    Completed,
}

impl<'de> Deserialize<'de> for DependsOn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DependsOnVisitor)
    }
}

struct DependsOnVisitor;

impl<'de> Visitor<'de> for DependsOnVisitor {
    type Value = DependsOn;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of services, or a map of services and conditions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<DependsOn, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = items.next_element()? {
            names.push(name);
        }
        Ok(DependsOn::List(names))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<DependsOn, A::Error> {
        NamedMap::deserialize(MapAccessDeserializer::new(map)).map(DependsOn::Map)
    }
}

impl JsonSchema for GpuValue {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Gpu".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let id = generator.subschema_for::<GpuIdValue>();
        json_schema!({
            "anyOf": [
                { "enum": ["auto", "none"] },
                id,
                { "type": "array", "minItems": 1, "uniqueItems": true, "items": id },
                { "allOf": [generator.subschema_for::<GpuChoice>()], "minProperties": 1, "maxProperties": 2 },
            ]
        })
    }
}

impl JsonSchema for GpuIdValue {
    fn schema_name() -> Cow<'static, str> {
        "GpuId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A GPU, by its index or its UUID.",
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": r"^(GPU|MIG)-.+$|^[0-9]+$|\$" },
            ],
            "examples": [0, "GPU-8f1e2a34-1111-2222-3333-444455556666"],
        })
    }
}

impl JsonSchema for DependsOn {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "DependsOn".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "array", "items": { "type": "string" } },
                generator.subschema_for::<NamedMap<DependencyBlock>>(),
            ]
        })
    }
}
