//! GPU memory that a model server takes and frees, on simulated GPUs. If none are configured, nothing is taken, and the
//! options have no effect.

use std::env;
use std::path::PathBuf;
use std::process;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::options::Options;
use crate::say;
use crate::world::{After, Holder, VARIABLE, World};

/// Number of steps in which a loading model takes its memory.
const STEPS: u32 = 8;

pub(crate) struct Memory {
    holder: Option<Holder>,
    gpus: Vec<String>,
    mib: u64,
    resident_mib: u64,
    after: After,
    /// Memory taken now, in MiB. The lock is held for a whole change.
    taken_mib: Mutex<u64>,
}

impl Memory {
    /// Opens the simulated GPUs; takes nothing yet.
    pub(crate) fn new(options: &Options) -> Result<Self, String> {
        let after = match options.release_lag {
            _ if options.leak => After::Never,
            Some(lag) => After::Lag(lag),
            None => After::Now,
        };
        let path = env::var_os(VARIABLE).map(PathBuf::from).filter(|_| options.vram_mib > 0);
        let wrong = |path: &PathBuf, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let (holder, gpus) = match path {
            None => (None, Vec::new()),
            Some(path) => {
                let world = World::read(&path).map_err(|error| wrong(&path, &error))?;
                let holder = Holder::new(&path).map_err(|error| wrong(&path, &error))?;
                (Some(holder), visible(&world)?)
            }
        };
        let (mib, resident_mib) = (options.vram_mib, options.resident_mib.min(options.vram_mib));
        Ok(Self { holder, gpus, mib, resident_mib, after, taken_mib: Mutex::new(0) })
    }

    /// Takes all of it, step by step over that time.
    pub(crate) fn take(&self, time: Duration) {
        let mut taken = self.taken_mib.lock().unwrap();
        let missing = self.mib.saturating_sub(*taken);
        let begin = *taken;
        if missing == 0 || time.is_zero() {
            thread::sleep(time);
            self.set(&mut taken, begin + missing);
            return;
        }
        for step in 1..=STEPS {
            thread::sleep(time / STEPS);
            self.set(&mut taken, begin + missing * u64::from(step) / u64::from(STEPS));
        }
    }

    /// Frees all but the resident part.
    pub(crate) fn give_back(&self) {
        let mut taken = self.taken_mib.lock().unwrap();
        let rest = self.resident_mib.min(*taken);
        self.set(&mut taken, rest);
    }

    fn set(&self, taken: &mut u64, mib: u64) {
        *taken = mib;
        let Some(holder) = &self.holder else { return };
        for gpu in &self.gpus {
            match holder.hold(gpu, mib, self.after) {
                Ok(true) => {}
                Ok(false) => end(&format!("out of memory: {gpu} has no {mib} MiB free")),
                Err(error) => end(&format!("the GPU can't be used: {error}")),
            }
        }
    }
}

fn end(why: &str) {
    let _ = say(why);
    eprintln!("model_server: {why}");
    process::exit(1);
}

/// Returns the GPUs of this process, named by UUID or index in the environment; the first one if none are named.
fn visible(world: &World) -> Result<Vec<String>, String> {
    let given = ["CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"].iter().find_map(|name| env::var(name).ok());
    let words = given.filter(|given| given != "all").unwrap_or_else(|| "0".to_owned());
    let named = words.split(',').filter(|word| !matches!(*word, "" | "none" | "void"));
    named
        .map(|word| {
            let by_place = || world.gpus.get(word.parse::<usize>().ok()?);
            let gpu = world.gpu(word).or_else(by_place);
            gpu.map(|gpu| gpu.uuid.clone()).ok_or_else(|| format!("no simulated GPU {word}"))
        })
        .collect()
}
