//! Arguments of an operator: the name, the reason, and the services.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::cli::exit::Exit;
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::model::names::ServiceName;
use crate::reconcile::Project;
use crate::reconcile::lock;

/// Maximum length in characters: the text is one line of a plan; more belongs into a ticket that it names.
const TEXT_MAX: usize = 500;
/// Maximum number of entries: few enough to be read, and for one row of the store.
const METADATA_MAX: usize = 20;

/// Operator who gives a command, and the reason.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct OperatorArgs {
    /// Reason to record
    #[arg(long, value_name = "TEXT", value_parser = text)]
    reason: Option<String>,
    /// Name to record instead of the login name
    #[arg(long = "as", value_name = "NAME", value_parser = text)]
    by: Option<String>,
}

/// Services of a hold, and the operator who sets it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct HoldArgs {
    /// Services to act on
    #[arg(required = true, value_name = "SERVICE")]
    pub(crate) services: Vec<ServiceName>,
    /// Manifest to read
    #[arg(short, long, default_value = "lcm.yaml", value_name = "MANIFEST")]
    pub(crate) manifest: PathBuf,
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    /// Metadata for programs, to record beside the reason; may be given several times
    #[arg(long = "meta", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) metadata: Vec<(String, String)>,
    /// Use this snapshot, made by `lcm observe`, instead of the machine; changes are simulated and written to it
    #[arg(long, value_name = "FILE")]
    pub(crate) world: Option<PathBuf>,
}

/// Parses a text of one line, for clap. Errors: an empty, multi-line or too long one.
pub(crate) fn text(given: &str) -> Result<String, String> {
    let given = given.trim();
    match given.chars().count() {
        0 => Err("must not be empty".to_owned()),
        _ if given.chars().any(char::is_control) => Err("must be one line of plain text".to_owned()),
        count if count > TEXT_MAX => Err(format!("has {count} characters; the maximum is {TEXT_MAX}")),
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
    /// Returns the metadata to store with the hold. Errors: too many entries.
    pub(crate) fn metadata(&self) -> Result<BTreeMap<String, String>, EarlyExit> {
        let metadata: BTreeMap<String, String> = self.metadata.iter().cloned().collect();
        if metadata.len() > METADATA_MAX {
            let message = format!("--meta may be given at most {METADATA_MAX} times, not {}", metadata.len());
            return Err(EarlyExit::new(Exit::Usage, Code::Usage, message));
        }
        Ok(metadata)
    }
}

/// Last line of a command that only showed what it would do.
pub(crate) const DRY_RUN: &str = "Dry run: nothing was changed.";
