//! Arguments of an operator: who gives the command, why, and for which services.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::cli::exit::Exit;
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::model::names::ServiceName;
use crate::reconcile::Project;
use crate::reconcile::lock;

/// A word is read in a line of a plan; what needs more belongs into a ticket that it names.
const TEXT_MAX: usize = 500;
/// Few enough to be read, and for one row of the store.
const METADATA_MAX: usize = 20;

/// Operator who gives a command, and the reason.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct OperatorArgs {
    /// Why, for whoever asks later
    #[arg(long, value_name = "TEXT", value_parser = text)]
    reason: Option<String>,
    /// In whose name, where the login name does not tell
    #[arg(long = "as", value_name = "NAME", value_parser = text)]
    by: Option<String>,
}

/// Services that a hold is put on, and by whom.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct HoldArgs {
    /// Services that it is about
    #[arg(required = true, value_name = "SERVICE")]
    pub(crate) services: Vec<ServiceName>,
    /// Manifest to read
    #[arg(short, long, default_value = "lcm.yaml", value_name = "MANIFEST")]
    pub(crate) manifest: PathBuf,
    #[command(flatten)]
    pub(crate) voice: OperatorArgs,
    /// Something to keep with it, for programs; may be given several times
    #[arg(long = "meta", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) metadata: Vec<(String, String)>,
    /// Take this file, made by `lcm observe`, for the machine, and change it instead
    #[arg(long, value_name = "FILE")]
    pub(crate) world: Option<PathBuf>,
}

/// On one line, and short enough for one.
pub(crate) fn text(given: &str) -> Result<String, String> {
    let given = given.trim();
    match given.chars().count() {
        0 => Err("it is empty".to_owned()),
        _ if given.chars().any(char::is_control) => Err("it has to be one line of plain text".to_owned()),
        count if count > TEXT_MAX => Err(format!("it has {count} characters, and may have {TEXT_MAX}")),
        _ => Ok(given.to_owned()),
    }
}

fn pair(given: &str) -> Result<(String, String), String> {
    let (key, value) = given.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((text(key)?, text(value)?))
}

impl OperatorArgs {
    pub(crate) fn by(&self, session: &Session) -> String {
        self.by.clone().unwrap_or_else(|| lock::who(&session.environment))
    }

    /// Returns the reason, masked: it may quote a secret.
    pub(crate) fn reason(&self, opened: &Project) -> Option<String> {
        self.reason.as_ref().map(|reason| opened.desired.masker().mask(reason))
    }
}

impl HoldArgs {
    /// Returns what is to be kept with the hold.
    pub(crate) fn metadata(&self) -> Result<BTreeMap<String, String>, EarlyExit> {
        let metadata: BTreeMap<String, String> = self.metadata.iter().cloned().collect();
        if metadata.len() > METADATA_MAX {
            let message = format!("--meta may be given {METADATA_MAX} times, not {}", metadata.len());
            return Err(EarlyExit::new(Exit::Usage, Code::Usage, message));
        }
        Ok(metadata)
    }
}

/// Last line of a command that was only to show what it would do.
pub(crate) const DRY_RUN: &str = "Dry run: nothing was changed.";
