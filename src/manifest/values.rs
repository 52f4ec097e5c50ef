//! Files that hold environment values: env files, and secret files with one value each. Bounds hold for all files of a
//! manifest together, and no error quotes a file's contents.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::files::{Refused, named};
use crate::manifest::resolve::{EnvFile, SecretFile};
use crate::manifest::secrets::{EnvironmentFiles, Files};
use crate::syntax::{Environment, dotenv};

/// Largest env file, in bytes; the kernel passes a process an environment of twice this size.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Largest secret, in bytes; the kernel takes variables of twice this size.
const SECRET_BYTES_MAX: usize = 64 << 10;
/// Largest secret file, in bytes: a secret, and the line end that closes the file.
const SECRET_FILE_BYTES_MAX: u64 = SECRET_BYTES_MAX as u64 + 2;
/// Largest sum of all files, in bytes: a cluster in parts, of which most are small.
const TOTAL_BYTES_MAX: u64 = 4 << 20;
/// Most bytes of all env files' variables, once expanded: four environments of the largest size that a kernel takes (2
/// MiB).
const EXPANDED_BYTES_MAX: usize = 8 << 20;

pub(super) const NOT_THERE: &str = "there is no such file";

/// Returns the variables of an env file; none where it can't be read.
#[must_use]
pub fn dotenv(text: &str, environment: &Environment) -> Environment {
    dotenv::parse(text, environment).unwrap_or_default()
}

/// Reads each file once.
pub(super) fn read(named: EnvironmentFiles, environment: &Environment) -> Files {
    let mut reader = ValueReader { environment, bytes_left: TOTAL_BYTES_MAX, expanded_left: EXPANDED_BYTES_MAX };
    let env_files = named.env_files.into_iter().map(|path| {
        // A missing file blocks only the services that name it, so its absence is a value.
        let file = match reader.variables(&path) {
            Err(reason) if reason == NOT_THERE => EnvFile::Missing,
            Err(reason) => EnvFile::Unreadable(reason),
            Ok(variables) => EnvFile::Variables(variables),
        };
        (path, file)
    });
    let env_files: BTreeMap<PathBuf, EnvFile> = env_files.collect();
    let secret_files = named.secret_files.into_iter().map(|path| {
        let secret = reader.secret(&path);
        (path, secret)
    });
    Files { env_files, secret_files: secret_files.collect() }
}

/// Returns the reason why a file can't be read, as the rest of a sentence.
pub(super) fn reason(error: &io::Error) -> String {
    match Refused::of(error) {
        Some(refused) => format!("it {}", refused.reason()),
        None if error.kind() == io::ErrorKind::NotFound => NOT_THERE.to_owned(),
        None => error.to_string().split(" (os error").next().unwrap_or_default().to_lowercase(),
    }
}

fn too_large_for_a_secret() -> String {
    format!("it is larger than {} KiB", SECRET_BYTES_MAX >> 10)
}

struct ValueReader<'a> {
    environment: &'a Environment,
    bytes_left: u64,
    expanded_left: usize,
}

impl ValueReader<'_> {
    fn variables(&mut self, path: &Path) -> Result<Environment, String> {
        let text = self.text(path, FILE_BYTES_MAX)?;
        let variables = dotenv::parse(&text, self.environment)?;
        let expanded: usize = variables.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.expanded_left = self.expanded_left.checked_sub(expanded).ok_or_else(|| {
            format!("the variables of this manifest's env files add up to more than {} MiB", EXPANDED_BYTES_MAX >> 20)
        })?;
        Ok(variables)
    }

    /// Reads a secret. A line end that closes the file is an editor's, and not part of the secret.
    fn secret(&mut self, path: &Path) -> SecretFile {
        let text = self.text(path, SECRET_FILE_BYTES_MAX)?;
        let value = text.strip_suffix('\n').unwrap_or(&text);
        let value = value.strip_suffix('\r').unwrap_or(value);
        match value {
            "" => Err("it is empty".to_owned()),
            _ if value.len() > SECRET_BYTES_MAX => Err(too_large_for_a_secret()),
            _ if value.contains('\0') => Err("no variable can hold a NUL byte".to_owned()),
            _ => Ok(value.to_owned()),
        }
    }

    fn text(&mut self, path: &Path, file_bytes_max: u64) -> Result<String, String> {
        let bytes_max = file_bytes_max.min(self.bytes_left);
        let file = named::read(path, bytes_max).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge if bytes_max < file_bytes_max => {
                let limit = TOTAL_BYTES_MAX >> 20;
                format!("the secret files and env files of this manifest are larger than {limit} MiB together")
            }
            io::ErrorKind::FileTooLarge if file_bytes_max == SECRET_FILE_BYTES_MAX => too_large_for_a_secret(),
            _ => reason(&error),
        })?;
        self.bytes_left -= file.bytes.len() as u64;
        String::from_utf8(file.bytes).map_err(|_| "it is not text in UTF-8".to_owned())
    }
}
