//! Fit of a running process for a service: the program that the service's command would run, and a port that the
//! service has.
//!
//! A misfit is most often a pid mistyped. What looks alike is accepted, since programs are started in many ways: by
//! their path or by `PATH`, through an interpreter, or through a shell that replaces itself.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::files::kernel;
use crate::host::{ports, proc};
use crate::model::desired::Service;
use crate::model::endpoint::Protocol;
use crate::model::safe_text;
use crate::runtime::process::intent::{CommandSpec, ProcessSpec};

/// Letters of a command line in a message.
const SHOWN_LETTERS_MAX: usize = 120;
/// Longest first line of a script that the kernel reads.
const SHEBANG_BYTES_MAX: u64 = 256;
/// Words at the beginning of a script's command line, one of which is the script.
const SCRIPT_WORDS_MAX: usize = 4;

/// Programs whose first argument that is no option is the program to run.
const INTERPRETERS: [&str; 14] =
    ["bash", "bun", "dash", "deno", "fish", "java", "julia", "ksh", "lua", "node", "perl", "python", "ruby", "sh"];
/// Options of interpreters whose next word is the program to run.
const PROGRAM_OPTIONS: [&str; 3] = ["-m", "-c", "-jar"];
/// Options of interpreters whose next word is their value.
const VALUE_OPTIONS: [&str; 3] = ["-W", "-X", "-cp"];
/// Commands that replace themselves with the command that follows them.
const WRAPPERS: [&str; 8] = ["env", "exec", "ionice", "nice", "nohup", "numactl", "setsid", "stdbuf"];
/// Programs that contain many others, and behave by the name that they are called by.
const MULTI_CALL: [&str; 3] = ["busybox", "coreutils", "toybox"];

/// Process that is compared with a service's command.
#[derive(Debug)]
struct Running {
    words: Vec<String>,
    executable: Option<PathBuf>,
}

impl Running {
    fn of(pid: i32) -> Self {
        Self { words: proc::words(pid), executable: proc::executable(pid) }
    }

    fn shown(&self) -> String {
        safe_text::short(&self.words.join(" "), SHOWN_LETTERS_MAX)
    }
}

/// Returns the reason why a process, the first of `members`, does not look like the service; `None`: it does.
pub(crate) fn misfit(members: &[i32], service: &Service, process: &ProcessSpec) -> Option<String> {
    let first = *members.first()?;
    let running = Running::of(first);
    if !runs(&running, process) {
        let fitting = members.iter().skip(1).find(|pid| runs(&Running::of(**pid), process));
        let fitting = fitting.map(|pid| format!("; process {pid} below it does: adopt that one"));
        return Some(format!(
            "it runs `{}`, not the command of `{}`, which is `{}`{}",
            running.shown(),
            service.name,
            safe_text::short(&shown_command(&process.command), SHOWN_LETTERS_MAX),
            fitting.unwrap_or_default()
        ));
    }
    let wanted = service.ports.iter().filter(|endpoint| endpoint.protocol == Protocol::Tcp);
    let wanted: BTreeSet<u16> = wanted.map(|endpoint| endpoint.port).collect();
    let found = ports::of(&members.iter().copied().collect());
    if wanted.is_empty() || !wanted.is_disjoint(&found) {
        return None;
    }
    let found = if found.is_empty() { "no port".to_owned() } else { format!("port {}", listed(&found)) };
    Some(format!("it listens on {found}, but `{}` has port {}", service.name, listed(&wanted)))
}

fn listed(ports: &BTreeSet<u16>) -> String {
    /// Ports in a message.
    const SHOWN_MAX: usize = 8;
    let shown: Vec<String> = ports.iter().take(SHOWN_MAX).map(ToString::to_string).collect();
    let more = if ports.len() > SHOWN_MAX { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn shown_command(command: &CommandSpec) -> String {
    match command {
        CommandSpec::Exec(words) => words.join(" "),
        CommandSpec::Shell { line, .. } => line.clone(),
    }
}

fn runs(running: &Running, process: &ProcessSpec) -> bool {
    running.words == process.command.argv()
        || candidates(&process.command).iter().any(|command| is_run(command, running, &process.cwd))
}

/// Returns the command lines that a process of this command may have: without the shell, and without wrappers.
fn candidates(command: &CommandSpec) -> Vec<Vec<String>> {
    let commands: Vec<Vec<String>> = match command {
        CommandSpec::Exec(words) => {
            let line = match words.as_slice() {
                [shell, option, line, ..] if option == "-c" && INTERPRETERS.contains(&plain_name(shell)) => {
                    commands_of_line(line)
                }
                _ => Vec::new(),
            };
            std::iter::once(words.clone()).chain(line).collect()
        }
        CommandSpec::Shell { line, .. } => commands_of_line(line),
    };
    let unwrapped = commands.iter().map(|words| unwrapped(words).to_vec());
    let mut all: Vec<Vec<String>> = unwrapped.chain(commands.iter().cloned()).collect();
    all.retain(|words| !words.is_empty());
    all
}

/// Splits a line for a shell into its commands. Only names matter: a quoted separator makes one more command, which
/// nothing runs.
fn commands_of_line(line: &str) -> Vec<Vec<String>> {
    let words = |part: &str| part.split_whitespace().map(|word| word.trim_matches(['"', '\'']).to_owned()).collect();
    line.split([';', '&', '|', '\n', '(', ')', '{', '}']).map(words).collect()
}

/// Returns a command without the wrappers before it, and without their options and variables.
fn unwrapped(words: &[String]) -> &[String] {
    let mut rest = words;
    while let [first, more @ ..] = rest {
        let is_assignment = first.split_once('=').is_some_and(|(name, _)| !name.contains('/') && !name.is_empty());
        if !is_assignment && !WRAPPERS.contains(&file_name(first)) {
            break;
        }
        rest = more;
        // Values of options are seldom separate words, and then the wrapped command does not fit.
        while rest.first().is_some_and(|word| word.starts_with('-')) {
            rest = &rest[1..];
        }
    }
    rest
}

/// Returns true if the process runs this command, as far as names tell.
fn is_run(command: &[String], running: &Running, cwd: &Path) -> bool {
    let (Some(program), Some(called)) = (command.first(), running.words.first()) else { return false };
    let expected = program.contains('/').then(|| cwd.join(program).canonicalize().ok()).flatten();
    if let Some(interpreter) = expected.as_deref().and_then(interpreter) {
        let is_script = |word: &String| file_name(word) == file_name(program);
        return plain_name(called) == interpreter && running.words.iter().skip(1).take(SCRIPT_WORDS_MAX).any(is_script);
    }
    let found = running.executable.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let is_named = plain_name(called) == plain_name(program)
        || found.as_deref().is_some_and(|found| plain_name(found) == plain_name(program));
    // A path names one program, and not another of the same name.
    let is_same = match (&expected, &running.executable) {
        (Some(expected), Some(found)) => expected == found || is_multi_call(found),
        (None, _) | (_, None) => true,
    };
    let is_program = is_named && is_same
        || expected.is_some() && expected == running.executable && !found.as_deref().is_some_and(is_multi_call_name);
    is_program && is_same_script(command, &running.words)
}

fn is_multi_call(executable: &Path) -> bool {
    executable.file_name().is_some_and(|name| is_multi_call_name(&name.to_string_lossy()))
}

fn is_multi_call_name(name: &str) -> bool {
    MULTI_CALL.contains(&name)
}

/// Returns true unless both are interpreters that run different programs.
fn is_same_script(command: &[String], words: &[String]) -> bool {
    match (script(command), script(words)) {
        (Some(expected), Some(found)) => file_name(expected) == file_name(found),
        (Some(_), None) => false,
        (None, _) => true,
    }
}

/// Returns the program that an interpreter runs: a file, a module, or a text; `None`: the command is no interpreter's.
fn script(words: &[String]) -> Option<&str> {
    let (interpreter, arguments) = words.split_first()?;
    if !INTERPRETERS.contains(&plain_name(interpreter)) {
        return None;
    }
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            option if PROGRAM_OPTIONS.contains(&option) => return arguments.next().map(String::as_str),
            option if VALUE_OPTIONS.contains(&option) => drop(arguments.next()),
            option if option.starts_with('-') => {}
            script => return Some(script),
        }
    }
    None
}

/// Returns the name of the interpreter that a script's first line names; `None`: no script, or not readable.
fn interpreter(path: &Path) -> Option<String> {
    let mut first = Vec::new();
    kernel::open_held(path).ok()?.take(SHEBANG_BYTES_MAX).read_to_end(&mut first).ok()?;
    let text = String::from_utf8_lossy(&first).into_owned();
    let line = text.strip_prefix("#!")?.lines().next()?;
    let mut words = line.split_whitespace().filter(|word| !word.starts_with('-') && !word.contains('='));
    let named = words.find(|word| file_name(word) != "env")?;
    Some(plain_name(named).to_owned())
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Returns the name of a program without its version: `python` of `/usr/bin/python3.12`. A login shell has a dash.
fn plain_name(program: &str) -> &str {
    let name = file_name(program).trim_start_matches('-');
    let plain = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    if INTERPRETERS.contains(&plain) { plain } else { name }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Running, candidates, is_run};
    use crate::runtime::process::intent::CommandSpec;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    fn fits(command: &CommandSpec, line: &str, executable: Option<&str>) -> bool {
        let running = Running { words: words(line), executable: executable.map(PathBuf::from) };
        candidates(command).iter().any(|command| is_run(command, &running, Path::new("/nowhere")))
    }

    #[test]
    fn a_process_fits_by_its_program_and_an_interpreters_by_its_script() {
        let exec = |line: &str| CommandSpec::Exec(words(line));
        for (command, line, executable, fit) in [
            ("ollama serve", "/usr/local/bin/ollama serve", None, true),
            ("ollama serve", "vim notes.txt", None, false),
            ("ollama serve", "renamed serve", Some("/opt/ollama"), true),
            ("python3 main.py --port 1", "/venv/bin/python main.py --port 2", None, true),
            ("python3 main.py", "python3.12 /srv/main.py", None, true),
            ("python3 main.py", "python3 other.py", None, false),
            ("python3 main.py", "python3", None, false),
            ("python -m vllm serve", "python3 -m vllm serve", None, true),
            ("python -m vllm", "python3 -X dev -m http.server", None, false),
            ("env A=1 nice -n10 python main.py", "python main.py", None, true),
            ("bash run.sh", "bash run.sh", None, true),
            ("bash run.sh", "-bash", None, false),
            ("java -jar app.jar", "java -jar other.jar", None, false),
            ("./server", "./server-2", None, false),
        ] {
            assert_eq!(fits(&exec(command), line, executable), fit, "{command}: {line}");
        }
    }

    #[test]
    fn a_shells_command_is_looked_through() {
        let shell = |line: &str| CommandSpec::Shell { shell: "sh".to_owned(), line: line.to_owned() };
        for (command, line, fit) in [
            ("exec ./comfy --port 1", "./comfy --port 1", true),
            ("cd /srv && exec python main.py > log", "python main.py", true),
            ("echo one; exec sleep 300", "sleep 300", true),
            ("TOKEN='x' python 'main.py'", "python3 main.py", true),
            ("exec python main.py", "python tool.py", false),
            ("echo up; exec ./comfy", "vim comfy", false),
        ] {
            assert_eq!(fits(&shell(command), line, None), fit, "{command}: {line}");
        }
    }

    #[test]
    fn a_path_names_one_program_and_a_script_its_interpreter() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().canonicalize().expect("a folder").join(name);
        std::fs::write(at("server"), "\u{7f}ELF").expect("written");
        std::fs::write(at("start.sh"), "#!/usr/bin/env -S bash\nexec sleep 1\n").expect("written");
        let fits = |command: &str, line: &str, executable: &Path| {
            let running = Running { words: words(line), executable: Some(executable.to_owned()) };
            is_run(&words(command), &running, &at(""))
        };
        assert!(fits("./server", "./server", &at("server")));
        assert!(fits("./server", "other-name", &at("server")));
        assert!(!fits("./server", "./server", Path::new("/opt/server")), "another program of the same name");
        let bash = Path::new("/usr/bin/bash");
        assert!(fits("./start.sh", "bash ./start.sh", bash));
        assert!(fits("./start.sh", &format!("/bin/bash {}", at("start.sh").display()), bash));
        assert!(!fits("./start.sh", "vim ./start.sh", Path::new("/usr/bin/vim")));
        assert!(!fits("./start.sh", "bash ./stop.sh", bash));
    }
}
