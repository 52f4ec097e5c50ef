//! GPUs that a `docker run` requests, by any of the ways that Docker, the NVIDIA runtime, CDI and AMD have.

use crate::import::writer::YamlValue;
use crate::model::reserved_variables::names_gpus;

/// CDI name of NVIDIA's devices.
const CDI: &str = "nvidia.com/gpu=";
/// Device that every program on an AMD GPU opens.
const AMD: &str = "/dev/kfd";
/// Variable of the NVIDIA runtime, which gives a container GPUs by itself.
const RUNTIME_VARIABLE: &str = "NVIDIA_VISIBLE_DEVICES";

/// GPUs of a service, for its `gpu:`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::import) enum ImportedGpus {
    /// No GPU was asked for.
    #[default]
    Unasked,
    /// All of the host's; lcm assigns one, unless the user writes a list.
    All,
    Count(u32),
    /// Indices and UUIDs.
    These(Vec<String>),
    /// A GPU that the container has without lcm's doing: by device names, or since it was created.
    ByDevice,
}

impl ImportedGpus {
    /// Returns the choice of a variable such as `CUDA_VISIBLE_DEVICES`; `None`: its value can't be read as one.
    pub(in crate::import) fn of_variable(value: &str) -> Option<Self> {
        match value.trim() {
            "all" => Some(Self::All),
            "" | "none" | "void" | "-1" | "NoDevFiles" => Some(Self::Unasked),
            ids => {
                let ids: Vec<String> = ids.split(',').map(|id| id.trim().to_owned()).collect();
                ids.iter().all(|id| is_id(id)).then_some(Self::These(ids))
            }
        }
    }

    /// Returns the value of `gpu:`, with a remark; `None`: the key is not needed.
    pub(in crate::import) fn value(&self) -> Option<(YamlValue, Option<&'static str>)> {
        Some(match self {
            Self::Unasked => return None,
            Self::All => (YamlValue::word("auto"), Some("Docker gave it all GPUs; write a list for several")),
            Self::ByDevice => (YamlValue::word("auto"), None),
            Self::Count(count) => (YamlValue::Flow(vec![("count".to_owned(), YamlValue::word(count))]), None),
            Self::These(ids) => (id_list(ids), None),
        })
    }
}

/// Returns a list of GPUs, with indices as numbers.
pub(in crate::import) fn id_list(ids: &[String]) -> YamlValue {
    let id = |id: &String| if id.parse::<u32>().is_ok() { YamlValue::word(id) } else { YamlValue::text(id) };
    YamlValue::List(ids.iter().map(id).collect())
}

fn is_id(id: &str) -> bool {
    let is_uuid = id.starts_with("GPU-") || id.starts_with("MIG-");
    let is_plain = id.chars().all(|character| character.is_ascii_alphanumeric() || "-/".contains(character));
    // Nine digits fit any integer.
    (is_uuid && is_plain) || (!id.is_empty() && id.len() <= 9 && id.chars().all(|digit| digit.is_ascii_digit()))
}

/// Requests for GPUs within one command.
#[derive(Debug, Default)]
pub(super) struct GpuRequests {
    by_flag: Option<ImportedGpus>,
    by_cdi: Vec<String>,
    by_runtime: bool,
    has_amd: bool,
    /// Variables that select GPUs, with their values.
    variables: Vec<(String, String)>,
}

impl GpuRequests {
    /// Takes a value of `--gpus`; `Err`: it can't be read.
    pub(super) fn flag(&mut self, value: &str) -> Result<(), ()> {
        let (mut choice, mut devices) = (None, Vec::new());
        // Docker reads a line of CSV: `"device=0,1",capabilities=utility`.
        let mut in_devices = false;
        for (at, part) in value.trim_matches('"').split(',').enumerate() {
            let part = part.trim_matches('"');
            match part.split_once('=') {
                Some(("device", id)) => {
                    devices.push(id.to_owned());
                    in_devices = true;
                }
                Some(("count", count)) => choice = Some(count_of(count)?),
                Some(("capabilities" | "driver" | "options", _)) => in_devices = false,
                Some(_) => return Err(()),
                None if in_devices => devices.push(part.to_owned()),
                None if at == 0 => choice = Some(count_of(part)?),
                // One more capability.
                None => {}
            }
        }
        let choice = match (devices.is_empty(), choice) {
            (false, _) if devices.iter().all(|id| is_id(id)) => ImportedGpus::These(devices),
            (false, _) | (true, None) => return Err(()),
            (true, Some(choice)) => choice,
        };
        self.by_flag = Some(choice);
        Ok(())
    }

    /// Takes a device; returns false if it is none of NVIDIA's, so that it stays in `devices`.
    pub(super) fn device(&mut self, device: &str) -> bool {
        self.has_amd |= device.starts_with(AMD);
        let Some(id) = device.strip_prefix(CDI) else { return false };
        self.by_cdi.push(id.to_owned());
        true
    }

    pub(super) fn nvidia_runtime(&mut self) {
        self.by_runtime = true;
    }

    /// Takes a variable; returns false if it selects no GPUs.
    pub(super) fn variable(&mut self, name: &str, value: &str) -> bool {
        let is_one = names_gpus(name);
        if is_one {
            self.variables.push((name.to_owned(), value.to_owned()));
        }
        is_one
    }

    /// Returns the GPUs, and the variables that this choice leaves out.
    pub(super) fn choice(self) -> (ImportedGpus, Vec<(String, String)>) {
        let cdi = match &self.by_cdi[..] {
            [] => None,
            ids if ids.iter().all(|id| is_id(id)) => Some(ImportedGpus::These(self.by_cdi.clone())),
            _ => Some(ImportedGpus::All),
        };
        let of_runtime = self.variables.iter().rev().find(|(name, _)| name == RUNTIME_VARIABLE);
        let by_variable = of_runtime.and_then(|(_, value)| ImportedGpus::of_variable(value));
        let mut left = self.variables.clone();
        let granted = if let Some(choice) = self.by_flag.or(cdi) {
            choice
        } else if let Some(choice) = by_variable {
            left.retain(|(name, _)| name != RUNTIME_VARIABLE);
            choice
        } else if self.by_runtime {
            ImportedGpus::All
        } else if self.has_amd {
            ImportedGpus::ByDevice
        } else {
            ImportedGpus::Unasked
        };
        if granted != ImportedGpus::All {
            return (granted, left);
        }
        // Of all GPUs, the program itself takes those of its own variable.
        let chosen = left.iter().rev().find_map(|(name, value)| {
            let choice = ImportedGpus::of_variable(value).filter(|choice| matches!(choice, ImportedGpus::These(_)));
            choice.filter(|_| name != RUNTIME_VARIABLE)
        });
        match chosen {
            Some(choice) => {
                left.retain(|(_, value)| ImportedGpus::of_variable(value).as_ref() != Some(&choice));
                (choice, left)
            }
            None => (ImportedGpus::All, left),
        }
    }
}

/// Returns the choice of `all` or a number.
fn count_of(text: &str) -> Result<ImportedGpus, ()> {
    match (text, text.parse::<u32>()) {
        ("all" | "-1", _) => Ok(ImportedGpus::All),
        (_, Ok(0)) => Ok(ImportedGpus::Unasked),
        (_, Ok(count)) => Ok(ImportedGpus::Count(count)),
        (_, Err(_)) => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{GpuRequests, ImportedGpus};

    fn these(ids: &[&str]) -> ImportedGpus {
        ImportedGpus::These(ids.iter().map(|id| (*id).to_owned()).collect())
    }

    #[test]
    fn the_values_of_the_gpus_flag() {
        for (value, wanted) in [
            ("all", Some(ImportedGpus::All)),
            ("2", Some(ImportedGpus::Count(2))),
            ("0", Some(ImportedGpus::Unasked)),
            ("device=0", Some(these(&["0"]))),
            ("\"device=0,2\"", Some(these(&["0", "2"]))),
            ("device=GPU-1a,capabilities=utility", Some(these(&["GPU-1a"]))),
            ("all,capabilities=utility", Some(ImportedGpus::All)),
            ("count=3,driver=nvidia", Some(ImportedGpus::Count(3))),
            ("device=$$X", None),
            ("many", None),
            ("", None),
        ] {
            let mut requests = GpuRequests::default();
            let read = requests.flag(value).ok().map(|()| requests.choice().0);
            assert_eq!(read, wanted, "{value}");
        }
    }

    #[test]
    fn the_ways_to_ask_for_gpus_are_one_choice() {
        type Ask = fn(&mut GpuRequests);
        let cases: [(Ask, ImportedGpus, &[&str]); 7] = [
            (|_| {}, ImportedGpus::Unasked, &[]),
            (|ask| ask.nvidia_runtime(), ImportedGpus::All, &[]),
            (|ask| _ = ask.variable("NVIDIA_VISIBLE_DEVICES", "1"), these(&["1"]), &[]),
            (
                |ask| {
                    ask.flag("all").unwrap();
                    ask.variable("CUDA_VISIBLE_DEVICES", "1,0");
                },
                these(&["1", "0"]),
                &[],
            ),
            (
                |ask| {
                    ask.flag("device=3").unwrap();
                    ask.variable("CUDA_VISIBLE_DEVICES", "0");
                },
                these(&["3"]),
                &["CUDA_VISIBLE_DEVICES"],
            ),
            (|ask| _ = ask.device("/dev/kfd"), ImportedGpus::ByDevice, &[]),
            (|ask| _ = ask.device("nvidia.com/gpu=0"), these(&["0"]), &[]),
        ];
        for (number, (ask, wanted, left)) in cases.into_iter().enumerate() {
            let mut requests = GpuRequests::default();
            ask(&mut requests);
            let (choice, others) = requests.choice();
            assert_eq!(choice, wanted, "case {number}");
            assert_eq!(others.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), left, "case {number}");
        }
    }
}
