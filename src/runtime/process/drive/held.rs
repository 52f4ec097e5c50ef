//! Working folder and program that a shim was given: it holds both open as long as it lives, and looks read them there. A
//! path may mean another folder by now, and a folder another path; what is held open is what the service was started with.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use crate::files::held;
use crate::host::paths::id;
use crate::runtime::process::facts::{HeldFact, HeldPath};

/// Descriptors of a shim: beyond those that a program opens by itself, within the usual limit of 1024.
const FOLDER: i32 = 900;
const PROGRAM: i32 = 901;

/// What the kernel puts behind the path of a file that is gone.
const DELETED: &str = " (deleted)";

/// Both, for as long as this lives. A limit that is too low for them costs the comparison, and nothing else.
pub(crate) struct HeldPaths {
    _open: Vec<OwnedFd>,
}

impl HeldPaths {
    pub(crate) fn hold(folder: &Path, program: &Path) -> Self {
        let Ok(folder) = held::hold(folder, FOLDER) else { return Self { _open: Vec::new() } };
        // After the folder, and only with it: a descriptor tells by its number what it is.
        Self { _open: std::iter::once(folder).chain(held::hold(program, PROGRAM)).collect() }
    }
}

/// What a verified shim holds; `None`: it holds nothing (an earlier lcm started it), or may not be looked into.
pub(crate) fn read(shim: i32) -> Option<HeldFact> {
    let folder = one(shim, FOLDER).filter(|(_, is_folder)| *is_folder)?.0;
    let program = one(shim, PROGRAM).filter(|(_, is_folder)| !*is_folder).map(|(path, _)| path);
    Some(HeldFact { folder, program })
}

/// What one descriptor holds, and whether that is a folder.
fn one(shim: i32, descriptor: i32) -> Option<(HeldPath, bool)> {
    let link = format!("/proc/{shim}/fd/{descriptor}");
    let path = fs::read_link(&link).ok()?.to_str()?.to_owned();
    let held = fs::metadata(&link).ok()?;
    let path = path.strip_suffix(DELETED).map_or(path.clone(), str::to_owned);
    let now = fs::metadata(&path).ok().map(|now| id(&now));
    Some((HeldPath { path, id: id(&held), now }, held.is_dir()))
}
