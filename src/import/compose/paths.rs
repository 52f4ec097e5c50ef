//! Relative paths of a Compose file that another file names: they start from its own folder, and are written anew as
//! seen from the project's.

use std::path::Path;

use crate::import::compose::values::{cut, rebased};
use crate::syntax::tree::{MapEntry, Node, Value};

/// Rewrites all paths of a file in the folder `base`, which is relative to the project's.
pub(super) fn rebase_file(root: &mut Node, base: &Path, adapt: &mut dyn FnMut(&str) -> String) {
    if base.as_os_str().is_empty() {
        return;
    }
    for service in entries(root.get_mut("services")) {
        rebase_service(&mut service.value, base, adapt);
    }
    for section in ["configs", "secrets"] {
        for entry in entries(root.get_mut(section)) {
            path_at(&mut entry.value, "file", base, adapt);
        }
    }
    let Some(include) = root.get_mut("include") else { return };
    each(include, &mut |item| match &item.value {
        Value::Map(_) => {
            for key in ["path", "project_directory", "env_file"] {
                if let Some(paths) = item.get_mut(key) {
                    each(paths, &mut |path| rewrite(path, base, adapt));
                }
            }
        }
        Value::Null | Value::Scalar(_) | Value::List(_) => rewrite(item, base, adapt),
    });
}

fn rebase_service(service: &mut Node, base: &Path, adapt: &mut dyn FnMut(&str) -> String) {
    if let Some(extends) = service.get_mut("extends") {
        path_at(extends, "file", base, adapt);
    }
    for key in ["env_file", "label_file"] {
        let Some(files) = service.get_mut(key) else { continue };
        each(files, &mut |file| match &file.value {
            Value::Map(_) => path_at(file, "path", base, adapt),
            Value::Null | Value::Scalar(_) | Value::List(_) => rewrite(file, base, adapt),
        });
    }
    if let Some(volumes) = service.get_mut("volumes") {
        each(volumes, &mut |volume| match &volume.value {
            Value::Map(_) => path_at(volume, "source", base, adapt),
            Value::Null | Value::Scalar(_) | Value::List(_) => rewrite_mount(volume, base, adapt),
        });
    }
    if let Some(build) = service.get_mut("build") {
        match &build.value {
            Value::Map(_) => path_at(build, "context", base, adapt),
            Value::Null | Value::Scalar(_) | Value::List(_) => rewrite(build, base, adapt),
        }
    }
}

fn entries(node: Option<&mut Node>) -> &mut [MapEntry] {
    match node.map(|node| &mut node.value) {
        Some(Value::Map(entries)) => entries,
        Some(Value::Null | Value::Scalar(_) | Value::List(_)) | None => &mut [],
    }
}

/// Calls the function for each item of a list, or for a single value.
fn each(node: &mut Node, change: &mut dyn FnMut(&mut Node)) {
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(change),
        Value::Null | Value::Scalar(_) | Value::Map(_) => change(node),
    }
}

fn path_at(node: &mut Node, key: &str, base: &Path, adapt: &mut dyn FnMut(&str) -> String) {
    // The source of a volume may be its name.
    let is_path = |text: &str| key != "source" || text.starts_with(['.', '~', '$', '/']);
    if let Some(path) = node.get_mut(key)
        && path.scalar().is_some_and(is_path)
    {
        rewrite(path, base, adapt);
    }
}

fn rewrite(node: &mut Node, base: &Path, adapt: &mut dyn FnMut(&str) -> String) {
    if let Value::Scalar(scalar) = &mut node.value
        && !scalar.text.contains("://")
    {
        scalar.text = rebased(&adapt(&scalar.text), base);
    }
}

/// Rewrites the source in a volume's short form.
fn rewrite_mount(node: &mut Node, base: &Path, adapt: &mut dyn FnMut(&str) -> String) {
    let Value::Scalar(scalar) = &mut node.value else { return };
    let Some((source, rest)) = cut(&scalar.text, &[':']) else { return };
    if source.starts_with(['.', '$']) {
        scalar.text = format!("{}:{rest}", rebased(&adapt(source), base));
    }
}
