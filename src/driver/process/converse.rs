//! Runs a command that is told something on its stdin and whose words are wanted. It ends at its deadline at the latest,
//! and takes its whole process group with it then: what it left behind must neither run on nor hold the pipe.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe::Receiver;
use tokio::time::{sleep, timeout};

use crate::driver::process::command::{self, Ended};
use crate::driver::process::environment::Invocation;
use crate::driver::process::proc;

/// Of what is written first, and of what is written last: far more than anybody is shown, so that a secret that is cut
/// in two here shows nowhere once the rest is masked and shortened.
const KEPT_BYTES_EACH: usize = 16 << 10;
/// The largest pipe that the kernel gives by default: more can't have been written before the end.
const PIPE_BYTES_MAX: usize = 1 << 20;
/// Only where the kernel has no pidfds.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Says `said` to it, and keeps what it writes to stdout and stderr.
pub(crate) async fn converse(invocation: &Invocation, said: &[u8], deadline: Duration) -> io::Result<(Ended, Excerpt)> {
    let (reader, writer) = io::pipe()?;
    let mut output = Receiver::from_owned_fd(reader.into())?;
    let mut command = command::ready(invocation);
    command.stdin(Stdio::piped()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // Below the child, so that it goes first.
    let group = Group(command::group_of(&child));
    // The copies of the pipe's other end that are kept in here.
    drop(command);
    let stdin = child.stdin.take();
    let mut excerpt = Excerpt::default();
    let talk = async {
        if let Some(mut stdin) = stdin {
            // Who does not want to hear it closes its end.
            let _ = stdin.write_all(said).await;
        }
    };
    let listen = async {
        let mut bytes = vec![0; 8 << 10];
        while let Ok(count @ 1..) = output.read(&mut bytes).await {
            excerpt.add(&bytes[..count]);
        }
    };
    let over = tokio::select! {
        over = timeout(deadline, exited(group.0)) => over,
        () = async { tokio::join!(talk, listen); std::future::pending().await } => Ok(()),
    };
    // Not waited for yet, so that its group's number can't belong to anyone else.
    drop(group);
    // It may have joined another group.
    let _ = child.start_kill();
    let status = child.wait().await?;
    drain(&output, &mut excerpt);
    Ok((if over.is_ok() { Ended::of(status) } else { Ended::TimedOut }, excerpt))
}

/// Killed when dropped, whoever drops it.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Returns when the process has ended, without waiting for it as its parent.
async fn exited(process: Option<Pid>) {
    let Some(pid) = process else { return };
    #[expect(deprecated, reason = "an owned descriptor does what the safe function can't demand of all types")]
    let held = pidfd_open(pid, PidfdFlags::empty()).ok().and_then(|held| AsyncFd::new(held).ok());
    if let Some(held) = held
        && held.readable().await.is_ok()
    {
        return;
    }
    while proc::stat(pid.as_raw_nonzero().get()).is_some_and(|stat| stat.is_alive()) {
        sleep(LOOK_PAUSE).await;
    }
}

/// What was written before the end and not read yet. One that fled from its group may go on writing.
fn drain(output: &Receiver, excerpt: &mut Excerpt) {
    let mut bytes = vec![0; 8 << 10];
    let mut read = 0;
    while read < PIPE_BYTES_MAX
        && let Ok(count @ 1..) = rustix::io::read(output, &mut bytes[..])
    {
        excerpt.add(&bytes[..count]);
        read += count;
    }
}

/// The beginning and the end of what was written.
#[derive(Debug, Default)]
pub(crate) struct Excerpt {
    head: Vec<u8>,
    tail: Vec<u8>,
    is_cut: bool,
}

impl Excerpt {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        let room = KEPT_BYTES_EACH - self.head.len();
        let (first, rest) = bytes.split_at(bytes.len().min(room));
        self.head.extend_from_slice(first);
        self.tail.extend_from_slice(rest);
        if self.tail.len() > KEPT_BYTES_EACH {
            self.is_cut = true;
            self.tail.drain(..self.tail.len() - KEPT_BYTES_EACH);
        }
    }

    pub(crate) fn text(&self) -> String {
        if !self.is_cut {
            return String::from_utf8_lossy(&[&self.head[..], &self.tail[..]].concat()).into_owned();
        }
        format!("{}\n…\n{}", String::from_utf8_lossy(&self.head), String::from_utf8_lossy(&self.tail))
    }
}

#[cfg(test)]
mod tests {
    use super::{Excerpt, KEPT_BYTES_EACH};

    #[test]
    fn the_beginning_and_the_end_are_kept() {
        let mut excerpt = Excerpt::default();
        excerpt.add(b"first\n");
        excerpt.add("é".as_bytes());
        assert_eq!(excerpt.text(), "first\né");
        for _ in 0..10 {
            excerpt.add(&vec![b'x'; KEPT_BYTES_EACH]);
        }
        excerpt.add(b"last");
        let text = excerpt.text();
        assert!(text.starts_with("first\n") && text.ends_with("xxlast") && text.contains("\n…\n"));
        assert!(text.len() <= 2 * KEPT_BYTES_EACH + 10);
    }
}
