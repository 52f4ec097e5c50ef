//! Terminal of a given width, and the output of a program on it.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Default height of terminals.
const ROWS: u16 = 24;

/// Opens a new terminal; returns the test's side and the program's side.
pub(crate) fn sides(rows: u16, columns: u16) -> (File, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let outer = openpt(flags).expect("a terminal");
    grantpt(&outer).and_then(|()| unlockpt(&outer)).expect("a terminal of ours");
    let inner = ioctl_tiocgptpeer(&outer, flags).expect("its other side");
    tcsetwinsize(&inner, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).expect("a size");
    (File::from(outer), inner)
}

/// Runs a program to its end with a terminal as its stdout; returns its exit code and its output.
pub(crate) fn shown(mut command: Command, columns: u16) -> (Option<i32>, String) {
    let (mut outer, inner) = sides(ROWS, columns);
    let mut child = command.stdout(inner).stderr(Stdio::null()).spawn().expect("a program to run");
    // The command holds the inner side too, and reading ends once it is closed everywhere.
    drop(command);
    let mut bytes = Vec::new();
    // Reading a terminal whose other side is closed fails with EIO.
    let _ = outer.read_to_end(&mut bytes);
    let code = child.wait().expect("its end").code();
    (code, String::from_utf8(bytes).expect("UTF-8").replace("\r\n", "\n"))
}
