//! The command line, with the real binary: usage and exit codes, scripts and a gallery of snapshots with golden
//! output, the lock, the store, and the schemas of its output.

#[path = "support/banned.rs"]
mod banned;
#[path = "support/lcm.rs"]
mod lcm;
#[path = "support/reflow.rs"]
mod reflow;
#[path = "support/terminal.rs"]
mod terminal;

#[path = "cli/asked.rs"]
mod asked;
#[path = "cli/completions.rs"]
mod completions;
#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/drawn.rs"]
mod drawn;
#[path = "cli/ends.rs"]
mod ends;
#[path = "cli/forms.rs"]
mod forms;
#[path = "cli/gallery.rs"]
mod gallery;
#[path = "cli/history.rs"]
mod history;
#[path = "cli/holds.rs"]
mod holds;
#[path = "cli/hooks.rs"]
mod hooks;
#[path = "cli/left.rs"]
mod left;
#[path = "cli/live.rs"]
mod live;
#[path = "cli/locks.rs"]
mod locks;
#[path = "cli/log.rs"]
mod log;
#[path = "cli/missing.rs"]
mod missing;
#[path = "cli/modes.rs"]
mod modes;
#[path = "cli/pid_files.rs"]
mod pid_files;
#[path = "cli/piped.rs"]
mod piped;
#[path = "cli/renamed.rs"]
mod renamed;
#[path = "cli/rollback.rs"]
mod rollback;
#[path = "cli/saved.rs"]
mod saved;
#[path = "cli/schemas.rs"]
mod schemas;
#[path = "cli/scripts.rs"]
mod scripts;
#[path = "cli/secrets.rs"]
mod secrets;
#[path = "cli/show.rs"]
mod show;
#[path = "cli/texts.rs"]
mod texts;
#[path = "cli/truth.rs"]
mod truth;
#[path = "cli/usage.rs"]
mod usage;
#[path = "cli/watch.rs"]
mod watch;
#[path = "cli/words.rs"]
mod words;
