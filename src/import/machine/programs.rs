//! Programs that hold GPU memory and are neither containers nor lcm's: shown with the lines that would make each a
//! service, and left alone.

use std::fmt::Write as _;

use crate::import::draft::Notes;
use crate::import::machine::memory::{STEP, rounded, size};
use crate::import::names::UniqueNames;
use crate::import::secrets::masked;
use crate::import::writer::{YamlBlock, YamlValue};
use crate::model::facts::GpuFact;
use crate::model::found::{FoundProgram, MachineSurvey};
use crate::model::size::Mebibytes;

/// Display servers, shells and common programs of a desktop. The kernel cuts names after 15 letters.
const DESKTOP: [&str; 34] = [
    "Xorg",
    "X",
    "Xwayland",
    "gnome-shell",
    "gnome-session",
    "gnome-control-c",
    "mutter",
    "kwin_x11",
    "kwin_wayland",
    "plasmashell",
    "cinnamon",
    "xfwm4",
    "compiz",
    "sway",
    "Hyprland",
    "weston",
    "labwc",
    "picom",
    "gdm",
    "sddm-greeter",
    "nautilus",
    "firefox",
    "firefox-bin",
    "chrome",
    "chromium",
    "brave",
    "msedge",
    "thunderbird",
    "code",
    "electron",
    "slack",
    "discord",
    "steam",
    "nvidia-settings",
];
/// Programs that run another one, whose name is more specific.
const INTERPRETERS: [&str; 9] = ["python", "node", "bash", "sh", "dash", "zsh", "uv", "env", "conda"];
/// Names of scripts that are too general: their folder's name is used.
const GENERIC: [&str; 12] =
    ["main", "app", "server", "launch", "run", "start", "webui", "index", "api", "serve", "gradio", "demo"];

/// Writes the found programs below the services, and returns how many could become one.
pub(super) fn write(
    services: &mut YamlBlock,
    found: &MachineSurvey,
    gpus: &[GpuFact],
    names: &mut UniqueNames,
    notes: &mut Notes,
) -> usize {
    let (desktop, others): (Vec<_>, Vec<_>) = found.discovered.programs.iter().partition(|one| is_desktop(one));
    if !desktop.is_empty() {
        let parts: Vec<String> = desktop.iter().map(|one| format!("{} {}", one.program, holds(one, gpus))).collect();
        services.gap().comment(notes.about(
            "the desktop",
            format!("{}: that memory counts as used, and lcm never touches these programs", parts.join(", ")),
        ));
    }
    if !others.is_empty() && !services.holds_any() {
        services.gap().comment("If you remove the first `#` below, remove the `{}` above too.");
    }
    for one in &others {
        let name = names.give(&named(one));
        services.gap();
        foreign(services, one, &name, gpus, notes);
    }
    others.len()
}

fn is_desktop(one: &FoundProgram) -> bool {
    let of_session =
        one.unit.as_deref().is_some_and(|unit| unit.starts_with("org.gnome.") || unit.starts_with("plasma-"));
    of_session || DESKTOP.contains(&one.program.as_str())
}

/// Returns text such as `holds 6 144 MiB on GPU 0`.
fn holds(one: &FoundProgram, gpus: &[GpuFact]) -> String {
    let parts: Vec<String> = one
        .memory
        .iter()
        .map(|(id, memory)| {
            let on = gpus
                .iter()
                .find(|gpu| gpu.id == *id)
                .map_or_else(|| id.to_string(), |gpu| format!("GPU {}", gpu.index));
            let much = memory.map_or_else(|| "an unknown amount".to_owned(), |memory| memory.to_string());
            format!("{much} on {on}")
        })
        .collect();
    format!("holds {}", parts.join(" and "))
}

fn foreign(services: &mut YamlBlock, one: &FoundProgram, name: &str, gpus: &[GpuFact], notes: &mut Notes) {
    let FoundProgram { pid, program, .. } = one;
    let whence = match (&one.unit, one.terminal) {
        (Some(unit), _) => format!("belongs to the systemd unit {unit}"),
        (None, true) => "was started by hand in a terminal".to_owned(),
        (None, false) => "was not started by lcm".to_owned(),
    };
    let fact = format!("{program} (pid {pid}) {} and {whence}", holds(one, gpus));
    notes.add(name, format!("{fact}; the draft has it as a comment"));
    let mut advice = format!("{fact}. lcm counts that memory as used, and never touches the program.");
    let _ = match &one.unit {
        Some(unit) => write!(
            advice,
            " For lcm to run it instead: `systemctl disable --now {unit}`, remove the `#` from these lines, and \
             check them against the unit."
        ),
        None => write!(
            advice,
            " To make it a service: remove the `#` from these lines, add it to a mode, and `lcm adopt {name} --pid \
             {pid}` takes it over while it runs."
        ),
    };
    services.comment(advice);
    let (words, changed) = masked(&one.command);
    let mut process = YamlBlock::default();
    if words.is_empty() {
        process.put_with("command", YamlValue::texts(["??"]), "its command line can't be read");
    } else {
        let beside =
            changed.then(|| "a secret was removed here: have the program read it from its environment".to_owned());
        let command = YamlValue::List(words.iter().map(|word| YamlValue::literal(word)).collect());
        match beside {
            Some(beside) => process.put_with("command", command, beside),
            None => process.put("command", command),
        };
    }
    if let Some(cwd) = &one.cwd {
        process.put("cwd", YamlValue::literal(&cwd.to_string_lossy()));
    }
    process
        .comment("environment: { NAME: value, HF_TOKEN: { env: HF_TOKEN } }  (the variables it needs; none is copied)");
    let mut block = YamlBlock::default();
    block.put("process", YamlValue::Map(process));
    match one.memory.values().copied().flatten().max() {
        Some(most) if most > Mebibytes::ZERO => block.put("vram", size(rounded(most, STEP))),
        Some(_) | None => block.put("vram", YamlValue::word("??GiB")),
    };
    if let Some(port) = one.ports.first() {
        let tcp = YamlValue::Flow(vec![("tcp".to_owned(), YamlValue::word(port))]);
        block.put_with("health", tcp, "it listens there; `http:` with a path is a better check");
    }
    services.propose(name, YamlValue::Map(block), None);
}

/// Returns a name for a program: its script's, its module's, or that of the folder of a script with a general name.
fn named(one: &FoundProgram) -> String {
    let stem = |path: &str| {
        let file = path.rsplit('/').next().unwrap_or(path);
        let stem = file.rsplit_once('.').filter(|(stem, ending)| !stem.is_empty() && ending.len() <= 3);
        stem.map_or(file, |(stem, _)| stem).to_owned()
    };
    let runs_others = |word: &str| {
        let file = stem(word);
        let bare = file.trim_end_matches(|last: char| last.is_ascii_digit() || last == '.');
        INTERPRETERS.contains(&bare)
    };
    let mut words = one.command.iter().skip_while(|word| runs_others(word) || *word == "run").peekable();
    let interprets = one.command.first().is_some_and(|word| runs_others(word));
    let module = one.command.iter().skip_while(|word| *word != "-m").nth(1).filter(|_| interprets);
    let first = words.next().filter(|word| !word.starts_with('-') && !word.contains([' ', '=']));
    let name = match (module, first) {
        (Some(module), _) => module.split('.').next().unwrap_or(module).to_owned(),
        (None, Some(first)) => stem(first),
        (None, None) => one.program.clone(),
    };
    let folder = one.cwd.as_ref().and_then(|cwd| Some(cwd.file_name()?.to_string_lossy().to_ascii_lowercase()));
    match folder {
        Some(folder) if GENERIC.contains(&name.as_str()) && !folder.is_empty() => folder,
        Some(_) | None => name,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{FoundProgram, named};

    #[test]
    fn programs_are_named_by_their_script_and_not_by_their_interpreter() {
        for (line, cwd, wanted) in [
            ("python3 main.py --listen", "/srv/ComfyUI", "comfyui"),
            ("/usr/bin/python3.11 -m vllm.entrypoints.openai.api_server", "/", "vllm"),
            ("bash ./start_comfy.sh", "/srv", "start_comfy"),
            ("/opt/llama.cpp/llama-server -m x.gguf", "/", "llama-server"),
            ("uv run kokoro.py", "/", "kokoro"),
            ("python3 -c print()", "/x", "python3"),
        ] {
            let program = FoundProgram {
                pid: 1,
                program: "python3".to_owned(),
                command: line.split(' ').map(str::to_owned).collect(),
                cwd: Some(cwd.into()),
                terminal: false,
                unit: None,
                ports: BTreeSet::new(),
                memory: BTreeMap::new(),
            };
            assert_eq!(named(&program), wanted, "{line}");
        }
    }
}
