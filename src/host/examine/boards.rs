//! GPU boards on the PCI bus, with or without a driver.

use std::path::Path;

use crate::files::kernel;
use crate::model::doctor::readings::{GpuBoard, GpuVendor};

const DEVICES: &str = "/sys/bus/pci/devices";
/// More devices than any bus has.
const DEVICES_MAX: usize = 4096;

/// Classes of display controllers and of accelerators without a display.
const CLASSES: [&str; 2] = ["0x03", "0x12"];

pub(super) fn read() -> Vec<GpuBoard> {
    read_in(Path::new(DEVICES))
}

fn read_in(devices: &Path) -> Vec<GpuBoard> {
    let names = kernel::names(devices).into_iter().flatten().take(DEVICES_MAX);
    let mut boards: Vec<GpuBoard> = names.filter_map(|name| board(&devices.join(name))).collect();
    boards.sort_by(|one, other| one.address.cmp(&other.address));
    boards
}

fn board(device: &Path) -> Option<GpuBoard> {
    let text = |name: &str| Some(kernel::table(device.join(name)).ok()?.trim().to_owned());
    let class = text("class")?;
    let vendor = match text("vendor")?.as_str() {
        "0x10de" => GpuVendor::Nvidia,
        "0x1002" => GpuVendor::Amd,
        _ => return None,
    };
    let driver = std::fs::read_link(device.join("driver")).ok();
    let driver = driver.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let address = device.file_name()?.to_string_lossy().into_owned();
    CLASSES.iter().any(|prefix| class.starts_with(prefix)).then_some(GpuBoard { vendor, address, driver })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::{GpuBoard, GpuVendor, read_in};

    #[test]
    fn boards_are_read_by_class_and_vendor() {
        let bus = tempfile::tempdir().expect("a folder");
        for (address, class, vendor) in [
            ("0000:01:00.0", "0x030000", "0x10de"),
            ("0000:01:00.1", "0x040300", "0x10de"),
            ("0000:02:00.0", "0x120000", "0x1002"),
            ("0000:03:00.0", "0x030000", "0x1a03"),
        ] {
            let device = bus.path().join(address);
            fs::create_dir(&device).expect("made");
            fs::write(device.join("class"), format!("{class}\n")).expect("written");
            fs::write(device.join("vendor"), format!("{vendor}\n")).expect("written");
        }
        symlink("../../drivers/nouveau", bus.path().join("0000:01:00.0/driver")).expect("linked");
        let board = |vendor, address: &str, driver: Option<&str>| GpuBoard {
            vendor,
            address: address.to_owned(),
            driver: driver.map(str::to_owned),
        };
        let expected =
            [board(GpuVendor::Nvidia, "0000:01:00.0", Some("nouveau")), board(GpuVendor::Amd, "0000:02:00.0", None)];
        assert_eq!(read_in(bus.path()), expected);
        assert_eq!(read_in(&bus.path().join("none")), []);
    }
}
