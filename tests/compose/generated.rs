//! Compose projects drawn from a seed: one to three files that are merged, a file with services to extend in a folder of
//! its own, env files and `.env`.

use std::fmt::Write as _;

use crate::Variables;

/// Names of paths in a container, services and variables: few, so that files meet in them.
const TARGETS: [&str; 3] = ["/a", "/b", "/c"];
const SERVICES: [&str; 3] = ["web", "db", "job"];
const KEYS: [&str; 5] = ["K1", "K2", "K3", "FROM_FILE", "FROM_SHELL"];

/// Generator of pseudo-random numbers (`SplitMix64`).
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.below(of.len() as u64)).unwrap_or(0)]
    }

    /// Returns some of the items, at least one, in their order.
    fn some<'a>(&mut self, of: &[&'a str]) -> Vec<&'a str> {
        let mut drawn: Vec<&str> = of.iter().copied().filter(|_| self.chance(45)).collect();
        if drawn.is_empty() {
            drawn.push(self.one(of));
        }
        drawn
    }
}

/// Project as text.
pub(crate) struct GeneratedProject {
    /// Files by path.
    pub(crate) files: Vec<(String, String)>,
    /// Files that are given, in the order of merging.
    pub(crate) given: Vec<String>,
    pub(crate) environment: Variables,
    /// Variables of `.env`.
    pub(crate) dotenv: Variables,
}

impl GeneratedProject {
    pub(crate) fn new(draw: &mut Draw) -> Self {
        let map = |pairs: &[(&str, &str)]| -> Variables {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let dotenv =
            map(&[("FROM_FILE", "file"), ("BOTH", "lost"), ("EMPTY", ""), ("PORT", "8081"), ("DB_PASSWORD", "s3cr3t")]);
        let environment = map(&[("FROM_SHELL", "shell"), ("BOTH", "won"), ("PATH", "/usr/bin:/bin")]);
        let mut files = vec![(".env".to_owned(), lines(&dotenv))];
        for path in ["one.env", "two.env", "lib/one.env", "lib/two.env"] {
            let names = draw.some(&KEYS[..3]);
            let variables = names.iter().map(|name| ((*name).to_owned(), path.replace(['/', '.'], "-")));
            files.push((path.to_owned(), lines(&variables.collect())));
        }
        let count = 1 + draw.below(3);
        let mut given = Vec::new();
        for number in 0..count {
            let mut text = "services:\n".to_owned();
            let services = if number == 0 { SERVICES.to_vec() } else { draw.some(&SERVICES) };
            for service in services {
                let _ = writeln!(text, "  {service}:");
                if number == 0 {
                    let _ = writeln!(text, "    image: img/{service}:{}", variable(draw, "x"));
                    extends(draw, &mut text, service);
                }
                body(draw, &mut text, Some(service));
                text.push_str("    stdin_open: true\n");
            }
            if number == 0 {
                text.push_str("networks: { front: {}, back: { internal: true } }\nvolumes: { data: {}, cache: {} }\n");
            } else if draw.chance(30) {
                text.push_str("networks: { front: { driver: bridge } }\n");
            }
            let name = format!("{number}.yaml");
            files.push((name.clone(), text));
            given.push(name);
        }
        let mut common = "services:\n".to_owned();
        for service in ["first", "second"] {
            let _ = writeln!(common, "  {service}:\n    image: common/{service}");
            if service == "second" {
                common.push_str("    extends: { service: first }\n");
            }
            body(draw, &mut common, None);
        }
        files.push(("lib/common.yaml".to_owned(), common));
        Self { files, given, environment, dotenv }
    }
}

fn lines(variables: &Variables) -> String {
    variables.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name}={value}");
        text
    })
}

/// Draws an `extends`, of which there are no circles, and never one of a service that depends on others.
fn extends(draw: &mut Draw, text: &mut String, service: &str) {
    match draw.below(4) {
        0 => {
            let of = draw.one(&["first", "second"]);
            let _ = writeln!(text, "    extends: {{ file: lib/common.yaml, service: {of} }}");
        }
        1 if service == "web" => text.push_str("    extends: { service: job }\n"),
        _ => {}
    }
}

/// Draws a value with or without a variable.
fn variable(draw: &mut Draw, plain: &str) -> String {
    match draw.below(12) {
        0 => "${FROM_FILE}".to_owned(),
        1 => "$BOTH-x".to_owned(),
        2 => "${EMPTY:-empty}".to_owned(),
        3 => "a${EMPTY-empty}".to_owned(),
        4 => "${NOWHERE:-${plain}}".replace("${plain}", plain),
        5 => "b${NOWHERE-d}".to_owned(),
        6 => "${FROM_SHELL:?needed}".to_owned(),
        7 => "$$FROM_FILE".to_owned(),
        8 => "c${DB_PASSWORD}".to_owned(),
        9 => "d${API_TOKEN:-s3cr3t}".to_owned(),
        10 => "e${NOWHERE}".to_owned(),
        _ => plain.to_owned(),
    }
}

/// Draws pairs, as a map or as a list.
fn pairs(draw: &mut Draw, text: &mut String, key: &str, names: &[&str], with_null: bool) {
    let as_list = draw.chance(50);
    let _ = writeln!(text, "    {key}:");
    for name in draw.some(names) {
        let value = (!with_null || draw.chance(85)).then(|| {
            let plain = draw.one(&["1", "two", "a=b", "x y"]);
            variable(draw, plain)
        });
        let _ = match (as_list, value) {
            (true, Some(value)) => writeln!(text, "      - \"{name}={value}\""),
            (true, None) => writeln!(text, "      - {name}"),
            (false, Some(value)) => writeln!(text, "      {name}: \"{value}\""),
            (false, None) => writeln!(text, "      {name}:"),
        };
    }
}

fn list(draw: &mut Draw, text: &mut String, key: &str, items: &[&str]) {
    let _ = writeln!(text, "    {key}: {:?}", draw.some(items));
}

/// Draws the attributes of a service. `name`: none for a service that others extend.
fn body(draw: &mut Draw, text: &mut String, name: Option<&str>) {
    scalars(draw, text);
    if draw.chance(60) {
        pairs(draw, text, "environment", &KEYS, true);
    }
    for key in ["labels", "sysctls"] {
        if draw.chance(30) {
            pairs(draw, text, key, &["l.one", "l.two", "l.three"], false);
        }
    }
    for (key, items) in [
        ("ports", &["80", "8080:80", "${PORT}:80", "127.0.0.1:8080:80", "8080:80/udp", "9000-9001:90-91"][..]),
        ("expose", &["80", "81"]),
        ("dns", &["1.1.1.1", "8.8.8.8"]),
        ("dns_search", &["a.lan", "b.lan"]),
        ("tmpfs", &["/run", "/tmp:size=64m"]),
        ("env_file", &["one.env", "two.env"]),
        ("cap_add", &["SYS_NICE", "IPC_LOCK"]),
        ("cap_drop", &["ALL", "MKNOD"]),
        ("security_opt", &["no-new-privileges:true", "seccomp:unconfined"]),
        // Not twice the same path in the container within one file: 1.29 keeps both, where 05-services.md has "mappings
        // where key is the target path inside the container".
        ("devices", &[draw.one(&["/dev/null", "/dev/zero:/dev/null"]), "/dev/full:/dev/full:r"]),
        ("extra_hosts", &["h1:1.1.1.1", "h2:2.2.2.2", "h1:3.3.3.3"]),
    ] {
        if draw.chance(25) {
            list(draw, text, key, items);
        }
    }
    if draw.chance(20) {
        text.push_str("    dns_opt: [\"use-vc\"]\n");
    }
    if draw.chance(50) {
        volumes(draw, text);
    }
    if let Some(name) = name {
        connections(draw, text, name);
    }
    blocks(draw, text, name);
}

fn scalars(draw: &mut Draw, text: &mut String) {
    for (key, values) in [
        ("command", &["run it", "[\"run\", \"a b\"]", "echo $${HOME} ${FROM_FILE}", "[\"$$x\", \"${BOTH}\"]"][..]),
        ("entrypoint", &["/bin/entry -x", "[\"/e\", \"-y\"]"]),
        ("user", &["\"1000\"", "root", "${NOWHERE:-nobody}"]),
        ("hostname", &["one", "two"]),
        ("working_dir", &["/app", "/srv"]),
        ("restart", &["always", "\"no\"", "on-failure:3"]),
        ("init", &["true", "false"]),
        ("privileged", &["true", "false"]),
        ("shm_size", &["64m", "1g"]),
        ("mem_limit", &["1g", "512m"]),
        ("ipc", &["host", "private"]),
        ("stop_grace_period", &["10s", "20s"]),
        ("stop_signal", &["SIGINT", "SIGTERM"]),
    ] {
        if draw.chance(25) {
            let _ = writeln!(text, "    {key}: {}", draw.one(values));
        }
    }
}

fn volumes(draw: &mut Draw, text: &mut String) {
    text.push_str("    volumes:\n");
    for target in draw.some(&TARGETS) {
        let source = draw.one(&["./here", "../up", "data", "cache", "/abs", "${NOWHERE:-./default}"]);
        let read_only = if draw.chance(30) { ":ro" } else { "" };
        let _ = writeln!(text, "      - \"{source}:{target}{read_only}\"");
    }
}

/// Draws dependencies and networks.
fn connections(draw: &mut Draw, text: &mut String, name: &str) {
    // A service that another one extends has none: 1.29 refuses that.
    if name != "job" && draw.chance(40) {
        let others: Vec<&str> = SERVICES.into_iter().filter(|other| *other != name && *other != "web").collect();
        if draw.chance(50) {
            list(draw, text, "depends_on", &others);
        } else {
            text.push_str("    depends_on:\n");
            for other in draw.some(&others) {
                let condition = draw.one(&["service_started", "service_healthy", "service_completed_successfully"]);
                let _ = writeln!(text, "      {other}: {{ condition: {condition} }}");
            }
        }
    }
    if draw.chance(40) {
        if draw.chance(50) {
            list(draw, text, "networks", &["front", "back"]);
        } else {
            text.push_str("    networks:\n");
            for network in draw.some(&["front", "back"]) {
                let aliases = draw.some(&["n1", "n2"]);
                let _ = writeln!(text, "      {network}: {{ aliases: {aliases:?} }}");
            }
        }
    }
}

/// Draws attributes that are maps.
fn blocks(draw: &mut Draw, text: &mut String, name: Option<&str>) {
    // Which `web` extends: 1.29 adds the settings of `web` to these maps of `job` too.
    let is_extended = name == Some("job");
    if draw.chance(30) {
        text.push_str("    healthcheck:\n");
        for (key, values) in [
            ("test", &["curl x", "[\"CMD\", \"true\"]"][..]),
            ("interval", &["10s", "20s"]),
            ("retries", &["3", "4"]),
            ("start_period", &["5s"]),
        ] {
            if key == "test" || draw.chance(50) {
                let _ = writeln!(text, "      {key}: {}", draw.one(values));
            }
        }
    }
    if draw.chance(25) && !is_extended {
        let driver =
            if draw.chance(60) { format!("driver: {}, ", draw.one(&["json-file", "local"])) } else { String::new() };
        let option = draw.one(&["max-size: 1m", "max-file: '3'"]);
        let _ = writeln!(text, "    logging: {{ {driver}options: {{ {option} }} }}");
    }
    if draw.chance(25) {
        let limit = draw.one(&["nofile: 1024", "nofile: { soft: 1, hard: 2 }", "memlock: -1"]);
        let _ = writeln!(text, "    ulimits: {{ {limit} }}");
    }
    if draw.chance(25) && !is_extended {
        let limit = draw.one(&["cpus: '0.5'", "memory: 1g", "cpus: '1.5', memory: 2g"]);
        let _ = writeln!(text, "    deploy: {{ resources: {{ limits: {{ {limit} }} }} }}");
    }
    if draw.chance(25) {
        let build = draw.one(&["./dir", "{ context: ., args: { A: 1 } }", "{ context: ./x, args: [B=2], target: t }"]);
        let _ = writeln!(text, "    build: {build}");
    }
}
