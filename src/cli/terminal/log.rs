//! Log for developers: calls of drivers, programs, GPU reads and plans, on stderr where `LCM_LOG` enables it.
//!
//! Each line is masked by the secrets of every manifest that was read. No line is written before the first was read.
//! Not here: the events themselves, which `runtime`, `host` and `reconcile` emit, each under a target of its own name.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fmt::Display;
use std::io;
use std::sync::{Mutex, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

use crate::cli::exit::Exit;
use crate::cli::stop::{Code, EarlyExit};
use crate::model::desired::Desired;
use crate::model::secret::Masker;
use crate::report::print;
use crate::report::sheet::sentence;
use crate::report::style::Style;

/// Targets that events are logged under.
const TARGETS: [&str; 3] = ["host", "reconcile", "runtime"];

/// Maximum number of manifests with known secrets: `--watch` reads its manifest at every refresh, and a later error may
/// still name a secret that was replaced.
const MASKERS_MAX: usize = 16;

/// Secrets of the manifests that were read, the newest last. `None`: no line may be written yet.
static MASKERS: Mutex<Option<VecDeque<Masker>>> = Mutex::new(None);

/// Format of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LogFormat {
    Text,
    Json,
}

/// Starts the log, where the environment enables it.
pub(crate) fn start() -> Result<(), EarlyExit> {
    let [filter, format] = [std::env::var_os("LCM_LOG"), std::env::var_os("LCM_LOG_FORMAT")];
    let (targets, format) = (filter_of(&filter.unwrap_or_default())?, format_of(&format.unwrap_or_default())?);
    let Some(targets) = targets else { return Ok(()) };
    let lines = fmt::layer().with_ansi(false).with_writer(Lines(format));
    let layer = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    // An error means that a log was started already.
    let _ = registry().with(layer.with_filter(targets)).try_init();
    Ok(())
}

/// Hides the secrets of a manifest in every further line.
pub(crate) fn hide_secrets_of(desired: &Desired) {
    if is_on() {
        hide(desired.masker());
    }
}

/// Permits lines in a command that reads no manifest.
pub(crate) fn no_secrets() {
    hide(Masker::default());
}

fn is_on() -> bool {
    LevelFilter::current() != LevelFilter::OFF
}

fn hide(masker: Masker) {
    let mut maskers = MASKERS.lock().unwrap_or_else(PoisonError::into_inner);
    let maskers = maskers.get_or_insert_default();
    if masker.is_empty() || maskers.contains(&masker) {
        return;
    }
    maskers.push_back(masker);
    if maskers.len() > MASKERS_MAX {
        maskers.pop_front();
    }
}

/// Returns the filter for a value of `LCM_LOG`; `None`: no log.
fn filter_of(value: &OsStr) -> Result<Option<Targets>, EarlyExit> {
    let text = value.to_string_lossy();
    if text.is_empty() {
        return Ok(None);
    }
    let refused = |reason: &dyn Display| {
        let message = format!(
            "invalid LCM_LOG `{text}`: {reason}; write a level (error, warn, info, debug, trace, off) or a list such \
             as `runtime=debug,host=trace`"
        );
        Err(EarlyExit::new(Exit::Usage, Code::Usage, message))
    };
    let parsed: Targets = match text.parse() {
        Ok(parsed) => parsed,
        Err(error) => return refused(&error),
    };
    // The parser takes a word that is no level for a target.
    if let Some((unknown, _)) = parsed.iter().find(|(target, _)| !TARGETS.contains(target)) {
        return refused(&format!("`{unknown}` is neither a level nor one of the targets {}", TARGETS.join(", ")));
    }
    // Events of other crates are never logged.
    let default = parsed.default_level().unwrap_or(LevelFilter::OFF);
    let own = TARGETS.map(|target| (target, default));
    let targets = Targets::new().with_targets(own).with_targets(parsed.iter());
    let is_off = targets.iter().all(|(_, level)| level == LevelFilter::OFF);
    Ok((!is_off).then_some(targets))
}

fn format_of(value: &OsStr) -> Result<LogFormat, EarlyExit> {
    match value.to_str() {
        Some("" | "text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        Some(_) | None => {
            let message = format!("invalid LCM_LOG_FORMAT `{}`: write text or json", value.to_string_lossy());
            Err(EarlyExit::new(Exit::Usage, Code::Usage, message))
        }
    }
}

/// Writer of the log; each write is one event.
#[derive(Clone, Copy, Debug)]
struct Lines(LogFormat);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self::Writer {
        *self
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let maskers = MASKERS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(maskers) = maskers {
            let text = String::from_utf8_lossy(bytes);
            print::log(sentence(&masked(text.trim_end(), self.0, &maskers), Style::PLAIN));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns a line without secrets. In JSON the values are masked, so that it remains JSON.
fn masked(line: &str, format: LogFormat, maskers: &VecDeque<Masker>) -> String {
    if let (LogFormat::Json, Ok(mut json)) = (format, serde_json::from_str(line)) {
        for masker in maskers {
            masker.mask_json(&mut json);
        }
        return json.to_string();
    }
    maskers.iter().fold(line.to_owned(), |line, masker| masker.mask(&line))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tracing::Level;

    use super::{LogFormat, filter_of, format_of, masked};
    use crate::model::secret::{Masker, Secret};

    #[test]
    fn a_level_applies_to_the_own_targets_alone() {
        let filter = filter_of("debug".as_ref()).expect("valid").expect("on");
        assert!(filter.would_enable("runtime", &Level::DEBUG) && filter.would_enable("host", &Level::WARN));
        assert!(!filter.would_enable("runtime", &Level::TRACE) && !filter.would_enable("hyper", &Level::ERROR));
        let filter = filter_of("warn,host=trace".as_ref()).expect("valid").expect("on");
        assert!(filter.would_enable("host", &Level::TRACE) && !filter.would_enable("runtime", &Level::INFO));
        let filter = filter_of("reconcile=info".as_ref()).expect("valid").expect("on");
        assert!(filter.would_enable("reconcile", &Level::INFO) && !filter.would_enable("host", &Level::ERROR));
        for off in ["", "off", "runtime=off"] {
            assert!(filter_of(off.as_ref()).expect("valid").is_none(), "{off:?}");
        }
    }

    #[test]
    fn an_invalid_value_is_refused_with_the_valid_ones() {
        for (value, quoted) in [("debgu", "`debgu` is neither"), ("hyper=debug", "`hyper` is neither"), ("host=7", "")]
        {
            let message = filter_of(value.as_ref()).expect_err(value).message();
            assert!(message.starts_with(&format!("invalid LCM_LOG `{value}`: ")), "{message}");
            assert!(message.contains(quoted) && message.contains("runtime=debug,host=trace"), "{message}");
        }
        assert_eq!(
            format_of("yaml".as_ref()).expect_err("unknown").message(),
            "invalid LCM_LOG_FORMAT `yaml`: write text or json"
        );
    }

    #[test]
    fn json_remains_json_where_a_secret_is_masked() {
        let secrets = [Secret::new("runtime\",\"x"), Secret::new("123456")];
        let maskers = VecDeque::from([Masker::of(secrets.iter())]);
        let line = r#"{"target":"runtime","took_ms":123456,"error":"runtime\",\"x 123456"}"#;
        assert_eq!(
            masked(line, LogFormat::Json, &maskers),
            r#"{"target":"runtime","took_ms":123456,"error":"*** ***"}"#
        );
    }
}
