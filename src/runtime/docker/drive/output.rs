//! Output of a container: commands run in it, and its log since its last start.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::query_parameters::{LogsOptions, LogsOptionsBuilder};
use futures_util::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, timeout, timeout_at};

use crate::runtime::contract::{ExecOutcome, LogSearch};
use crate::runtime::docker::drive::engine::{Engine, failure, short};
use crate::runtime::docker::drive::inspect::ContainerActivity;
use crate::runtime::docker::drive::transport::is_too_large;
use crate::runtime::{DriverError, LogMark, Logged};

/// Deadline of reading a log that a busy service has filled for weeks; what is read by then counts.
const LOG_DEADLINE: Duration = Duration::from_secs(20);

/// Bytes kept of the last lines: a service that writes without line ends must not fill lcm's memory.
const TAIL_BYTES_MAX: usize = 256 << 10;

/// Lines read at once while following a log: what a flood writes between two readings. From the log's end, since
/// reading a log of weeks from its beginning takes seconds.
const FOLLOW_LINES: usize = 5_000;

/// Bytes kept of a log during a search: what a chatty server writes in some minutes.
const WINDOW_BYTES_MAX: usize = 4 << 20;
/// Bytes at the first search; the next ones follow whenever they have doubled, so that each byte is searched about
/// twice.
const FIRST_SEARCH_BYTES: usize = 64 << 10;
/// Bytes read in one search: a log of weeks is not read whole for a line that its start wrote.
const SEARCH_BYTES_MAX: usize = 64 << 20;

/// Upper bounds of a byte's and of a line's size in the engine's files. A log smaller than what a rotation leaves was
/// never rotated.
const ESCAPED_BYTES_MAX: u64 = 6;
const LINE_BYTES_MAX: u64 = 128;

/// Beginning of an engine's message that there was nothing to run. It comes in place of the command's output, or as a
/// refusal.
const NOT_RUN: &str = "OCI runtime exec failed";
/// Part of an engine's message about a container that does not run.
const NOT_RUNNING: &str = "is not running";
/// Exit codes of a shell for the same, and of engines that give one.
const NOT_RUN_STATUS: [i64; 2] = [126, 127];
/// Bytes kept of the reason why a command was not run.
const REASON_BYTES_MAX: usize = 2 << 10;

/// Pause between two readings of an exit status, which is there an instant after the output has ended.
const EXIT_STATUS_INTERVAL: Duration = Duration::from_millis(10);

/// Margin of a start's time: the first lines can be older, since the engine records the start once the process runs.
const START_MARGIN: SignedDuration = SignedDuration::from_millis(500);

impl Engine {
    /// Runs a command in a running container. A command that takes longer than `deadline` runs on: the engine has no
    /// way to end it.
    pub async fn exec(&self, id: &str, command: &[String], deadline: Duration) -> Result<ExecOutcome, DriverError> {
        let program = command.first().map_or("", String::as_str);
        match timeout(deadline, self.run_in(id, command)).await {
            Ok(Ok(ran)) => Ok(ran),
            // The container may also have ended since it was inspected.
            Ok(Err(Error::DockerResponseServerError { message, .. }))
                if message.contains(NOT_RUN) || message.contains(NOT_RUNNING) =>
            {
                Ok(ExecOutcome::NotRun(message.trim().to_owned()))
            }
            Ok(Err(error)) => Err(failure(&self.endpoint, format!("run {program} in container {}", short(id)), &error)),
            Err(_elapsed) => Ok(ExecOutcome::TimedOut),
        }
    }

    /// Returns the time of the last start; `None`: the container is gone, or was never started.
    pub async fn started_at(&self, id: &str) -> Result<Option<Timestamp>, DriverError> {
        Ok(self.inspect(id).await?.and_then(|seen| seen.started_at))
    }

    /// Searches the output since the last start, for no longer than `deadline`.
    pub async fn search_log(
        &self,
        id: &str,
        found: impl Fn(&str) -> bool + Send,
        deadline: Duration,
    ) -> Result<LogSearch, DriverError> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).timestamps(true);
        let (mut window, mut search_at, mut bytes) = (String::new(), FIRST_SEARCH_BYTES, 0);
        let mut is_found = false;
        let read = self
            .read_log(
                id,
                None,
                Instant::now() + deadline,
                |since| options.since(since).build(),
                |_, line| {
                    window.push_str(line);
                    bytes += line.len();
                    if window.len() >= search_at {
                        is_found = found(&window);
                        if window.len() >= WINDOW_BYTES_MAX {
                            forget_half(&mut window);
                        }
                        search_at = (window.len() * 2).min(WINDOW_BYTES_MAX);
                    }
                    if is_found || bytes >= SEARCH_BYTES_MAX {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                },
            )
            .await?;
        Ok(match read {
            _ if is_found || found(&window) => LogSearch::Found,
            LogCoverage::Whole => LogSearch::Absent,
            LogCoverage::Part => LogSearch::Incomplete { missing_bytes: 0 },
        })
    }

    /// Returns the output since the last start, at most the last `bytes_max` bytes.
    pub async fn log_since_start(&self, id: &str, bytes_max: usize) -> Result<String, DriverError> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).timestamps(true);
        let lines = self.last_lines(id, bytes_max, |since| options.since(since).build()).await?;
        Ok(lines.into_iter().collect())
    }

    /// Returns the last lines since the last start; none if they can't be read.
    pub async fn log_tail(&self, id: &str, lines: usize) -> Vec<String> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).timestamps(true).tail(&lines.to_string());
        let read = self.last_lines(id, TAIL_BYTES_MAX, |since| options.since(since).build()).await.unwrap_or_default();
        let text: String = read.into_iter().collect();
        let all: Vec<&str> = text.lines().collect();
        all.iter().skip(all.len().saturating_sub(lines)).map(|line| (*line).to_owned()).collect()
    }

    /// Returns the output after `mark`, or since the last start, if the mark is another container's.
    pub async fn log_from(&self, id: &str, mark: Option<&LogMark>) -> Result<Logged, DriverError> {
        // At 0 nothing was written yet, so that reading still begins at the last start.
        let seen = mark.filter(|mark| mark.life == id && mark.position > 0);
        let after = seen.and_then(|mark| Timestamp::from_nanosecond(i128::from(mark.position)).ok());
        let options =
            LogsOptionsBuilder::new().stdout(true).stderr(true).timestamps(true).tail(&FOLLOW_LINES.to_string());
        let mut news = News { after, last: after, ..News::default() };
        let deadline = Instant::now() + LOG_DEADLINE;
        self.read_log(
            id,
            after,
            deadline,
            |since| options.since(since).build(),
            |time, line| {
                news.take(time, line);
                ControlFlow::Continue(())
            },
        )
        .await?;
        let position = news.last.and_then(|last| u64::try_from(last.as_nanosecond()).ok()).unwrap_or(0);
        let mark = LogMark { life: id.to_owned(), position };
        // The engine keeps a long line in parts, so that the last ones may begin in the middle of it.
        let is_torn = !news.has_known && news.lines >= FOLLOW_LINES;
        Ok(Logged { bytes: news.bytes, mark, is_gapless: after.is_none() || !is_torn, is_torn })
    }

    async fn run_in(&self, id: &str, command: &[String]) -> Result<ExecOutcome, Error> {
        let options = CreateExecOptions {
            cmd: Some(command.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..CreateExecOptions::default()
        };
        let exec = self.docker.create_exec(id, options).await?.id;
        let mut reason = None;
        match self.docker.start_exec(&exec, None::<StartExecOptions>).await? {
            // Read to its end, since that is when the command ends. It could hold secrets: except for the engine's own
            // message it is not kept.
            StartExecResults::Attached { mut output, .. } => {
                while let Some(part) = output.next().await.transpose()? {
                    reason = reason.or_else(|| engine_message(&part));
                }
            }
            StartExecResults::Detached => {}
        }
        // Bounded by the caller's timeout.
        loop {
            let exec = self.docker.inspect_exec(&exec).await?;
            if let (Some(false), Some(status)) = (exec.running, exec.exit_code) {
                let reason = reason.filter(|_| NOT_RUN_STATUS.contains(&status));
                return Ok(reason.map_or(ExecOutcome::Ended(status), ExecOutcome::NotRun));
            }
            tokio::time::sleep(EXIT_STATUS_INTERVAL).await;
        }
    }

    /// Returns lines with their ends, in order; only the last ones, if they have more than `bytes_max` bytes.
    async fn last_lines(
        &self,
        id: &str,
        bytes_max: usize,
        options: impl FnOnce(i32) -> LogsOptions,
    ) -> Result<VecDeque<String>, DriverError> {
        let mut lines = VecDeque::new();
        let mut bytes = 0;
        self.read_log(id, None, Instant::now() + LOG_DEADLINE, options, |_, line| {
            bytes += line.len();
            lines.push_back(line.to_owned());
            while bytes > bytes_max && lines.len() > 1 {
                bytes -= lines.pop_front().map_or(0, |line: String| line.len());
            }
            ControlFlow::Continue(())
        })
        .await?;
        Ok(lines)
    }

    /// Passes each line since the last start, or since `after`, with its end, to `take`, until that breaks. `options`
    /// gets the second from which on the engine reports.
    async fn read_log(
        &self,
        id: &str,
        after: Option<Timestamp>,
        deadline: Instant,
        options: impl FnOnce(i32) -> LogsOptions,
        mut take: impl FnMut(Option<Timestamp>, &str) -> ControlFlow<()>,
    ) -> Result<LogCoverage, DriverError> {
        let what = format!("show the log of container {}", short(id));
        let Some(seen) = self.inspect(id).await? else {
            return Err(DriverError::Missing(format!("container {} is gone, and its log with it", short(id))));
        };
        let from = after.or_else(|| began(seen.state, seen.started_at, seen.finished_at));
        let second = from.map_or(0, Timestamp::as_second);
        let mut output = std::pin::pin!(self.docker.logs(id, Some(options(i32::try_from(second).unwrap_or_default()))));
        let (mut older, mut written_max) = (false, 0_u64);
        loop {
            // Lines that are there already would be passed without a check of the clock.
            let next = if Instant::now() < deadline { timeout_at(deadline, output.next()).await.ok() } else { None };
            let Some(next) = next else { return Ok(LogCoverage::Part) };
            let Some(entry) = next else { break };
            let entry = match entry {
                Err(error) if is_too_large(&error) => return Ok(LogCoverage::Part),
                entry => entry.map_err(|error| failure(&self.endpoint, what.clone(), &error))?,
            };
            let entry = String::from_utf8_lossy(entry.as_ref());
            let Some((time, line)) = line_since(&entry, from) else {
                // Older lines are still there: nothing of this start can be gone.
                older = true;
                continue;
            };
            written_max += line.len() as u64 * ESCAPED_BYTES_MAX + LINE_BYTES_MAX;
            if take(time, line).is_break() {
                return Ok(LogCoverage::Part);
            }
        }
        let is_whole = older || written_max == 0 || seen.log_kept_bytes.is_none_or(|kept| written_max < kept);
        Ok(if is_whole { LogCoverage::Whole } else { LogCoverage::Part })
    }
}

/// Part of a log that was not read before.
#[derive(Debug, Default)]
struct News {
    after: Option<Timestamp>,
    last: Option<Timestamp>,
    bytes: Vec<u8>,
    lines: usize,
    /// True if a line was read that was seen before: no line can be missing in between.
    has_known: bool,
    /// True if the last line with a time was seen before, and so were the parts of it that follow.
    is_known: bool,
}

impl News {
    fn take(&mut self, time: Option<Timestamp>, line: &str) {
        self.lines += 1;
        if let Some(time) = time {
            self.is_known = self.after.is_some_and(|after| time <= after);
            self.has_known |= self.is_known;
            self.last = self.last.max(Some(time));
        }
        if !self.is_known {
            self.bytes.extend_from_slice(line.as_bytes());
        }
    }
}

/// Coverage of a log's reading, from the start's first line to its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LogCoverage {
    Whole,
    Part,
}

/// Removes the older half of the window, up to the beginning of a line where there is one.
fn forget_half(window: &mut String) {
    let half = window.len() / 2;
    let line = window.bytes().skip(half).position(|byte| byte == b'\n').map(|end| half + end + 1);
    let to = line.filter(|to| *to < window.len()).unwrap_or_else(|| window.ceil_char_boundary(half));
    window.drain(..to);
}

/// Returns the engine's message in place of the output of a command that it can't run.
fn engine_message(part: &LogOutput) -> Option<String> {
    let text = String::from_utf8_lossy(part.as_ref());
    let message = text.trim();
    message.starts_with(NOT_RUN).then(|| message[..message.floor_char_boundary(REASON_BYTES_MAX)].to_owned())
}

/// Returns a time that separates the output of the last start from earlier output. Lines carry the time at which the
/// engine read them: those of the previous run come right after its end, those of this run may come a little before its
/// recorded start. The middle of the pause is neither. The end of a container that does not run is this run's own, even
/// if recorded before the start: engines do that for a container that ends at once.
fn began(state: ContainerActivity, started: Option<Timestamp>, finished: Option<Timestamp>) -> Option<Timestamp> {
    let started = started?;
    let runs = matches!(state, ContainerActivity::Running | ContainerActivity::Paused);
    match finished.filter(|finished| runs && *finished < started) {
        Some(finished) => started.checked_sub(started.duration_since(finished) / 2).ok(),
        // The container never ended, or this very run has.
        None => Some(started.saturating_sub(START_MARGIN).unwrap_or(Timestamp::MIN)),
    }
}

/// Returns the line without the engine's time before it, and that time; `None`: the line is older.
fn line_since(entry: &str, from: Option<Timestamp>) -> Option<(Option<Timestamp>, &str)> {
    let Some((time, line)) = entry.split_once(' ') else { return Some((None, entry)) };
    match (time.parse::<Timestamp>(), from) {
        (Ok(time), Some(from)) if time < from => None,
        (Ok(time), _) => Some((Some(time), line)),
        // A part of a long line has no time of its own.
        (Err(_), _) => Some((None, entry)),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{ContainerActivity, News, began, line_since};

    fn at(text: &str) -> Option<Timestamp> {
        text.parse().ok()
    }

    #[test]
    fn a_container_that_ends_at_once_keeps_its_output() {
        let (started, finished) = (at("2026-11-20T10:00:01.3Z"), at("2026-11-20T10:00:01.299Z"));
        let written = "2026-11-20T10:00:01.290000000Z out of memory\n";
        for ended in [ContainerActivity::Ended, ContainerActivity::Restarting] {
            let from = began(ended, started, finished);
            assert!(line_since(written, from).is_some(), "{ended:?}: {from:?}");
        }
        let between = at("2026-11-20T10:00:01.2995Z");
        assert_eq!(began(ContainerActivity::Running, started, finished), between, "the end of the previous run");
        assert_eq!(began(ContainerActivity::Running, started, None), at("2026-11-20T10:00:00.8Z"));
        assert_eq!(began(ContainerActivity::Created, None, None), None);
    }

    #[test]
    fn lines_from_before_the_start_are_left_out() {
        let from = at("2026-11-20T10:00:00.5Z");
        assert_eq!(line_since("2026-11-20T10:00:00.400000000Z old\n", from), None);
        let new = (at("2026-11-20T10:00:00.6Z"), "new line\n");
        assert_eq!(line_since("2026-11-20T10:00:00.600000000Z new line\n", from), Some(new));
        assert_eq!(line_since("the rest of a long line", from), Some((None, "the rest of a long line")));
    }

    #[test]
    fn a_line_that_was_seen_is_not_news_and_neither_are_its_parts() {
        let mut news = News { after: at("2026-11-20T10:00:00.6Z"), ..News::default() };
        for (time, line) in [
            (at("2026-11-20T10:00:00.5Z"), "older\n"),
            (at("2026-11-20T10:00:00.6Z"), "seen, "),
            (None, "and its second part\n"),
            (at("2026-11-20T10:00:00.600000001Z"), "new, "),
            (None, "and its second part\n"),
        ] {
            news.take(time, line);
        }
        assert_eq!(String::from_utf8(news.bytes).expect("text"), "new, and its second part\n");
        assert_eq!((news.last, news.has_known), (at("2026-11-20T10:00:00.600000001Z"), true));
    }
}
