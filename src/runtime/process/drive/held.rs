//! Working folder and program of a start: the shim holds both open as long as it lives, and later inspections read them
//! from its descriptors. A path may lead to another folder by now, and the folder may have another path; the open files
//! are those that the service was started with.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use crate::files::held;
use crate::host::paths::id;
use crate::runtime::process::facts::{HeldFact, HeldPath};

/// Descriptor numbers in a shim: above those that a program opens by itself, within the usual limit of 1024.
const FOLDER: i32 = 900;
const PROGRAM: i32 = 901;

/// Suffix that the kernel adds to the path of a deleted file.
const DELETED: &str = " (deleted)";

/// Open descriptors of both, for the lifetime of the value. If the limit of descriptors is too low, only the comparison
/// is lost.
pub(crate) struct HeldPaths {
    _open: Vec<OwnedFd>,
}

impl HeldPaths {
    pub(crate) fn hold(folder: &Path, program: &Path) -> Self {
        let Ok(folder) = held::hold(folder, FOLDER) else { return Self { _open: Vec::new() } };
        // After the folder, and only with it: the number of a descriptor identifies the file.
        Self { _open: std::iter::once(folder).chain(held::hold(program, PROGRAM)).collect() }
    }
}

/// Reads the files that a verified shim holds open; `None`: it holds none (an earlier lcm started it), or its
/// descriptors can't be read.
pub(crate) fn read(shim: i32) -> Option<HeldFact> {
    let folder = read_descriptor(shim, FOLDER).filter(|(_, is_folder)| *is_folder)?.0;
    let program = read_descriptor(shim, PROGRAM).filter(|(_, is_folder)| !*is_folder).map(|(path, _)| path);
    Some(HeldFact { folder, program })
}

/// Reads the file behind a descriptor; the flag is true if it is a folder.
fn read_descriptor(shim: i32, descriptor: i32) -> Option<(HeldPath, bool)> {
    let link = format!("/proc/{shim}/fd/{descriptor}");
    let path = fs::read_link(&link).ok()?.to_str()?.to_owned();
    let held = fs::metadata(&link).ok()?;
    let path = path.strip_suffix(DELETED).map_or(path.clone(), str::to_owned);
    let now = fs::metadata(&path).ok().map(|now| id(&now));
    Some((HeldPath { path, id: id(&held), now }, held.is_dir()))
}
