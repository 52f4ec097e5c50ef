//! `lcm logs`.

use std::fmt::Write as _;
use std::time::Duration;

use crate::cli::args::ChooseArgs;
use crate::cli::exit::Exit;
use crate::cli::interrupt::{self, Interrupts};
use crate::cli::names;
use crate::cli::opened::{self, Opened};
use crate::cli::plan::data;
use crate::cli::session::Session;
use crate::cli::stop::Stop;
use crate::model::names::ServiceName;
use crate::model::secret;

/// Looks live to a reader.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(300);

/// Following reads so many last lines at a time: more than that within an interval are skipped, and said to be.
const FOLLOW_LINES: usize = 5_000;

/// Show what services wrote since they were last started
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Services to show
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<ServiceName>,
    /// Manifest to read
    #[arg(short, long, default_value = "lcm.yaml", value_name = "MANIFEST")]
    manifest: std::path::PathBuf,
    #[command(flatten)]
    choose: ChooseArgs,
    /// Go on showing what they write, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Last lines to show of each
    #[arg(short = 'n', long, default_value_t = 100, value_name = "N")]
    lines: u16,
}

pub(super) async fn run(session: &Session, args: &Args) -> Result<Exit, Stop> {
    let opened = opened::open_to_look(session, &args.manifest, &args.choose)?;
    names::check("service", &args.services, opened.desired.services.keys())?;
    let lines = usize::from(args.lines);
    if !args.follow {
        for name in &args.services {
            let tail = tail(&opened, name, lines).await;
            show(&opened, args, name, &tail)?;
        }
        return Ok(Exit::Done);
    }
    let mut interrupts = Interrupts::listen(|_, _| ())?;
    interrupts.begin_run();
    let mut seen: Vec<Option<Vec<String>>> = vec![None; args.services.len()];
    loop {
        for (name, seen) in args.services.iter().zip(&mut seen) {
            let now = tail(&opened, name, FOLLOW_LINES).await;
            let new = match seen {
                None => &now[now.len().saturating_sub(lines)..],
                Some(before) => &now[already_seen(before, &now)..],
            };
            show(&opened, args, name, new)?;
            *seen = Some(now);
        }
        tokio::select! {
            () = tokio::time::sleep(FOLLOW_INTERVAL) => {}
            heard = interrupts.heard.wait_for(Option::is_some) => {
                let heard = heard.ok().and_then(|heard| *heard);
                return Ok(heard.map_or(Exit::Done, interrupt::exit_of));
            }
        }
    }
}

async fn tail(opened: &Opened, name: &ServiceName, lines: usize) -> Vec<String> {
    match opened.desired.services.get(name) {
        Some(service) => opened.driver().log_tail(&opened.desired.project, service, lines).await,
        None => Vec::new(),
    }
}

/// How many lines of `now` are the end of `before`: the longest overlap, so that nothing is shown twice.
fn already_seen(before: &[String], now: &[String]) -> usize {
    let longest = before.len().min(now.len());
    (0..=longest).rev().find(|overlap| before.ends_with(&now[..*overlap])).unwrap_or(0)
}

fn show(opened: &Opened, args: &Args, name: &ServiceName, lines: &[String]) -> Result<(), Stop> {
    let width = args.services.iter().map(|service| service.as_str().len()).max().unwrap_or(0);
    let mut text = String::new();
    for line in lines {
        if args.services.len() > 1 {
            let _ = write!(text, "{name:width$} | ");
        }
        text.push_str(&secret::mask(line, opened.desired.secrets()));
        text.push('\n');
    }
    data(&text)
}

#[cfg(test)]
mod tests {
    use super::already_seen;

    fn lines(text: &str) -> Vec<String> {
        text.chars().map(String::from).collect()
    }

    #[test]
    fn only_what_is_new_is_shown() {
        let seen = |before, now| already_seen(&lines(before), &lines(now));
        assert_eq!(seen("abc", "abcd"), 3);
        assert_eq!(seen("abc", "cde"), 1, "the oldest went out at the other end");
        assert_eq!(seen("abc", "xyz"), 0, "a new life has a new log");
        assert_eq!(seen("", "ab"), 0);
        assert_eq!(seen("aaa", "aaaa"), 3, "the same line again");
        assert_eq!(seen("ab", ""), 0);
    }
}
