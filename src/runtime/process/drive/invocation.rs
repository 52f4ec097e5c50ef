//! Command line, working folder and environment of a service, ready to run.

use std::collections::BTreeMap;

use crate::host::program::environment::{Invocation, fixed, invoke};
use crate::model::desired::Service;
use crate::model::environment::EnvValue;
use crate::runtime::DriverError;
use crate::runtime::process::intent::ProcessSpec;

/// Builds the invocation of the service's own command; an error names what is missing.
pub(crate) fn invocation(
    service: &Service,
    process: &ProcessSpec,
    own: &BTreeMap<String, String>,
) -> Result<Invocation, DriverError> {
    beside(service, process, own, &process.command.argv())
}

/// Builds the invocation of any command in the service's folder and environment.
pub(crate) fn beside(
    service: &Service,
    process: &ProcessSpec,
    own: &BTreeMap<String, String>,
    argv: &[String],
) -> Result<Invocation, DriverError> {
    invoke(argv, process.cwd.clone(), environment(service, process, own)?)
        .map_err(|reason| DriverError::Missing(format!("`{}` can't run: {reason}", service.name)))
}

/// Builds the environment: the fixed part, then the variables in `inherit`, then those of the manifest.
pub(crate) fn environment(
    service: &Service,
    process: &ProcessSpec,
    own: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, DriverError> {
    let mut environment = fixed(own);
    for name in &process.inherit {
        if let Some(value) = own.get(name) {
            environment.insert(name.clone(), value.clone());
        }
    }
    for (name, value) in &process.environment {
        let text = match value {
            EnvValue::Plain(text) => text.clone(),
            EnvValue::Secret(Some(secret)) => secret.reveal().to_owned(),
            EnvValue::Secret(None) => {
                let reason = format!("`{}` can't run: the secret {name} of its environment is not set", service.name);
                return Err(DriverError::Missing(reason));
            }
        };
        environment.insert(name.clone(), text);
    }
    Ok(environment)
}
