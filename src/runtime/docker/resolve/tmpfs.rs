//! Resolution of folders in memory.

use std::collections::BTreeMap;

use crate::manifest::resolve::context::ResolveContext;
use crate::runtime::docker::settings::tidy;
use crate::runtime::docker::wire::DockerBlock;
use crate::syntax::fault::suggest;
use crate::syntax::located::Located;

/// Mount options that engines take for a folder in memory, besides those with a value.
const FLAGS: [&str; 22] = [
    "defaults",
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "sync",
    "async",
    "dirsync",
    "mand",
    "nomand",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
];

/// Mount options with a value.
const SETTINGS: [&str; 7] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];

/// Returns the options of folders in memory, keyed by mount point.
pub(super) fn tmpfs(context: &mut ResolveContext<'_>, written: &DockerBlock) -> BTreeMap<String, String> {
    let mut mounted: Vec<String> =
        written.volumes.iter().filter_map(|volume| Some(tidy(volume.split(':').nth(1)?))).collect();
    let mut folders = BTreeMap::new();
    for folder in written.tmpfs.iter().flat_map(|folders| &folders.0) {
        let (path, options) = folder.split_once(':').unwrap_or((&folder.value, ""));
        if !path.starts_with('/') || path.contains(char::is_control) {
            let message = format!("the folder `{path}` is not an absolute path");
            let help = "write `PATH` or `PATH:OPTIONS`, with a path that begins with `/`";
            context.error_with_help("lcm::manifest::option", folder.span, (message, "this folder"), help);
            continue;
        }
        let path = tidy(path);
        if mounted.contains(&path) {
            let message = format!("`{path}` is mounted twice");
            context.error("lcm::manifest::conflict", folder.span, message, "this folder");
        }
        check(context, folder, options);
        mounted.push(path.clone());
        folders.insert(path, options.to_owned());
    }
    folders
}

fn check(context: &mut ResolveContext<'_>, folder: &Located<String>, options: &str) {
    for option in options.split(',').filter(|_| !options.is_empty()) {
        let known = option.split_once('=').map_or(FLAGS.contains(&option), |(name, value)| is_setting(name, value));
        if !known {
            let name = option.split('=').next().unwrap_or(option);
            let help = match name {
                "size" => "write it like `size=64m`, with k, m or g, or as a share of the memory like `size=50%`",
                "mode" => "write it in octal digits, like `mode=1777`",
                other => &suggest(other, FLAGS.into_iter().chain(SETTINGS)),
            };
            let message = format!("invalid mount option `{option}`");
            context.error_with_help("lcm::manifest::option", folder.span, (message, "this folder"), help);
        }
    }
}

fn is_setting(name: &str, value: &str) -> bool {
    let is_digits = |text: &str, digits: &str| !text.is_empty() && text.chars().all(|digit| digits.contains(digit));
    let decimal = "0123456789";
    match name {
        "size" | "nr_inodes" | "nr_blocks" => {
            let units: &[char] =
                if name == "size" { &['k', 'K', 'm', 'M', 'g', 'G', '%'] } else { &['k', 'K', 'm', 'M'] };
            is_digits(value.strip_suffix(units).unwrap_or(value), decimal)
        }
        "mode" => is_digits(value, "01234567"),
        "uid" | "gid" => is_digits(value, decimal),
        _ => SETTINGS.contains(&name) && !value.is_empty(),
    }
}
