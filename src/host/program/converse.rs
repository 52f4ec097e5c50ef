//! Runs a command with input on its stdin, and returns an excerpt of its output. The command ends at its deadline at
//! the latest; by then none of its child processes is left or holds the pipe.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

use crate::host::program::environment::Invocation;
use crate::host::program::guard::Guarded;
use crate::host::program::guardian::CommandReport;

/// Bytes kept of the beginning and of the end of the output each: far more than a message shows, so that no part of a
/// secret that is cut in two here remains once the rest is masked and shortened.
const KEPT_BYTES_EACH: usize = 16 << 10;
/// Largest pipe that the kernel gives by default: no more can have been written before the end.
const PIPE_BYTES_MAX: usize = 1 << 20;

/// Runs a command, writes `input` to its stdin, and returns its report with an excerpt of stdout and stderr. `lcm` is
/// the executable that becomes the guardian.
pub(crate) async fn converse(
    lcm: &Path,
    invocation: &Invocation,
    input: &str,
    deadline: Duration,
) -> io::Result<(CommandReport, OutputExcerpt)> {
    let (reader, writer) = io::pipe()?;
    let mut output = Receiver::from_owned_fd(reader.into())?;
    let mut excerpt = OutputExcerpt::default();
    let guarded = Guarded { lcm, invocation, input, deadline };
    let (stdout, stderr) = (writer.try_clone()?.into(), writer.into());
    let listen = async {
        let mut bytes = vec![0; 8 << 10];
        while let Ok(count @ 1..) = output.read(&mut bytes).await {
            excerpt.add(&bytes[..count]);
        }
    };
    let report = tokio::select! {
        report = guarded.run(stdout, stderr) => report?,
        report = async { listen.await; std::future::pending().await } => report,
    };
    take_output(&output, &mut excerpt);
    Ok((report, excerpt))
}

/// Runs a command like [`converse`], and returns its stdout and stderr apart.
pub(crate) async fn query(
    lcm: &Path,
    invocation: &Invocation,
    input: &str,
    deadline: Duration,
) -> io::Result<(CommandReport, OutputExcerpt, OutputExcerpt)> {
    let (reader, writer) = io::pipe()?;
    let (error_reader, error_writer) = io::pipe()?;
    let output = Receiver::from_owned_fd(reader.into())?;
    let errors = Receiver::from_owned_fd(error_reader.into())?;
    let (mut said, mut complained) = (OutputExcerpt::default(), OutputExcerpt::default());
    let guarded = Guarded { lcm, invocation, input, deadline };
    let report = {
        let (said, complained) = (&mut said, &mut complained);
        let listen = async { tokio::join!(listen(&output, said), listen(&errors, complained)) };
        tokio::select! {
            report = guarded.run(writer.into(), error_writer.into()) => report?,
            report = async { listen.await; std::future::pending().await } => report,
        }
    };
    take_output(&output, &mut said);
    take_output(&errors, &mut complained);
    Ok((report, said, complained))
}

/// Reads a pipe until its end.
async fn listen(pipe: &Receiver, excerpt: &mut OutputExcerpt) {
    let mut bytes = vec![0; 8 << 10];
    loop {
        if pipe.readable().await.is_err() {
            return;
        }
        match pipe.try_read(&mut bytes) {
            Ok(count @ 1..) => excerpt.add(&bytes[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
        }
    }
}

/// Adds the output that was written before the end and not read yet. A process that could not be killed may keep
/// writing.
fn take_output(output: &Receiver, excerpt: &mut OutputExcerpt) {
    let mut bytes = vec![0; 8 << 10];
    let mut read = 0;
    while read < PIPE_BYTES_MAX
        && let Ok(count @ 1..) = rustix::io::read(output, &mut bytes[..])
    {
        excerpt.add(&bytes[..count]);
        read += count;
    }
}

/// Beginning and end of an output.
#[derive(Debug, Default)]
pub(crate) struct OutputExcerpt {
    head: Vec<u8>,
    tail: Vec<u8>,
    is_cut: bool,
}

impl OutputExcerpt {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        let headroom = KEPT_BYTES_EACH - self.head.len();
        let (first, rest) = bytes.split_at(bytes.len().min(headroom));
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
    use super::{KEPT_BYTES_EACH, OutputExcerpt};

    #[test]
    fn the_beginning_and_the_end_are_kept() {
        let mut excerpt = OutputExcerpt::default();
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
