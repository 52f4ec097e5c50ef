//! Compose files of well-known stacks, key by key: each key of the original is in the manifest, under the name that the
//! table has for it, or in a note at its service. No key is lost in silence.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::lcm::Lcm;

/// Place of a key of Compose in the manifest.
#[derive(Clone, Copy)]
enum Where {
    /// At this path of the service, or of the manifest if it begins with `/`. `{}` is the last part of the key; `|`
    /// separates two places.
    Kept(&'static str),
    /// Named in a comment.
    Noted(&'static str),
    /// At the path or in the comment, by the keys that a container has in this lcm, or by its value.
    Either(&'static str, &'static str),
    /// Not needed, for this reason.
    Dropped(&'static str),
}
use Where::{Dropped, Either, Kept, Noted};

/// Keys of services, by their path; the first one that fits counts, with all that is below it.
const SERVICE: &[(&str, Where)] = &[
    ("image", Kept("docker.image")),
    ("build", Noted("`build`")),
    ("command", Kept("docker.command")),
    ("entrypoint", Kept("docker.entrypoint")),
    ("environment.NVIDIA_VISIBLE_DEVICES", Kept("gpu")),
    ("environment.NVIDIA_DRIVER_CAPABILITIES", Either("docker.environment.{}", "NVIDIA_DRIVER_CAPABILITIES")),
    ("environment.*", Kept("docker.environment.{}")),
    ("env_file.required", Noted("optional")),
    ("env_file", Kept("docker.env_file")),
    ("ports.mode", Noted("ports")),
    ("ports", Kept("docker.ports")),
    ("volumes", Kept("docker.volumes")),
    ("secrets.mode", Noted("mode")),
    ("secrets", Kept("docker.volumes")),
    ("configs", Kept("docker.volumes")),
    ("networks.*", Kept("docker.networks.{}.aliases")),
    ("network_mode", Kept("docker.networks")),
    ("depends_on.*.required", Noted("required: false")),
    ("depends_on.*", Either("depends_on.{}", "it depends on `{}`, which is not in this file")),
    ("healthcheck.start_interval", Noted("healthcheck.start_interval")),
    ("healthcheck.disable", Dropped("it is false")),
    ("healthcheck.*", Kept("docker.healthcheck.{}")),
    ("deploy.resources.reservations.devices", Kept("gpu")),
    ("deploy.resources.reservations.memory", Noted("deploy.resources.reservations.memory")),
    ("deploy.resources.limits.memory", Either("docker.mem_limit", "deploy.resources.limits.memory")),
    ("deploy.resources.limits.cpus", Either("docker.cpus", "deploy.resources.limits.cpus")),
    ("deploy.replicas", Noted("deploy.replicas")),
    ("gpus", Kept("gpu")),
    ("runtime", Kept("gpu")),
    ("devices", Either("docker.devices|gpu", "device")),
    ("restart", Either("job", "restart")),
    ("container_name", Either("docker.container_name", "container_name")),
    ("profiles", Kept("/modes")),
    ("shm_size", Kept("docker.shm_size")),
    ("ipc", Kept("docker.ipc")),
    ("ulimits.*", Kept("docker.ulimits.{}")),
    ("user", Kept("docker.user")),
    ("labels.*", Kept("docker.labels.{}")),
    ("pull_policy", Either("docker.pull_policy", "pull_policy")),
    ("stop_signal", Kept("stop.signal")),
    ("stop_grace_period", Kept("stop.grace")),
    ("expose", Noted("expose")),
    ("links", Noted("links")),
    ("extends", Either("docker.image", "extends")),
    ("extra_hosts", Either("docker.extra_hosts", "extra_hosts")),
    ("*", Either("docker.{}", "{}")),
];

/// Keys at the top of a Compose file.
const TOP: &[(&str, Where)] = &[
    ("version", Dropped("Compose ignores it too")),
    ("name", Kept("/name")),
    ("x-*", Dropped("its parts are where an alias refers to them")),
    ("include", Dropped("its services are there")),
    ("volumes.*.driver", Noted("driver")),
    ("volumes.*", Noted("{}")),
    ("networks.*.*", Kept("/networks.{parent}.{}")),
    ("networks.*", Kept("/networks.{}")),
    ("secrets", Dropped("each is at the services that mount it")),
    ("configs", Dropped("each is at the services that mount it")),
];

/// Stack, and what its table must also have: paths of the manifest with their value, or texts of notes.
struct Stack {
    name: &'static str,
    values: &'static [(&'static str, &'static str)],
    notes: &'static [&'static str],
}

const STACKS: &[Stack] = &[
    Stack {
        name: "open-webui",
        values: &[("services.open-webui.docker.networks.default.aliases", r#"["open-webui"]"#)],
        notes: &[],
    },
    Stack { name: "comfyui", values: &[], notes: &[] },
    Stack { name: "frigate", values: &[], notes: &[] },
    Stack {
        name: "immich",
        values: &[("services.database.docker.environment.POSTGRES_PASSWORD.env", r#""DB_PASSWORD""#)],
        notes: &[],
    },
    Stack { name: "inference", values: &[], notes: &[] },
    Stack { name: "localai", values: &[], notes: &[] },
    Stack { name: "speech", values: &[], notes: &[] },
    Stack { name: "sd-webui", values: &[("mode", r#""auto-profile""#)], notes: &[] },
    Stack {
        name: "dify",
        values: &[
            ("services.init_permissions.job", "true"),
            ("services.api.depends_on.init_permissions.condition", r#""service_completed_successfully""#),
            ("services.api.docker.environment.DB_HOST", r#""${DB_HOST:-db}""#),
            ("services.api.docker.environment.SECRET_KEY.env", r#""SECRET_KEY""#),
            ("services.api.docker.image", r#""langgenius/dify-api:${DIFY_TAG:?set DIFY_TAG}""#),
            ("services.web.docker.environment.CONSOLE_API_URL", r#""${CONSOLE_API_URL:-}""#),
            (
                "services.redis.docker.command",
                r#""redis-server --requirepass ${REDIS_PASSWORD:?set it: its default may be a secret and is not copied}""#,
            ),
            ("services.weaviate.docker.container_name", r#""vector-store""#),
            ("services.qdrant.docker.networks.default.aliases", r#"["qdrant","vector-store"]"#),
            ("networks.ssrf_proxy_network", r#"{"driver":"bridge","internal":true}"#),
            ("networks.default", "{}"),
            (
                "modes.qdrant.services",
                r#"["init_permissions","api","worker","web","db","redis","ssrf_proxy","qdrant"]"#,
            ),
        ],
        notes: &["required, as in Compose: set these in lcm's environment: DIFY_TAG"],
    },
    Stack {
        name: "langfuse",
        values: &[
            ("services.langfuse-web.docker.environment.TELEMETRY_ENABLED", r#""${TELEMETRY_ENABLED:-true}""#),
            ("services.langfuse-web.docker.environment.DATABASE_URL.env", r#""DATABASE_URL""#),
            (
                "services.langfuse-web.docker.environment.LANGFUSE_INIT_USER_PASSWORD",
                r#""${LANGFUSE_INIT_USER_PASSWORD:-}""#,
            ),
            ("services.langfuse-web.depends_on.redis.condition", r#""service_healthy""#),
        ],
        notes: &["volumes.langfuse_minio_data: `driver` is not translated"],
    },
    Stack {
        name: "librechat",
        values: &[
            ("services.api.docker.ports", r#"["${PORT-3080}:${PORT-3080}"]"#),
            ("services.api.docker.environment.OPENAI_API_KEY", r#""${OPENAI_API_KEY:-}""#),
            ("services.api.docker.environment.JWT_SECRET.env", r#""JWT_SECRET""#),
            ("services.meilisearch.docker.environment.MEILI_MASTER_KEY.env", r#""MEILI_MASTER_KEY""#),
            ("services.vectordb.docker.volumes", r#"["librechat_pg:/var/lib/postgresql/data"]"#),
            (
                "services.api.docker.volumes",
                r#"["./jwt.pem:/run/secrets/jwt_key:ro","./oauth.json:/run/secrets/oauth.json:ro","./.env:/app/.env","./images:/app/client/public/images"]"#,
            ),
        ],
        notes: &["the mount of type tmpfs at /app/cache", "`links` are not needed"],
    },
    Stack {
        name: "n8n",
        values: &[
            ("mode", r#""gpu-nvidia""#),
            ("services.n8n-import.job", "true"),
            ("services.n8n-worker.docker.command", r#""worker""#),
            ("services.n8n-worker.docker.ports", r#"["${N8N_PORT:-5678}:5678"]"#),
            ("services.n8n-worker.depends_on.n8n-import.condition", r#""service_completed_successfully""#),
            ("services.n8n.docker.environment.N8N_ENCRYPTION_KEY.env", r#""N8N_ENCRYPTION_KEY""#),
            ("services.n8n.docker.environment.DB_POSTGRESDB_USER", r#""${POSTGRES_USER-root}""#),
            ("services.postgres.docker.environment.POSTGRES_USER", r#""${POSTGRES_USER-root}""#),
            ("services.ollama-cpu.docker.container_name", r#""ollama""#),
            ("services.ollama-gpu.docker.networks.demo.aliases", r#"["ollama-gpu","llm","ollama"]"#),
        ],
        notes: &["read_only", "sysctls"],
    },
    Stack {
        name: "milvus",
        values: &[
            ("name", r#""milvus""#),
            ("networks.default.name", r#""milvus""#),
            ("networks.default.ipam", r#"{"config":[{"subnet":"172.28.0.0/16"}]}"#),
            ("services.standalone.gpu", "[0]"),
            ("services.standalone.stop", r#"{"grace":"1m","signal":"INT"}"#),
            ("services.etcd.docker.volumes", r#"["${DOCKER_VOLUME_DIRECTORY:-.}/volumes/etcd:/etcd"]"#),
        ],
        notes: &["pid"],
    },
    Stack {
        name: "wyoming",
        values: &[
            ("services.piper.docker.image", r#""rhasspy/wyoming-piper:${PIPER_TAG-1.6}""#),
            ("services.piper.docker.volumes", r#"["./parts/voices:/data"]"#),
            ("services.openwakeword.docker.networks", r#"["host"]"#),
            ("services.openwakeword.docker.shm_size", r#""64MiB""#),
        ],
        notes: &["tty"],
    },
];

#[test]
fn every_key_of_every_stack_is_kept_or_noted() {
    let mut lost = Vec::new();
    for stack in STACKS {
        lost.extend(check(stack).into_iter().map(|fault| format!("{}: {fault}", stack.name)));
    }
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

/// Returns the faults of one stack.
fn check(stack: &Stack) -> Vec<String> {
    let folder = TempDir::with_prefix("lcm-init-").expect("a folder");
    let given = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/init/compose");
    let text = fs::read_to_string(given.join(format!("{}.yaml", stack.name))).expect("a stack");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    write("given.yaml", &text);
    if let Ok(text) = fs::read_to_string(given.join(format!("{}.env", stack.name))) {
        write(".env", &text);
    }
    fs::create_dir(folder.path().join("parts")).expect("a folder");
    write("parts/piper.yaml", &fs::read_to_string(given.join("wyoming.part.yaml")).expect("a part"));
    write("parts/piper.env", "PIPER_TAG=1.6\n");
    let init = Lcm::new(folder.path()).args(&["init", "--from", "given.yaml", "-"]).run().code(0);
    let manifest = init.stdout.clone();
    let original: Value = serde_saphyr::from_str(&text).expect("a Compose file");
    let written: Value = serde_saphyr::from_str(&manifest).unwrap_or_else(|error| panic!("{error}\n{manifest}"));
    let mut faults = Vec::new();
    if init.told().contains("s3cr3t") {
        faults.push("a secret was copied".to_owned());
    }
    for (path, value) in stack.values {
        let found = at(&written, path).map(Value::to_string);
        if found.as_deref() != Some(*value) {
            faults.push(format!("{path}: {found:?}, expected {value}"));
        }
    }
    let comments = comments_of(&manifest);
    faults.extend(stack.notes.iter().filter(|note| !comments.contains(**note)).map(|note| format!("no note: {note}")));
    for (key, value) in original.as_object().into_iter().flatten() {
        if key == "services" {
            for (service, node) in value.as_object().into_iter().flatten() {
                let base = written.get("services").and_then(|services| services.get(service)).cloned();
                let Some(base) = base else {
                    faults.push(format!("service {service} is not there"));
                    continue;
                };
                let notes = comments_of(section(&manifest, service));
                walk(node, &mut Vec::new(), &mut |path| {
                    sought(SERVICE, path, &(&base, &written, &notes, service), &mut faults);
                });
            }
        } else {
            walk(value, &mut vec![key.clone()], &mut |path| {
                sought(TOP, path, &(&written, &written, &comments, ""), &mut faults);
            });
        }
    }
    faults
}

/// Calls the function with the path of each key, and of each value that is no map; items of a list count as the list.
fn walk(node: &Value, path: &mut Vec<String>, visit: &mut dyn FnMut(&[String])) {
    match node {
        Value::Object(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                path.push(key.clone());
                walk(value, path, visit);
                path.pop();
            }
        }
        // An empty map or list has no setting.
        Value::Object(_) => {}
        Value::Array(items) if items.is_empty() => {}
        Value::Array(items) => {
            for item in items {
                let name = item.as_str().map(|text| text.split(['=', ':']).next().unwrap_or_default().to_owned());
                let is_pairs = path
                    .last()
                    .is_some_and(|last| ["environment", "labels", "depends_on", "networks"].contains(&last.as_str()));
                match name.filter(|_| is_pairs) {
                    Some(name) => {
                        path.push(name);
                        visit(path);
                        path.pop();
                    }
                    None => walk(item, path, visit),
                }
            }
        }
        _ => visit(path),
    }
}

/// Looks a key up in the table, and its place in the manifest.
fn sought(
    table: &[(&str, Where)],
    path: &[String],
    (base, root, notes, service): &(&Value, &Value, &String, &str),
    faults: &mut Vec<String>,
) {
    let shown = path.join(".");
    let Some((pattern, place)) = table.iter().find(|(pattern, _)| fits(pattern, path)) else {
        return faults.push(format!("{service} {shown}: not in the table"));
    };
    let depth = pattern.split('.').count();
    let (last, parent) = (&path[depth - 1], path.get(depth.wrapping_sub(2)).map_or("", String::as_str));
    let fill = |text: &str| text.replace("{}", &last.replace('.', "\u{1}")).replace("{parent}", parent);
    let is_there = |place: &str| match place.strip_prefix('/') {
        Some(place) => at(root, &fill(place)).is_some(),
        None => at(base, &fill(place)).is_some(),
    };
    let kept = |places: &str| places.split('|').any(is_there);
    let noted = |note: &str| notes.contains(&fill(note).replace('\u{1}', "."));
    let found = match place {
        Kept(place) => kept(place),
        // A volume of the file without settings is nothing to note.
        Noted("{}") => true,
        Noted(note) => noted(note),
        Either(place, note) => kept(place) || noted(note),
        Dropped(reason) => !reason.is_empty(),
    };
    if !found {
        faults.push(format!("{service} {shown}: neither in the manifest nor in a note"));
    }
}

/// Returns true if the pattern is the path or leads to it; `*` is any key, `x-*` any with this beginning.
fn fits(pattern: &str, path: &[String]) -> bool {
    let parts: Vec<&str> = pattern.split('.').collect();
    parts.len() <= path.len()
        && parts
            .iter()
            .zip(path)
            .all(|(part, key)| part.strip_suffix('*').map_or(part == key, |start| key.starts_with(start)))
}

fn at<'a>(node: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(node, |node, key| node.get(key.replace('\u{1}', ".")))
}

/// Returns the lines of one service.
fn section<'a>(manifest: &'a str, service: &str) -> &'a str {
    let start = manifest.find(&format!("\n  {service}:")).map_or(0, |start| start + 1);
    let rest = &manifest[start..];
    let next = rest.match_indices('\n').map(|(end, _)| end).find(|end| {
        let line = &rest[end + 1..];
        !line.starts_with("   ") && !line.starts_with('\n') && !line.is_empty()
    });
    &rest[..next.unwrap_or(rest.len())]
}

/// Returns all comments as one text.
fn comments_of(text: &str) -> String {
    let comments: Vec<&str> =
        text.lines().filter_map(|line| line.split_once("# ").map(|(_, comment)| comment)).collect();
    comments.join(" ")
}

#[test]
fn the_table_finds_a_lost_key() {
    let (mut faults, empty) = (Vec::new(), Value::Null);
    let path = ["environment".to_owned(), "A".to_owned()];
    sought(SERVICE, &path, &(&empty, &empty, &String::new(), "web"), &mut faults);
    sought(TOP, &["unheard".to_owned()], &(&empty, &empty, &String::new(), ""), &mut faults);
    let found: BTreeSet<&str> = faults.iter().map(String::as_str).collect();
    let wanted = ["web environment.A: neither in the manifest nor in a note", " unheard: not in the table"];
    assert_eq!(found, BTreeSet::from(wanted));
}
