//! What comes out of a container: commands run in it, and its log since its last start.

use std::collections::VecDeque;
use std::time::Duration;

use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::query_parameters::{LogsOptions, LogsOptionsBuilder};
use futures_util::StreamExt as _;
use jiff::{SignedDuration, Timestamp};

use crate::driver::DriverError;
use crate::driver::docker::inspect::Seen;
use crate::driver::docker::{Engine, failure, short};

/// Reading a log that a busy service has filled for weeks; what is read by then must do.
const LOG_DEADLINE: Duration = Duration::from_secs(20);

/// The most that is kept of the last lines: a service that writes without line ends must not fill our memory.
const TAIL_BYTES_MAX: usize = 256 << 10;

/// A command's exit status is on the books an instant after its output has ended.
const EXIT_STATUS_INTERVAL: Duration = Duration::from_millis(10);

/// The first lines can be older than the start that the engine notes: it notes it once the process runs.
const START_MARGIN: SignedDuration = SignedDuration::from_millis(500);

impl Engine {
    /// Runs a command in a running container and returns its exit status. One that takes longer than `timeout` is an
    /// error; the engine knows no way to end it.
    pub async fn exec(&self, id: &str, command: &[String], timeout: Duration) -> Result<i64, DriverError> {
        let program = command.first().map_or("", String::as_str);
        let what = format!("run {program} in container {}", short(id));
        match tokio::time::timeout(timeout, self.run_in(id, command)).await {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(error)) => Err(failure(&self.endpoint, what, &error)),
            Err(_elapsed) => {
                let reason = format!("it has not ended within {} s", timeout.as_secs_f32());
                Err(DriverError::Engine { what, reason })
            }
        }
    }

    /// What it wrote since its last start, at most the last `bytes_max`.
    pub async fn log_since_start(&self, id: &str, bytes_max: usize) -> Result<String, DriverError> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).timestamps(true);
        let lines = self.read_log(id, bytes_max, |since| options.since(since).build()).await?;
        Ok(lines.into_iter().collect())
    }

    /// The last lines since its last start; none where they can't be read.
    pub async fn log_tail(&self, id: &str, lines: usize) -> Vec<String> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).timestamps(true).tail(&lines.to_string());
        let read = self.read_log(id, TAIL_BYTES_MAX, |since| options.since(since).build()).await.unwrap_or_default();
        let text: String = read.into_iter().collect();
        let all: Vec<&str> = text.lines().collect();
        all.iter().skip(all.len().saturating_sub(lines)).map(|line| (*line).to_owned()).collect()
    }

    async fn run_in(&self, id: &str, command: &[String]) -> Result<i64, bollard::errors::Error> {
        let options = CreateExecOptions {
            cmd: Some(command.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..CreateExecOptions::default()
        };
        let exec = self.docker.create_exec(id, options).await?.id;
        match self.docker.start_exec(&exec, None::<StartExecOptions>).await? {
            // Read to its end, since that is when the command ends; kept nowhere.
            StartExecResults::Attached { mut output, .. } => while output.next().await.transpose()?.is_some() {},
            StartExecResults::Detached => {}
        }
        // Bounded by the caller's timeout.
        loop {
            let exec = self.docker.inspect_exec(&exec).await?;
            if let (Some(false), Some(status)) = (exec.running, exec.exit_code) {
                return Ok(status);
            }
            tokio::time::sleep(EXIT_STATUS_INTERVAL).await;
        }
    }

    /// Lines with their ends, in order. `options` is given the second from which on the engine shall tell.
    async fn read_log(
        &self,
        id: &str,
        bytes_max: usize,
        options: impl FnOnce(i32) -> LogsOptions,
    ) -> Result<VecDeque<String>, DriverError> {
        let what = format!("show the log of container {}", short(id));
        let Some(seen) = self.inspect(id).await? else {
            return Err(DriverError::Missing(format!("container {} is gone, and its log with it", short(id))));
        };
        let from = began(&seen);
        let second = from.map_or(0, Timestamp::as_second);
        let mut output = std::pin::pin!(self.docker.logs(id, Some(options(i32::try_from(second).unwrap_or_default()))));
        let mut lines = VecDeque::new();
        let mut bytes = 0;
        let deadline = tokio::time::Instant::now() + LOG_DEADLINE;
        while let Ok(Some(entry)) = tokio::time::timeout_at(deadline, output.next()).await {
            let entry = entry.map_err(|error| failure(&self.endpoint, what.clone(), &error))?;
            let entry = String::from_utf8_lossy(entry.as_ref());
            let Some(line) = line_since(&entry, from) else { continue };
            bytes += line.len();
            lines.push_back(line.to_owned());
            while bytes > bytes_max && lines.len() > 1 {
                bytes -= lines.pop_front().map_or(0, |line| line.len());
            }
        }
        Ok(lines)
    }
}

/// A moment that parts the output of the last start from what was written before it. Lines carry the time at which the
/// engine read them: those of the life before come right after its end, those of this one may come a little before
/// the start that is noted. The middle of the pause between is neither.
fn began(seen: &Seen) -> Option<Timestamp> {
    let started = seen.started_at?;
    let before = seen.finished_at.filter(|finished| *finished < started);
    match before {
        Some(finished) => Some(started - (started.duration_since(finished) / 2)),
        // It never ended, or this very life has.
        None => Some(started - START_MARGIN),
    }
}

/// The line without the engine's time before it; `None`: it is older.
fn line_since(entry: &str, from: Option<Timestamp>) -> Option<&str> {
    let Some((time, line)) = entry.split_once(' ') else { return Some(entry) };
    match (time.parse::<Timestamp>(), from) {
        (Ok(time), Some(from)) if time < from => None,
        (Ok(_), _) => Some(line),
        // A part of a long line has no time of its own.
        (Err(_), _) => Some(entry),
    }
}

#[cfg(test)]
mod tests {
    use super::line_since;

    #[test]
    fn lines_from_before_the_start_are_left_out() {
        let from = "2026-11-20T10:00:00.5Z".parse().ok();
        assert_eq!(line_since("2026-11-20T10:00:00.400000000Z old\n", from), None);
        assert_eq!(line_since("2026-11-20T10:00:00.600000000Z new line\n", from), Some("new line\n"));
        assert_eq!(line_since("the rest of a long line", from), Some("the rest of a long line"));
    }
}
