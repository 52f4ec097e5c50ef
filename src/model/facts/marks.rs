//! Marks that lcm writes on each instance that it starts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::desired::{Service, VramAmount};
use crate::model::names::{ProjectName, ServiceName};
use crate::model::secret::Masker;
use crate::model::size::Mebibytes;

/// Figures read of one mark: more than any machine has GPUs.
const FIGURES_MAX: usize = 256;

/// Marks that lcm wrote on an instance at its start, to recognize it later: labels of a container, environment
/// variables of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Marks {
    pub project: String,
    pub service: String,
    /// Hash of the spec at the time of the start.
    #[serde(default)]
    pub spec: String,
    /// Digest of the secrets, salted with `salt`.
    #[serde(default)]
    pub secrets: String,
    /// Random text, new for each instance: it salts the digest, and distinguishes one start of a process from the next.
    #[serde(default)]
    pub salt: String,
    /// JSON `{"spec": …, "stop": …}` with secrets masked: the spec that the instance was created from, and its stop
    /// policy.
    #[serde(default)]
    pub config: String,
    /// GPUs that the instance was placed on, separated by commas.
    #[serde(default)]
    pub gpus: String,
    /// GPU memory that the service declared at the start, on each of these GPUs, in MiB.
    #[serde(default)]
    pub vram_mib: u64,
    /// GPU memory on each of `gpus`, in their order, in MiB; absent if it is the same on all. `vram_mib` is then the
    /// largest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uneven_mib: Vec<u64>,
    /// Container only: the name that it was created under; empty if an older version of lcm created it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Machine whose lcm started the instance, as `HOSTNAME/DIGEST`; empty if unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host_id: String,
    /// Uid of the user whose lcm started the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Container only: version of the list of settings that lcm compares with the manifest, in the lcm that created the
    /// container.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub compared: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Marks {
    /// Returns true if the marked instance was created for this service: the one test that decides what may be touched.
    #[must_use]
    pub fn are_of(&self, project: &ProjectName, service: &ServiceName) -> bool {
        self.project == project.as_str() && self.service == service.as_str()
    }

    /// Returns the GPUs that it was placed on, by the ids that they had then.
    pub fn placed_on(&self) -> impl Iterator<Item = &str> {
        self.gpus.split(',').filter(|id| !id.is_empty())
    }

    /// Returns the GPU memory on the GPU at this position of [`Marks::placed_on`].
    #[must_use]
    pub fn vram_on(&self, position: usize) -> Mebibytes {
        Mebibytes::bounded(self.uneven_mib.get(position).copied().unwrap_or(self.vram_mib))
    }

    /// Sets the GPU memory from the text of a mark: one figure, or one for each GPU. A text that is none counts as 0.
    #[must_use]
    pub fn with_vram(self, text: &str) -> Self {
        let figures: Option<Vec<u64>> = text.split(',').take(FIGURES_MAX).map(|figure| figure.parse().ok()).collect();
        let figures = figures.unwrap_or_default();
        let vram_mib = figures.iter().copied().max().unwrap_or_default();
        Self { vram_mib, uneven_mib: if figures.len() > 1 { figures } else { Vec::new() }, ..self }
    }

    /// Returns the text of the mark of its GPU memory: the opposite of [`Marks::with_vram`].
    #[must_use]
    pub fn figures(&self) -> String {
        match &self.uneven_mib[..] {
            [] => self.vram_mib.to_string(),
            figures => figures.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        }
    }

    /// Returns the text of a mark for a placed service's GPU memory.
    #[must_use]
    pub fn vram_text(service: &Service) -> String {
        let figure = |amount: &VramAmount| amount.on(Mebibytes::ZERO).0.to_string();
        match service.vram_by_gpu.as_deref() {
            Some(amounts @ [_, _, ..]) => amounts.iter().map(figure).collect::<Vec<_>>().join(","),
            Some(_) | None => service.vram.0.to_string(),
        }
    }

    /// Masks the config, which is JSON in a text: an earlier lcm may have written a secret into it.
    pub(crate) fn mask(&mut self, masker: &Masker) {
        let Ok(before) = serde_json::from_str::<serde_json::Value>(&self.config) else {
            return masker.mask_in_place(&mut self.config);
        };
        let mut masked = before.clone();
        masker.mask_json(&mut masked);
        if masked != before {
            self.config = masked.to_string();
        }
    }
}
