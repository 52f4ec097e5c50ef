//! Resolution of what a container gets from the host: volumes and devices.

use crate::manifest::resolve::context::ResolveContext;
use crate::syntax::located::Located;
use crate::syntax::scalar::is_name;

/// Returns the volumes for the engine, with absolute paths, and for the spec, with the paths that the manifest means.
pub(super) fn volumes(context: &mut ResolveContext<'_>, written: &[Located<String>]) -> (Vec<String>, Vec<String>) {
    let (mut volumes, mut spec) = (Vec::new(), Vec::new());
    for volume in written {
        let mut parts = volume.splitn(3, ':');
        let (source, target, options) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let Some(target) = target.filter(|target| target.starts_with('/')) else {
            let message = format!("invalid volume `{}`", volume.value);
            let help = "write `SOURCE:TARGET` with an absolute target, and `:ro` to mount it read-only";
            context.error_with_help("lcm::manifest::volume", volume.span, (message, "this volume"), help);
            continue;
        };
        let options = options.map(|options| format!(":{options}")).unwrap_or_default();
        if source.starts_with(['/', '.', '~']) {
            let path = Located { value: source.to_owned(), ..volume.clone() };
            let Some(absolute) = context.path(&path) else { continue };
            spec.push(format!("{}:{target}{options}", context.spec_path(source, &absolute)));
            volumes.push(format!("{}:{target}{options}", absolute.display()));
        } else if is_name(source) {
            spec.push(volume.value.clone());
            volumes.push(volume.value.clone());
        } else {
            let message = format!("`{source}` is neither a volume's name nor a path");
            let help = format!("for a folder beside this file write `./{source}`");
            context.error_with_help("lcm::manifest::volume", volume.span, (message, "this volume"), help);
        }
    }
    (volumes, spec)
}

/// Returns the devices in the engine's form.
pub(super) fn devices(context: &mut ResolveContext<'_>, written: &[Located<String>]) -> Vec<String> {
    let mut devices = Vec::new();
    for device in written {
        let parts: Vec<&str> = device.split(':').collect();
        let rights = |text: &str| !text.is_empty() && text.chars().all(|right| "rwm".contains(right));
        let valid = match parts[..] {
            [host] => host.starts_with('/'),
            [host, inside] => host.starts_with('/') && inside.starts_with('/'),
            [host, inside, last] => host.starts_with('/') && inside.starts_with('/') && rights(last),
            _ => false,
        };
        if valid {
            let whole = if parts.len() == 1 { format!("{0}:{0}", device.value) } else { device.value.clone() };
            devices.push(whole);
        } else {
            let message = format!("invalid device `{}`", device.value);
            let help = "write `/dev/dri` or `/dev/dri:/dev/dri:rw`; for NVIDIA GPUs write `gpu:` beside `docker:`";
            context.error_with_help("lcm::manifest::device", device.span, (message, "this device"), help);
        }
    }
    devices
}
