//! Arguments of `docker run`: flags, image, and the command in the container, by the rules of Docker's flag parser.

use crate::import::docker_run::flags::{RunFlag, by_letter, by_name};

/// Arguments, read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RunArguments {
    /// Flags in their order, each with its value; a switch has `true` or `false`.
    pub(super) flags: Vec<(&'static RunFlag, String)>,
    /// Names of flags that the table does not have.
    pub(super) unknown: Vec<String>,
    /// `None`: there is no image.
    pub(super) image: Option<String>,
    pub(super) command: Vec<String>,
}

/// Reads arguments: flags up to the first word that is none, which is the image.
pub(super) fn read(words: &[String]) -> RunArguments {
    let mut read = RunArguments::default();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
            long_flag(&mut read, &mut rest, long);
        } else if word == "--" {
            read.image = rest.next().cloned();
            break;
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            letters_of(&mut read, &mut rest, letters);
        } else {
            read.image = Some(word.clone());
            break;
        }
    }
    read.command = rest.cloned().collect();
    read
}

/// Reads `--flag`, `--flag=value`, or `--flag value`.
fn long_flag(read: &mut RunArguments, rest: &mut std::slice::Iter<'_, String>, long: &str) {
    let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
    match (by_name(name), value) {
        (Some(flag), Some(value)) => read.flags.push((flag, value.to_owned())),
        (Some(flag), None) if flag.takes_value => {
            read.flags.push((flag, rest.next().cloned().unwrap_or_default()));
        }
        (Some(flag), None) => read.flags.push((flag, "true".to_owned())),
        (None, value) => {
            read.unknown.push(format!("--{name}"));
            if value.is_none() {
                skip_value(rest);
            }
        }
    }
}

/// Reads letters: `-it`, `-p 80:80`, `-p80:80`, `-itp=80:80`.
fn letters_of(read: &mut RunArguments, rest: &mut std::slice::Iter<'_, String>, letters: &str) {
    for (at, letter) in letters.char_indices() {
        let after = &letters[at + letter.len_utf8()..];
        match by_letter(letter) {
            Some(flag) if flag.takes_value => {
                let attached = after.strip_prefix('=').unwrap_or(after);
                let value =
                    if after.is_empty() { rest.next().cloned().unwrap_or_default() } else { attached.to_owned() };
                read.flags.push((flag, value));
                return;
            }
            Some(flag) => match after.strip_prefix('=') {
                Some(value) => {
                    read.flags.push((flag, value.to_owned()));
                    return;
                }
                None => read.flags.push((flag, "true".to_owned())),
            },
            None => {
                read.unknown.push(format!("-{letter}"));
                if after.is_empty() {
                    skip_value(rest);
                }
                return;
            }
        }
    }
}

/// Skips the value of an unknown flag, if the next word is more likely that than an image.
fn skip_value(rest: &mut std::slice::Iter<'_, String>) {
    let mut ahead = rest.clone();
    let is_value = ahead.next().is_some_and(|next| !next.starts_with('-') && !next.contains(['/', ':']));
    // A last word can only be the image.
    if is_value && ahead.next().is_some() {
        rest.next();
    }
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::syntax::command_line;

    fn told(line: &str) -> String {
        let read = read(&command_line::split(line).unwrap());
        let flags: Vec<String> = read.flags.iter().map(|(flag, value)| format!("{}={value}", flag.long)).collect();
        format!(
            "{} | {} | {} | {}",
            flags.join(" "),
            read.unknown.join(" "),
            read.image.as_deref().unwrap_or("none"),
            read.command.join(" ")
        )
    }

    #[test]
    fn flags_are_read_as_docker_reads_them() {
        for (line, wanted) in [
            ("-it --rm x a -b", "interactive=true tty=true rm=true |  | x | a -b"),
            ("-p8080:80 -p=1:2 -p 3:4 x", "publish=8080:80 publish=1:2 publish=3:4 |  | x | "),
            ("-itp 80:80 --gpus=all x", "interactive=true tty=true publish=80:80 gpus=all |  | x | "),
            ("--gpus all --init=false x", "gpus=all init=false |  | x | "),
            ("--entrypoint '' x --rm", "entrypoint= |  | x | --rm"),
            ("--rm -- x y", "rm=true |  | x | y"),
            ("--rm", "rm=true |  | none | "),
            ("-e", "env= |  | none | "),
            ("--odd=1 --odder --rm x", "rm=true | --odd --odder | x | "),
            ("--odd 1 reg/x:2 y", " | --odd | reg/x:2 | y"),
            ("--odd reg/x:2 y", " | --odd | reg/x:2 | y"),
            ("-Zx img", " | -Z | img | "),
        ] {
            assert_eq!(told(line), wanted, "{line}");
        }
    }
}
