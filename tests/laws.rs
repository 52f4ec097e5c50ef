//! Laws over lcm's own source: which stages may name which, which code is pure, and how long files and functions may be.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

#[path = "support/banned.rs"]
mod banned;
#[path = "support/circles.rs"]
mod circles;
#[path = "laws/language.rs"]
mod language;
#[path = "laws/lifecycle.rs"]
mod lifecycle;
#[path = "support/source.rs"]
mod source;
#[path = "laws/types.rs"]
mod types;

use source::{Source, root};

const FILE_LINES_MAX: usize = 499;
const FUNCTION_LINES_MAX: usize = 69;

/// A stage, and the stages that it may name besides itself.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("files", &[]),
    ("syntax", &["model"]),
    // Except `resolve`, which is pure. Of `runtime` it names the registry, and through it the keys of each runtime.
    ("manifest", &["model", "files", "syntax", "runtime"]),
    ("import", &["model", "syntax", "runtime"]),
    ("observe", &["model"]),
    ("plan", &["model"]),
    ("shared", &["files"]),
    ("host", &["model", "files", "shared"]),
    // See `MODULES_OF_A_RUNTIME`.
    ("runtime", &["model", "files", "shared", "host", "observe", "manifest", "syntax", "sim"]),
    // Only the traits of both, and the registry.
    ("sim", &["model", "runtime", "host"]),
    ("store", &["model", "files", "shared"]),
    ("report", &["model"]),
    ("apply", &["model", "runtime", "host", "store", "files"]),
    (
        "reconcile",
        &[
            "model", "apply", "observe", "plan", "manifest", "store", "runtime", "host", "sim", "files", "shared",
            "syntax",
        ],
    ),
    (
        "cli",
        &[
            "model",
            "syntax",
            "manifest",
            "import",
            "observe",
            "plan",
            "runtime",
            "host",
            "sim",
            "store",
            "report",
            "apply",
            "reconcile",
            "files",
            "shared",
        ],
    ),
];

/// Folders of `src/runtime` that are one runtime each.
const RUNTIMES: &[&str] = &["docker", "process", "skeleton"];

/// Stages that a module of a runtime may name beside the machine: for its manifest keys, for the code that observers
/// share, and for the simulated machine.
const MODULES_OF_A_RUNTIME: &[(&str, &[&str])] = &[
    ("wire", &["manifest", "syntax"]),
    ("resolve", &["manifest", "syntax"]),
    ("observe", &["observe"]),
    ("sim", &["sim"]),
];

/// Files that name a runtime from outside of its folder: an import reads files that other tools wrote for it.
const NAMES_A_RUNTIME: &[&str] = &["src/import/machine.rs", "src/import/docker_run/settings.rs"];

/// Files with a runtime's name in a string: instances of earlier formats, and a name of systemd's.
const WRITES_A_RUNTIME: &[&str] = &["src/model/instance.rs", "src/host/program/scope.rs"];

/// Names that a pure stage may not use: machine, clock, environment, concurrency, output, chance.
const IMPURE: &[&str] = &[
    "std::fs",
    "crate::files",
    "crate::shared",
    "std::env",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "std::process",
    "std::io",
    "std::thread",
    "Instant",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "tokio",
    "async",
    "await",
    "println!",
    "eprintln!",
    "print!",
    "eprint!",
    "tracing",
    "canonicalize",
    "read_dir",
    "HashMap",
    "HashSet",
    "RandomState",
    "current_dir",
];

/// A crate or a path that only some stages may use.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("bollard", &["runtime"]),
    ("hyper", &["runtime"]),
    ("nvml_wrapper", &["host"]),
    ("reqwest", &["host"]),
    ("procfs", &["host"]),
    // The build script runs git.
    ("std::process::Command", &["runtime", "host", "build"]),
    ("rusqlite", &["store"]),
    ("serde_saphyr", &["syntax"]),
    ("unicode_width", &["model", "report"]),
    ("clap", &["cli", "main"]),
    ("tracing", &["runtime", "host", "reconcile", "cli"]),
    ("tracing_subscriber", &["cli"]),
];

/// Ways to open, create, replace or remove a file. Links, types and owners are checked where these are used.
const OPENS: &[&str] = &[
    "File::open",
    "File::create",
    "File::options",
    "OpenOptions",
    "DirBuilder",
    "fs::read(",
    "fs::read_to_string(",
    "fs::write(",
    "fs::rename(",
    "fs::copy(",
    "fs::remove_file(",
    "fs::remove_dir",
    "fs::create_dir",
    "fs::hard_link(",
    "symlink(",
    "read_dir(",
];
/// The only folder that uses them.
const FILES: &str = "src/files/";

/// A call for which no crate has a safe wrapper.
const UNSAFE: &str = "src/host/gpu/memory_v1.rs";
const UNSAFE_LINES_MAX: usize = 40;

/// Files that may print. The shim has no report: it reports to its starter in a line whether the service started. Nor has
/// the code between root and the user that root continues as. The build script reports to cargo.
const PRINTS: &[&str] = &[
    "src/report/",
    "src/cli/",
    "src/main.rs",
    "src/runtime/process/drive/shim",
    "src/host/identity.rs",
    "src/build.rs",
];

#[test]
fn stages_name_only_the_stages_that_they_may() {
    let mut broken = Vec::new();
    for file in Source::all("src") {
        let Some((stage, known)) = MAY_KNOW.iter().find(|(stage, _)| *stage == file.stage()) else { continue };
        for (at, other, _) in file.crate_paths() {
            let is_stage = MAY_KNOW.iter().any(|(name, _)| *name == other);
            if is_stage && other != *stage && !known.contains(&other.as_str()) && !file.is_test_code(at) {
                broken.push(format!("{}: {stage} names {other}", file.place(at)));
            }
        }
    }
    hold("stages meet only in `model`", &broken);
}

#[test]
fn a_runtime_is_named_in_its_folder_alone() {
    let mut broken = Vec::new();
    let mut naming = BTreeSet::new();
    for file in Source::all("src").iter().filter(|file| runtime_of(&file.path).is_none()) {
        for runtime in RUNTIMES {
            let path = format!("runtime::{runtime}");
            for at in file.words(&path).filter(|at| !file.is_test_code(*at)) {
                naming.insert(file.path.as_str().to_owned());
                if !NAMES_A_RUNTIME.contains(&file.path.as_str()) {
                    broken.push(format!("{}: {path}", file.place(at)));
                }
            }
        }
    }
    for file in Source::all("src").iter().filter(|file| runtime_of(&file.path).is_none() && file.stage() != "import") {
        for runtime in RUNTIMES {
            let literal = format!("\"{runtime}\"");
            for (at, _) in file.text.match_indices(&literal).filter(|(at, _)| !file.is_test_code(*at)) {
                // A key in JSON, which is an example.
                let is_part = file.text[at + literal.len()..].starts_with(':');
                if !is_part && !WRITES_A_RUNTIME.contains(&file.path.as_str()) {
                    broken.push(format!("{}: {literal}", file.place(at)));
                }
            }
        }
    }
    let idle = NAMES_A_RUNTIME.iter().filter(|path| !naming.contains(**path));
    broken.extend(idle.map(|path| format!("{path}: listed in NAMES_A_RUNTIME, and names none")));
    hold("a runtime is one folder, and one line in the registry", &broken);
}

#[test]
fn a_module_of_a_runtime_names_its_stage_alone() {
    let mut broken = Vec::new();
    for file in Source::all("src/runtime") {
        let Some(module) = module_of_a_runtime(&file.path) else { continue };
        let known = MODULES_OF_A_RUNTIME.iter().find(|(name, _)| *name == module).map_or(&[][..], |(_, known)| known);
        for (at, stage, _) in file.crate_paths() {
            let is_pure_stage = ["manifest", "syntax", "observe", "sim"].contains(&stage.as_str());
            if is_pure_stage && !known.contains(&stage.as_str()) && !file.is_test_code(at) {
                broken.push(format!("{}: names {stage}", file.place(at)));
            }
        }
    }
    hold(
        "of a runtime, `wire` and `resolve` name the manifest, `observe` the shared observers, `sim` the simulation",
        &broken,
    );
}

/// Returns the runtime whose folder a file is in.
fn runtime_of(path: &str) -> Option<&str> {
    let folder = path.strip_prefix("src/runtime/")?.split('/').next()?;
    RUNTIMES.contains(&folder).then_some(folder)
}

#[test]
fn a_runtime_names_the_simulator_in_its_simulation_alone() {
    let mut broken = Vec::new();
    for file in Source::all("src/runtime") {
        let is_its_part = module_of_a_runtime(&file.path) == Some("sim");
        if is_its_part || file.path == "src/runtime/registration.rs" {
            continue;
        }
        let paths = file.crate_paths().into_iter();
        let named = paths.filter(|(at, stage, _)| stage == "sim" && !file.is_test_code(*at));
        broken.extend(named.map(|(at, ..)| format!("{}: names the simulator", file.place(at))));
    }
    hold("drivers and observers do not name the simulation", &broken);
}

#[test]
fn apply_names_the_traits_of_runtime_and_store_alone() {
    let mut broken = Vec::new();
    for file in Source::all("src/apply") {
        for (at, stage, item) in file.crate_paths() {
            // `store::recall` is a function at the root, and the folder of that name is private.
            let inner = item.filter(|item| item.starts_with(char::is_lowercase) && item != "self" && item != "recall");
            if let Some(module) = inner.filter(|_| matches!(stage.as_str(), "runtime" | "store"))
                && !file.is_test_code(at)
            {
                broken.push(format!("{}: apply reaches into {stage}::{module}", file.place(at)));
            }
        }
    }
    hold("`apply` does not reach into a runtime or a store", &broken);
}

#[test]
fn no_file_imports_a_file_that_imports_it() {
    let mut broken = Vec::new();
    for (number, circle) in circles::circles(&Source::all("src")).into_iter().enumerate() {
        broken.extend(circle.iter().map(|(from, to)| format!("circle {}: {from} imports {to}", number + 1)));
    }
    hold("no cycle of imports among files", &broken);
}

#[test]
fn no_file_leaves_its_stage_by_super() {
    let mut broken = Vec::new();
    for file in Source::all("src") {
        // `src/plan/order.rs` is two modules deep, `src/plan/mod.rs` one; a test module is one deeper.
        let depth = file.path.matches('/').count() - usize::from(file.path.ends_with("/mod.rs"));
        for (at, _) in file.code.match_indices("super::") {
            let first = !file.code[..at].ends_with("::");
            let climbs = file.code[at..].split("super::").take_while(|between| between.is_empty()).count();
            if first && climbs >= depth + usize::from(file.is_test_code(at)) {
                broken.push(format!("{}: reaches the root; write `crate::`", file.place(at)));
            }
        }
    }
    hold("another stage is named as `crate::STAGE`", &broken);
}

#[test]
fn pure_stages_use_no_machine() {
    let mut broken = Vec::new();
    for file in Source::all("src").iter().filter(|file| is_pure(&file.path)) {
        for word in IMPURE {
            for at in file.words(word).filter(|at| !file.is_test_code(*at)) {
                broken.push(format!("{}: `{word}` in a pure stage", file.place(at)));
            }
        }
    }
    hold(
        "no clock, I/O, async, environment, logger or chance in model, syntax, import, observe, plan, manifest/resolve",
        &broken,
    );
}

#[test]
fn each_crate_is_used_in_its_stages() {
    let mut broken = Vec::new();
    for file in Source::all("src") {
        for (word, stages) in ONLY_IN.iter().filter(|(_, stages)| !stages.contains(&file.stage())) {
            for at in file.words(word).filter(|at| !file.is_test_code(*at)) {
                broken.push(format!("{}: `{word}` belongs in {}", file.place(at), stages.join(", ")));
            }
        }
    }
    hold("machine, store, YAML and terminal have one stage each", &broken);
}

#[test]
fn files_are_opened_in_one_place() {
    let mut broken = Vec::new();
    for file in Source::all("src").iter().filter(|file| !file.path.starts_with(FILES)) {
        for word in OPENS {
            for at in file.words(word).filter(|at| !file.is_test_code(*at)) {
                broken.push(format!("{}: `{word}`", file.place(at)));
            }
        }
    }
    hold("files are opened, created and removed by `files` alone", &broken);
}

#[test]
fn only_report_and_cli_write_to_the_terminal() {
    let mut broken = Vec::new();
    for file in Source::all("src") {
        if PRINTS.iter().any(|path| file.path.starts_with(path)) {
            continue;
        }
        for word in ["println!", "eprintln!", "print!", "eprint!", "stdout()", "stderr()"] {
            for at in file.words(word).filter(|at| !file.is_test_code(*at)) {
                broken.push(format!("{}: `{word}`", file.place(at)));
            }
        }
    }
    hold("stdout and stderr only in `report` and `cli`", &broken);
}

#[test]
fn files_are_short_and_have_a_head() {
    let mut broken = Vec::new();
    for file in everywhere() {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            broken.push(format!("{}:{lines}: {lines} lines; under 500 is the law", file.path));
        }
        if !file.text.starts_with("//! ") {
            broken.push(format!("{}:1: begins without a `//!` head", file.path));
        }
    }
    hold("each file is short, and opens with a `//!` head", &broken);
}

#[test]
fn functions_are_short() {
    let mut broken = Vec::new();
    for file in everywhere() {
        for (name, range) in file.functions() {
            let lines = file.line(range.end) - file.line(range.start) + 1;
            if lines > FUNCTION_LINES_MAX {
                broken.push(format!("{}: {name} has {lines} lines; under 70 is the law", file.place(range.start)));
            }
        }
    }
    hold("each function fits on a screen", &broken);
}

#[test]
fn no_work_is_unfinished_and_no_lint_is_allowed() {
    let mut broken = Vec::new();
    for file in everywhere() {
        for word in ["todo!", "unimplemented!", "dbg!", "#[allow", "#![allow"] {
            for at in file.words(word) {
                broken.push(format!("{}: `{word}`", file.place(at)));
            }
        }
    }
    hold("no unfinished work; exceptions are `#[expect(.., reason = \"..\")]`", &broken);
}

#[test]
fn unsafe_code_has_one_small_file() {
    for (path, law) in [("src/lib.rs", "#![deny(unsafe_code)]"), ("src/main.rs", "#![forbid(unsafe_code)]")] {
        let text = std::fs::read_to_string(root().join(path)).expect("a readable source");
        assert!(text.contains(law), "{path}:1: without `{law}`");
    }
    let excepted: Vec<String> = Source::all("src")
        .iter()
        .flat_map(|file| file.words("unsafe_code").map(|at| file.place(at)).collect::<Vec<_>>())
        .filter(|place| !place.starts_with("src/lib.rs:") && !place.starts_with("src/main.rs:"))
        .collect();
    let [only] = &excepted[..] else { panic!("`unsafe_code` is excepted not once, but in {excepted:?}") };
    assert!(only.starts_with(UNSAFE), "{only}: the exception belongs in {UNSAFE}");
    let lines = std::fs::read_to_string(root().join(UNSAFE)).expect("a readable source").lines().count();
    assert!(lines <= UNSAFE_LINES_MAX, "{UNSAFE}: {lines} lines; unsafe code fits on half a screen");
}

#[test]
fn the_top_level_holds_only_the_listed_names() {
    let named = ["src", "examples", "schemas", "tests", "Cargo.toml", "Cargo.lock", "README.md", "justfile", "LICENSE"];
    let files = Command::new("git").args(["ls-files"]).current_dir(root()).output().expect("git");
    if !files.status.success() {
        // A source archive has no index, and nothing was added to it.
        return;
    }
    let top: BTreeSet<String> = String::from_utf8_lossy(&files.stdout)
        .lines()
        .map(|path| path.split('/').next().unwrap_or(path).to_owned())
        .filter(|name| !name.starts_with('.') && !named.contains(&name.as_str()))
        .collect();
    assert!(top.is_empty(), "at the top level, and not named in this test: {top:?}");
}

#[test]
fn the_source_reader_skips_strings_and_comments() {
    let text = "fn a() -> [u8; 2] { let s = \"}\"; /* { */ let c = '{'; let r = r#\"\"{\"#; [0, 1] }\n\
                fn b<'a>(x: &'a str) {\n}\n#[cfg(test)]\nmod tests { use crate::{plan::{self, x}, model::y}; }\n";
    let file = Source::new("src/x.rs".to_owned(), text.to_owned());
    let functions: Vec<(String, usize)> =
        file.functions().into_iter().map(|(name, range)| (name, file.line(range.end))).collect();
    assert_eq!(functions, [("a".to_owned(), 1), ("b".to_owned(), 3)]);
    let paths: Vec<String> = file.crate_paths().into_iter().map(|(_, first, _)| first).collect();
    assert_eq!(paths, ["plan", "plan", "model"]);
    assert!(file.crate_paths().iter().all(|(at, ..)| file.is_test_code(*at)));
}

fn is_pure(path: &str) -> bool {
    let inner = Path::new(path).strip_prefix("src").unwrap_or(Path::new(path));
    ["model", "syntax", "import", "observe", "plan"].iter().any(|stage| inner.starts_with(stage))
        || path.starts_with("src/manifest/resolve")
        || is_pure_of_a_runtime(path)
}

/// Returns true for files of a runtime that are pure, judged by their names.
fn is_pure_of_a_runtime(path: &str) -> bool {
    module_of_a_runtime(path).is_some_and(|module| !matches!(module, "drive" | "sim" | "mod"))
}

/// Returns the file or folder of a runtime that a path is in: `drive` for `src/runtime/docker/drive/stop.rs`.
fn module_of_a_runtime(path: &str) -> Option<&str> {
    let inner = path.strip_prefix("src/runtime/")?.strip_prefix(runtime_of(path)?)?.strip_prefix('/')?;
    Some(inner.split('/').next().unwrap_or(inner).trim_end_matches(".rs"))
}

fn everywhere() -> Vec<Source> {
    ["src", "tests", "examples"].into_iter().flat_map(Source::all).collect()
}

/// Fails with all places at once.
#[track_caller]
fn hold(law: &str, broken: &[String]) {
    assert!(broken.is_empty(), "the law: {law}\n{}\n", broken.join("\n"));
}
