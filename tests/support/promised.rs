//! Validates all JSON that the real binary writes, in any test, against the committed schema of its format, without
//! undescribed fields. The harnesses check each run; a test has nothing to do for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

#[path = "schema.rs"]
pub(crate) mod schema;

/// JSON output that a call of `lcm` will write.
pub(crate) struct Promised {
    what: String,
    stdout: bool,
    files: Vec<PathBuf>,
}

impl Promised {
    /// Derives the output from the command line; another program has none.
    pub(crate) fn by(command: &Command) -> Self {
        let words: Vec<String> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let lcm = command.get_program() == env!("CARGO_BIN_EXE_lcm");
        let after = |option: &'static str| {
            let joined = words.iter().filter_map(move |word| word.strip_prefix(option)?.strip_prefix('='));
            let apart = words.windows(2).filter(move |pair| pair[0] == option).map(|pair| pair[1].as_str());
            joined.chain(apart).filter(move |_| lcm)
        };
        let folder = command.get_current_dir().unwrap_or(Path::new("."));
        Self {
            what: format!("lcm {}", words.join(" ")),
            stdout: after("--format").any(|format| format == "json"),
            files: after("--out").chain(after("--json-into")).map(|file| folder.join(file)).collect(),
        }
    }

    /// Validates the output; panics with the document and its faults.
    #[track_caller]
    pub(crate) fn check(&self, stdout: &str) {
        if self.stdout {
            self.check_text(stdout);
        }
        for file in self.files.iter().filter(|file| file.is_file()) {
            self.check_text(&fs::read_to_string(file).expect("what lcm wrote is readable"));
        }
    }

    /// Validates one document, or one per line.
    #[track_caller]
    fn check_text(&self, text: &str) {
        // `init --out` writes a manifest.
        if !text.starts_with('{') {
            return;
        }
        let documents = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        for document in documents {
            let document = document.unwrap_or_else(|error| panic!("$ {}\nnot JSON: {error}\n{text}", self.what));
            schema::check(&document, &self.what);
        }
    }
}
