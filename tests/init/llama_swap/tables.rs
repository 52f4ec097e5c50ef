//! Configurations of llama-swap, and where each of their keys went.

/// Place that a key of the original went to.
pub(crate) enum Went {
    /// A value of the manifest, by its pointer.
    To(&'static str, &'static str),
    /// A note, which is a comment in the manifest too.
    Noted(&'static str),
}
use Went::{Noted, To};

/// Paths of the original, and where they went.
pub(crate) type Table = &'static [(&'static str, Went)];

/// Models without groups: one at a time.
pub(crate) const ALONE: &str = r#"
healthCheckTimeout: 500
logLevel: warn
startPort: 10001
globalTTL: 600
includeAliasesInList: true
macros:
  ctx: 8192
  server: /opt/llama/llama-server --port ${PORT} --ctx-size ${ctx}
  spare: "--mlock"
apiKeys: ["sk-in-clear-0001"]
models:
  coder:
    name: Coder
    description: Writes code
    cmd: |
      ${server} \
      # ${spare} is off
      -m ${env.MODELS}/coder.gguf
    env: ["CUDA_VISIBLE_DEVICES=1", "CACHE=${env.HOME}/cache", "HF_TOKEN=${env.HF_TOKEN}"]
    ttl: 300
    aliases: [gpt-4o-mini]
    useModelName: qwen
    filters: { stripParams: temperature, setParams: { top_p: 0.9 } }
    unlisted: true
    concurrencyLimit: 4
    metadata: { port: "${PORT}" }
    unloadTimeout: 30
  embed:
    macros: { ctx: 512, idle: x }
    cmd: ${server} -m /m/embed.gguf --embedding
    checkEndpoint: none
    env: ["CUDA_VISIBLE_DEVICES="]
    futureKey: 1
"#;

/// Table of [`ALONE`].
pub(crate) const ALONE_TABLE: Table = &[
    ("/healthCheckTimeout", To("/services/coder/health/timeout", r#""500s""#)),
    ("/logLevel", Noted("settings of llama-swap itself, so not translated: logLevel, includeAliasesInList")),
    ("/includeAliasesInList", Noted("not translated: logLevel, includeAliasesInList")),
    ("/startPort", To("/services/coder/health/http", r#""http://localhost:10001/health""#)),
    ("/globalTTL", Noted("`globalTTL: 600`: lcm unloads no model when it is idle")),
    (
        "/macros/ctx",
        To(
            "/services/coder/process/command",
            r#"["/opt/llama/llama-server", "--port", "10001", "--ctx-size", "8192", "-m", "${MODELS}/coder.gguf"]"#,
        ),
    ),
    ("/macros/server", Noted("taken from lcm's environment instead of llama-swap's: HF_TOKEN, HOME, MODELS")),
    ("/macros/spare", Noted("no model uses these: spare")),
    ("/apiKeys", Noted("apiKeys: not translated: they guard llama-swap")),
    ("/models/coder/name", To("/services/coder/description", r#""Coder: Writes code""#)),
    ("/models/coder/description", To("/services/coder/description", r#""Coder: Writes code""#)),
    ("/models/coder/cmd", To("/services/coder/process/command/6", r#""${MODELS}/coder.gguf""#)),
    (
        "/models/coder/env",
        To("/services/coder/process/environment", r#"{ "CACHE": "${HOME}/cache", "HF_TOKEN": { "env": "HF_TOKEN" } }"#),
    ),
    ("/models/coder/env", To("/services/coder/gpu", "[1]")),
    (
        "/models/coder/ttl",
        Noted("`ttl: 300`: lcm unloads no model when it is idle; switch the mode or run `lcm stop coder`"),
    ),
    (
        "/models/coder/aliases",
        Noted("of the proxy, so not translated: aliases, useModelName, filters, unlisted, concurrencyLimit, metadata"),
    ),
    ("/models/coder/useModelName", Noted("aliases, useModelName, filters")),
    ("/models/coder/filters", Noted("aliases, useModelName, filters")),
    ("/models/coder/unlisted", Noted("filters, unlisted, concurrencyLimit, metadata")),
    ("/models/coder/concurrencyLimit", Noted("filters, unlisted, concurrencyLimit, metadata")),
    ("/models/coder/metadata", Noted("filters, unlisted, concurrencyLimit, metadata")),
    ("/models/coder/unloadTimeout", To("/services/coder/stop", r#"{ "grace": "30s" }"#)),
    (
        "/models/embed/macros/ctx",
        To(
            "/services/embed/process/command",
            r#"["/opt/llama/llama-server", "--port", "10002", "--ctx-size", "512", "-m", "/m/embed.gguf", "--embedding"]"#,
        ),
    ),
    ("/models/embed/macros/idle", Noted("macros of its own that it does not use: idle")),
    ("/models/embed/cmd", To("/services/embed/process/command/7", r#""--embedding""#)),
    ("/models/embed/checkEndpoint", Noted("`checkEndpoint: none`: it counts as healthy while it is alive")),
    ("/models/embed/env", To("/services/embed/gpu", r#""none""#)),
    ("/models/embed/futureKey", Noted("no equivalent in a manifest, so not translated: futureKey")),
];

/// Groups at the top, as in older files.
pub(crate) const GROUPS: &str = "
models:
  big-a: { cmd: 'srv-a --port ${PORT}' }
  big-b: { cmd: 'srv-b --port ${PORT}' }
  embed: { cmd: 'srv-e --port ${PORT}' }
  rerank: { cmd: 'srv-r --port ${PORT}' }
  tts: { cmd: 'srv-t --port ${PORT}' }
  stt: { cmd: 'srv-s --port ${PORT}' }
  draft: { cmd: 'srv-d --port ${PORT}' }
  target: { cmd: 'srv-g --port ${PORT}' }
  loner: { cmd: 'srv-l --port ${PORT}' }
groups:
  chat: { members: [big-a, big-b] }
  voices: { swap: true, exclusive: false, members: [tts, stt] }
  forever: { persistent: true, swap: false, exclusive: false, members: [embed, rerank] }
  pair: { swap: false, members: [draft, target], color: red }
hooks:
  on_startup:
    preload: [big-b, embed]
";

/// Table of [`GROUPS`].
pub(crate) const GROUPS_TABLE: Table = &[
    ("/models", Noted("lcm is no proxy")),
    (
        "/groups/chat",
        To(
            "/modes/big-a",
            r#"{ "description": "big-a, from the group chat", "services": ["big-a", "embed", "rerank"] }"#,
        ),
    ),
    (
        "/groups/voices",
        To(
            "/modes/tts",
            r#"{ "description": "tts, from the group voices", "services": ["tts", "embed", "rerank"], "stop": ["stt"], "others": "keep" }"#,
        ),
    ),
    (
        "/groups/voices",
        To(
            "/modes/stt",
            r#"{ "description": "stt, from the group voices", "services": ["stt", "embed", "rerank"], "stop": ["tts"], "others": "keep" }"#,
        ),
    ),
    (
        "/groups/forever",
        To(
            "/modes/forever",
            r#"{ "description": "The group forever, all at once", "services": ["embed", "rerank"], "others": "keep" }"#,
        ),
    ),
    ("/groups/forever/persistent", Noted("embed, rerank run in every mode, since no other group stops them")),
    (
        "/groups/pair",
        To(
            "/modes/pair",
            r#"{ "description": "The group pair, all at once", "services": ["draft", "target", "embed", "rerank"] }"#,
        ),
    ),
    (
        "/groups/pair/swap",
        Noted(
            "a mode starts all of its services at once; llama-swap starts each at its first request (groups: forever, pair)",
        ),
    ),
    ("/groups/pair/color", Noted("group pair: no equivalent in a manifest, so not translated: color")),
    ("/hooks/on_startup/preload", To("/mode", r#""big-b""#)),
];

/// Groups of the router, one of them persistent and swapping.
pub(crate) const ROUTER: &str = "
models:
  a: { cmd: 'srv-a --port ${PORT}' }
  b: { cmd: 'srv-b --port ${PORT}', aliases: [nick] }
  v: { cmd: 'srv-v --port ${PORT}' }
  w: { cmd: 'srv-w --port ${PORT}' }
routing:
  scheduler: { use: fifo, settings: { fifo: { priority: { a: 10 } } } }
  router:
    use: group
    settings:
      groups:
        llm: { members: [a, b] }
        voices: { persistent: true, exclusive: false, members: [v, w] }
      matrix: { vars: { x: a }, sets: { s: x } }
hooks:
  on_startup: { preload: [nick], warm: true }
  on_shutdown: [x]
";

/// Table of [`ROUTER`].
pub(crate) const ROUTER_TABLE: Table = &[
    ("/models", Noted("lcm is no proxy")),
    ("/models/b/aliases", Noted("settings of the proxy, so not translated: aliases")),
    (
        "/routing/scheduler",
        Noted(
            "no equivalent in a manifest, so not translated: hooks.on_shutdown, hooks.on_startup.warm, routing.scheduler",
        ),
    ),
    ("/routing/router/use", Noted("`matrix` has no effect without `use: matrix`, and is not translated")),
    ("/routing/router/settings/matrix", Noted("`matrix` has no effect without `use: matrix`")),
    (
        "/routing/router/settings/groups/llm",
        To(
            "/modes/a",
            r#"{ "description": "a, from the group llm", "services": ["a"], "stop": ["b"], "others": "keep" }"#,
        ),
    ),
    (
        "/routing/router/settings/groups/voices",
        To(
            "/modes/v",
            r#"{ "description": "v, from the group voices", "services": ["v"], "stop": ["w"], "others": "keep" }"#,
        ),
    ),
    ("/hooks/on_startup/preload", To("/mode", r#""b""#)),
    ("/hooks/on_startup/warm", Noted("hooks.on_startup.warm")),
    ("/hooks/on_shutdown", Noted("hooks.on_shutdown")),
];

/// Sets of the matrix.
pub(crate) const MATRIX: &str = r#"
models:
  gemma: { cmd: "srv-g --port ${PORT}" }
  qwen: { cmd: "srv-q --port ${PORT}" }
  voxtral: { cmd: "srv-v --port ${PORT}" }
  llama-70b: { cmd: "srv-l --port ${PORT}" }
  alone: { cmd: "srv-a --port ${PORT}" }
routing:
  router:
    use: matrix
    settings:
      matrix:
        vars: { g: gemma, q: qwen, v: voxtral }
        evict_costs: { v: 50 }
        sets:
          standard: "(g | q) & v"
          full: llama-70b
          nested: "+standard & qwen"
          broken: "g & (q"
"#;

/// Table of [`MATRIX`].
pub(crate) const MATRIX_TABLE: Table = &[
    ("/models", Noted("lcm is no proxy")),
    (
        "/routing/router/use",
        Noted("matrix: a mode starts all models of a set; llama-swap starts only the requested one"),
    ),
    ("/routing/router/settings/matrix/vars", To("/modes/standard-gemma/services", r#"["gemma", "voxtral"]"#)),
    ("/routing/router/settings/matrix/evict_costs", Noted("so these are not translated: evict_costs")),
    (
        "/routing/router/settings/matrix/sets/standard",
        To(
            "/modes/standard-qwen",
            r#"{ "description": "The set standard: qwen, voxtral", "services": ["qwen", "voxtral"] }"#,
        ),
    ),
    ("/routing/router/settings/matrix/sets/full", To("/modes/full/services", r#"["llama-70b"]"#)),
    (
        "/routing/router/settings/matrix/sets/nested",
        To("/modes/nested-gemma/services", r#"["gemma", "qwen", "voxtral"]"#),
    ),
    ("/routing/router/settings/matrix/sets/nested", To("/modes/nested-2/services", r#"["qwen", "voxtral"]"#)),
    (
        "/routing/router/settings/matrix/sets/broken",
        Noted("set broken: it can't be expanded: a parenthesis is not closed"),
    ),
];

/// Commands of container engines.
pub(crate) const ENGINES: &str = r#"
unloadTimeout: 40
models:
  vllm:
    proxy: "http://127.0.0.1:${PORT}"
    cmd: |
      docker run --name ${MODEL_ID} --rm -it -p ${PORT}:8000
      --gpus all --ipc=host --shm-size 8g -e HF_TOKEN=${env.HF_TOKEN} -e TZ
      -v ${env.HOME}/models:/models:ro --network llm --blkio-weight 10
      vllm/vllm-openai:v0.10 --model 'Qwen/Qwen3 8B'
    cmdStop: docker stop -t 20 ${MODEL_ID}
    checkEndpoint: /v1/models
    env: ["TZ=UTC", "DEBUG=1"]
  pod:
    cmd: podman run -p ${PORT}:80 --device nvidia.com/gpu=1 localhost/tts
    cmdStop: podman stop pod
  old:
    proxy: http://localhost:9000
    cmd: docker start -a old-llm
    cmdStop: docker kill --signal INT old-llm
  script:
    proxy: http://localhost:9001
    cmd: sh -c 'docker pull x/y && docker run -p 9001:80 x/y'
    cmdStop: docker stop script-c
"#;

/// Table of [`ENGINES`].
pub(crate) const ENGINES_TABLE: Table = &[
    ("/unloadTimeout", To("/services/pod/stop", r#"{ "grace": "40s" }"#)),
    ("/models/vllm/proxy", To("/services/vllm/health/http", r#""http://127.0.0.1:5801/v1/models""#)),
    ("/models/vllm/checkEndpoint", To("/services/vllm/health/http", r#""http://127.0.0.1:5801/v1/models""#)),
    ("/models/vllm/cmd", To("/services/vllm/docker/image", r#""vllm/vllm-openai:v0.10""#)),
    ("/models/vllm/cmd", To("/services/vllm/docker/container_name", r#""vllm""#)),
    ("/models/vllm/cmd", To("/services/vllm/docker/command", r#"["--model", "Qwen/Qwen3 8B"]"#)),
    ("/models/vllm/cmd", To("/services/vllm/docker/ports", r#"["5801:8000"]"#)),
    ("/models/vllm/cmd", To("/services/vllm/docker/volumes", r#"["${HOME}/models:/models:ro"]"#)),
    ("/models/vllm/cmd", To("/services/vllm/docker/ipc", r#""host""#)),
    ("/models/vllm/cmd", To("/services/vllm/docker/shm_size", r#""8GiB""#)),
    ("/models/vllm/cmd", To("/services/vllm/docker/networks", r#"["llm"]"#)),
    ("/models/vllm/cmd", To("/services/vllm/gpu", r#""auto""#)),
    ("/models/vllm/cmd", Noted("`--rm`: lcm keeps the stopped container and starts it again")),
    ("/models/vllm/cmd", Noted("without an effect here: -i, -t")),
    ("/models/vllm/cmd", Noted("lcm creates no network: if `docker network inspect llm` fails")),
    ("/models/vllm/cmd", Noted("without a key in a manifest, so not translated: --blkio-weight")),
    ("/models/vllm/cmdStop", To("/services/vllm/stop", r#"{ "grace": "20s" }"#)),
    ("/models/vllm/cmdStop", Noted("`cmdStop` is not needed: lcm stops its container itself")),
    (
        "/models/vllm/env",
        To("/services/vllm/docker/environment", r#"{ "HF_TOKEN": { "env": "HF_TOKEN" }, "TZ": "UTC" }"#),
    ),
    ("/models/vllm/env", Noted("`env` is for the command, not for the container, so not translated: DEBUG")),
    ("/models/pod/cmd", To("/services/pod/docker", r#"{ "image": "localhost/tts", "ports": ["5800:80"] }"#)),
    ("/models/pod/cmd", To("/services/pod/gpu", "[1]")),
    ("/models/pod/cmd", Noted("it is written for Podman, and lcm runs it by the engine's API")),
    ("/models/pod/cmdStop", Noted("`cmdStop` is not needed")),
    ("/models/old/proxy", To("/services/old/health/http", r#""http://localhost:9000/health""#)),
    ("/models/old/cmd", To("/services/old/docker", r#"{ "container": "old-llm" }"#)),
    ("/models/old/cmd", Noted("`docker start`: lcm starts and stops this container, and never creates it")),
    ("/models/old/cmdStop", To("/services/old/stop", r#"{ "signal": "INT", "grace": "40s" }"#)),
    ("/models/script/proxy", To("/services/script/health/http", r#""http://localhost:9001/health""#)),
    (
        "/models/script/cmd",
        To("/services/script/process/command", r#"["sh", "-c", "docker pull x/y && docker run -p 9001:80 x/y"]"#),
    ),
    ("/models/script/cmd", Noted("its script starts a container, which lcm can't measure")),
    (
        "/models/script/cmdStop",
        To("/services/script/stop", r#"{ "exec": ["docker", "stop", "script-c"], "grace": "40s" }"#),
    ),
];

/// Faults, and settings of the proxy.
pub(crate) const FAULTS: &str = r#"
logToStdout: both
captureBuffer: 5
performance: { every: 5s }
store: { path: /var/s.db }
ui: { activity: { session_id: [X] } }
upstream: { ignorePaths: [x] }
peers: { other: { proxy: "http://10.0.0.2:8080", apiKey: s3cr3t-of-a-peer, models: [z] } }
profiles: { night: { pins: { a: b } } }
selectors: { any: { targets: [tls, lost] } }
custom: 1
startPort: ${first}
healthCheckTimeout: soon
macros: { PORT: 1, list: [x], loop: "${loop}x", first: 7000, brief: 12 }
models:
  tls: { cmd: "srv --port ${PORT} ${missing} ${loop}", proxy: "https://localhost:${PORT}", cmdStop: "kill -INT ${PID}" }
  lost: { cmd: srv, env: [ODD, A=1], ttl: "${brief}", sendLoadingState: true, timeouts: { connect: 5 }, capabilities: { tools: true } }
  pass: { cmd: "srv --api-key s3cr3t-in-cmd", proxy: "http://me:s3cr3t-in-proxy@localhost:9", cmdStop: "stopper ${PID}" }
  gone: { cmd: "srv 'unclosed" }
  idle: { proxy: "http://localhost:1" }
  plain: { cmd: "env CUDA_VISIBLE_DEVICES=0 srv", proxy: "http://localhost:7", cmdStop: "curl -X POST localhost:7/stop" }
groups:
  g: { members: [tls, nobody, tls] }
  h: { members: [gone] }
matrix: { sets: { s: tls } }
hooks: { on_startup: { preload: [gone] } }
"#;

/// Table of [`FAULTS`].
pub(crate) const FAULTS_TABLE: Table = &[
    ("/logToStdout", Noted("not translated: logToStdout, captureBuffer, performance, store, ui, upstream")),
    ("/captureBuffer", Noted("captureBuffer, performance")),
    ("/performance", Noted("captureBuffer, performance")),
    ("/store", Noted("store, ui, upstream")),
    ("/ui", Noted("store, ui, upstream")),
    ("/upstream", Noted("store, ui, upstream")),
    ("/peers", Noted("peers: not translated: models on other hosts")),
    ("/profiles", Noted("profiles: not translated: they rewrite")),
    ("/selectors", Noted("selectors: not translated: they choose")),
    ("/custom", Noted("no equivalent in a manifest, so not translated: custom")),
    ("/startPort", To("/services/tls/process/command/2", r#""7000""#)),
    ("/healthCheckTimeout", Noted("not a number, so the default counts: healthCheckTimeout")),
    ("/macros/first", To("/services/tls/process/command/2", r#""7000""#)),
    ("/macros/brief", Noted("`ttl: 12`: lcm unloads no model when it is idle")),
    ("/models/lost/env", Noted("an item of `env` is not `NAME=value`: left out")),
    ("/models/lost/env", To("/services/lost/process/environment", r#"{ "A": "1" }"#)),
    ("/models/lost/ttl", Noted("`ttl: 12`: lcm unloads no model when it is idle")),
    ("/macros/PORT", Noted("macros: llama-swap refuses these, so they are not used: PORT, list")),
    ("/macros/list", Noted("so they are not used: PORT, list")),
    ("/macros/loop", Noted("macros that the file does not define, or that refer to themselves: loop, missing")),
    ("/models/tls/cmd", Noted("refer to themselves: loop, missing")),
    ("/models/tls/proxy", Noted("its proxy is not plain HTTP, which lcm does not probe: write a `health:`")),
    ("/models/tls/cmdStop", To("/services/tls/stop", r#"{ "signal": "INT" }"#)),
    ("/models/lost/cmd", To("/services/lost/process/command", r#"["srv"]"#)),
    ("/models/lost/cmd", Noted("`proxy` has `${PORT}` and `cmd` has not, which llama-swap refuses: write a `health:`")),
    ("/models/lost", Noted("settings of the proxy, so not translated: sendLoadingState, timeouts, capabilities")),
    ("/models/pass/cmd", To("/services/pass/process/command", r#"["srv", "--api-key", "SECRET-LEFT-OUT"]"#)),
    ("/models/pass/proxy", Noted("its proxy contains a password, which was not copied")),
    ("/models/pass/cmdStop", Noted("`cmdStop` uses its pid, which lcm does not pass")),
    ("/models/gone/cmd", Noted("gone: its cmd can't be split into words: left out")),
    ("/models/idle/proxy", Noted("idle: it has no cmd: left out")),
    ("/models/plain/cmd", Noted("its command sets `CUDA_VISIBLE_DEVICES` over lcm's choice")),
    ("/models/plain/proxy", To("/services/plain/health/http", r#""http://localhost:7/health""#)),
    ("/models/plain/cmdStop", To("/services/plain/stop", r#"{ "exec": ["curl", "-X", "POST", "localhost:7/stop"] }"#)),
    ("/groups/g", Noted("group g: `nobody` is not a model of this file, or was left out")),
    ("/groups/g", Noted("`tls` is in another group, or in this one twice")),
    ("/groups/h", Noted("group h: no member of the group could be translated")),
    (
        "/matrix",
        Noted("the file has both `groups` and `matrix`, which llama-swap refuses: only `groups` is translated"),
    ),
    ("/hooks", Noted("llama-swap preloads gone, which no mode has; this is the first")),
];
