//! Simulated GPUs of one test: a copy of the simulated library, and its state file. lcm gets [`Gpus::library`] as
//! `LCM_NVML_LIB`, and model servers get [`Gpus::path`] as `LCM_SIMULATED_GPU`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::server::{built, hash_of};
use crate::world::{Gpu, Hold, Quirk, World};

const SOURCES: [&str; 3] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/examples/simulated_gpu/lib.rs"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/examples/simulated_gpu/pids.rs"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/examples/simulated_gpu/world.rs"),
];

const FLAGS: [&str; 6] = ["--edition", "2024", "--crate-type", "cdylib", "-C", "strip=symbols"];

/// Returns the library, as `cargo build --examples` would build it.
pub(crate) fn simulated_library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| built("libsimulated_gpu.so", SOURCES[0], &FLAGS, &hash_of(&SOURCES, &FLAGS)))
}

/// Reason why the pids that a driver lists can't be attributed on this host.
pub(crate) fn nameless() -> Option<&'static str> {
    // The inode of the host's pid namespace: the same on every machine.
    let host = Path::new("pid:[4026531836]");
    let own = fs::read_link("/proc/self/ns/pid").is_ok_and(|own| own != host);
    own.then_some("drivers list the host's pids, and this container has its own")
}

pub(crate) struct Gpus {
    folder: TempDir,
}

impl Gpus {
    /// GPUs of these sizes in MiB, `GPU-0` and so on, of which the driver keeps 100 MiB each.
    pub(crate) fn new(sizes_mib: &[u64]) -> Self {
        let gpus = sizes_mib.iter().enumerate().map(|(index, total_mib)| Gpu {
            uuid: format!("GPU-{index}"),
            parent: None,
            total_mib: *total_mib,
            reserved_mib: 100,
            name: "Simulated GPU".to_owned(),
        });
        Self::of(&World { driver: "550.54.14".to_owned(), gpus: gpus.collect(), ..World::default() })
    }

    pub(crate) fn of(world: &World) -> Self {
        let folder = TempDir::with_prefix("lcm-gpus-").expect("a folder");
        let gpus = Self { folder };
        fs::copy(simulated_library(), gpus.library()).expect("a copy of the library");
        world.replace(&gpus.path()).expect("a world");
        gpus.change(|_| ());
        gpus
    }

    pub(crate) fn library(&self) -> PathBuf {
        self.folder.path().join("libnvidia-ml.so.1")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("libnvidia-ml.so.1.world")
    }

    /// Returns the current state.
    pub(crate) fn world(&self) -> World {
        World::now(&self.path()).expect("a world")
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut World)) {
        World::change(&self.path(), change).expect("a changed world");
    }

    pub(crate) fn set(&self, quirks: &[Quirk]) {
        self.change(|world| world.quirks = quirks.to_vec());
    }

    /// Adds a process that holds this much memory forever.
    pub(crate) fn hold(&self, gpu: &str, pid: u32, mib: u64) {
        let hold = Hold { gpu: gpu.to_owned(), pid, mib, ..Hold::default() };
        self.change(|world| world.holds.push(hold));
    }

    /// Removes symbols from the library, as in an older driver. Must be called before it is loaded.
    pub(crate) fn without(&self, symbols: &[&str]) {
        let mut bytes = fs::read(self.library()).expect("the library");
        for symbol in symbols {
            let name = format!("\0{symbol}\0").into_bytes();
            let places: Vec<usize> =
                bytes.windows(name.len()).enumerate().filter(|(_, bytes)| *bytes == name).map(|(at, _)| at).collect();
            assert!(!places.is_empty(), "the library has no {symbol}");
            // A different name in its place, so that the symbol table finds neither.
            for at in places {
                bytes[at + 1] = b'_';
            }
        }
        fs::write(self.library(), bytes).expect("the library");
    }
}
