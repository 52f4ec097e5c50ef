//! Command-line options of the model server.

use std::env;
use std::time::Duration;

use crate::world::mebibytes;

pub(crate) const HELP: &str = "\
Simulated model server, with faults on demand

Usage: model_server [OPTIONS]
       model_server --get URL     request the URL once, print the body; exit 0 for a 2xx, 1 for anything else
       model_server --hold SIZE   hold this much GPU memory until TERM or INT, and serve nothing

  --host ADDRESS        address to listen on [127.0.0.1]; containers need 0.0.0.0
  --port N              port to listen on [$PORT, else 8000]; 0 takes a free one and prints it
  --load D              time to load [0ms]; until then all but /live answers 503
  --work D              time of one job [1s]; jobs run one after the other
  --stop-time D         time from TERM or INT to the end [0ms]
  --vram SIZE           take this much memory on each assigned GPU, in steps while it loads. GPUs are simulated:
                        LCM_SIMULATED_GPU names their file, and without one nothing is taken
  --resident SIZE       keep this much of that when it is unloaded [0MiB]

Faults:
  --ignore-term         ignore TERM and INT; children and daemons do too
  --children N          start N children that sleep
  --daemons N           start N daemons that sleep: forked twice, each in its own session
  --hang-health         accept connections and never answer, except on /live
  --die-after D         exit after this time
  --die-while-loading   exit halfway through loading
  --exit-code N         exit code of these two [1]
  --fail-work           /health succeeds, and work fails with 500
  --keep-port D         a detached child holds the port for this time after the server ends
  --fill SIZE           take this much main memory, to exceed a container's limit
  --flood-log N         write N bytes a second to the log
  --vram-late D         take the memory only this time after loading
  --release-lag D       the memory is freed this time after its end
  --leak                the memory is never freed

Durations D: 250ms, 30s, 2m. SIZE: 18GiB, 512MiB, 20GB.

GET  /live              200 always
GET  /health /system_stats /docs /api/tags       200 once loaded (and while unloaded on request)
GET  /queue /prompt     {\"exec_info\":{\"queue_remaining\":N},\"queue\":N}
GET  /env/NAME          that variable's value, or 404
POST /work              adds a job
POST /unload /load      frees the memory; takes it again
POST /api/generate      with keep_alive 0 as /unload, else adds a job
";

/// Parsed options.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) load: Duration,
    pub(crate) work: Duration,
    pub(crate) stop_time: Duration,
    pub(crate) ignore_term: bool,
    pub(crate) children: u32,
    pub(crate) daemons: u32,
    pub(crate) hang_health: bool,
    pub(crate) die_after: Option<Duration>,
    pub(crate) die_while_loading: bool,
    pub(crate) exit_code: i32,
    pub(crate) fail_work: bool,
    pub(crate) keep_port: Option<Duration>,
    pub(crate) fill_mib: u64,
    pub(crate) flood_log: usize,
    pub(crate) vram_mib: u64,
    pub(crate) resident_mib: u64,
    pub(crate) vram_late: Option<Duration>,
    pub(crate) release_lag: Option<Duration>,
    pub(crate) leak: bool,
}

impl Options {
    pub(crate) fn parse(words: &[String]) -> Result<Options, String> {
        let mut options = Options {
            host: "127.0.0.1".to_owned(),
            port: env::var("PORT").ok().map_or(Ok(8000), |text| number("PORT", &text))?,
            work: Duration::from_secs(1),
            exit_code: 1,
            ..Options::default()
        };
        let mut words = words.iter();
        while let Some(flag) = words.next() {
            let mut value = || words.next().map(String::as_str).ok_or_else(|| format!("{flag} needs a value"));
            match flag.as_str() {
                "--host" => value()?.clone_into(&mut options.host),
                "--port" => options.port = number(flag, value()?)?,
                "--load" => options.load = duration(value()?)?,
                "--work" => options.work = duration(value()?)?,
                "--stop-time" => options.stop_time = duration(value()?)?,
                "--ignore-term" => options.ignore_term = true,
                "--children" => options.children = number(flag, value()?)?,
                "--daemons" => options.daemons = number(flag, value()?)?,
                "--hang-health" => options.hang_health = true,
                "--die-after" => options.die_after = Some(duration(value()?)?),
                "--die-while-loading" => options.die_while_loading = true,
                "--exit-code" => options.exit_code = number(flag, value()?)?,
                "--fail-work" => options.fail_work = true,
                "--keep-port" => options.keep_port = Some(duration(value()?)?),
                "--fill" => options.fill_mib = mebibytes(value()?)?,
                "--flood-log" => options.flood_log = number(flag, value()?)?,
                "--vram" => options.vram_mib = mebibytes(value()?)?,
                "--resident" => options.resident_mib = mebibytes(value()?)?,
                "--vram-late" => options.vram_late = Some(duration(value()?)?),
                "--release-lag" => options.release_lag = Some(duration(value()?)?),
                "--leak" => options.leak = true,
                _ => return Err(format!("no option {flag}; --help lists them")),
            }
        }
        Ok(options)
    }
}

pub(crate) fn number<T: std::str::FromStr>(flag: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{flag} needs a number, not {text}"))
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let amount: u64 = number("a duration", &text[..digits])?;
    match &text[digits..] {
        "ms" => Ok(Duration::from_millis(amount)),
        "s" => Ok(Duration::from_secs(amount)),
        "m" => Ok(Duration::from_secs(amount * 60)),
        _ => Err(format!("a duration is 250ms, 30s or 2m, not {text}")),
    }
}
