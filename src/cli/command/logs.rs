//! `lcm logs`.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;

use crate::cli::answer::unwritten;
use crate::cli::args::{ChooseArgs, READ_WORLD, names};
use crate::cli::exit::Exit;
use crate::cli::opened;
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::interrupt::Interrupts;
use crate::cli::terminal::session::Session;
use crate::model::names::ServiceName;
use crate::reconcile::Project;
use crate::report::feed::{Feed, prefix, shown};
use crate::report::output::Output;
use crate::report::print::{self, ReaderState};
use crate::runtime::{DriverError, LogMark, Logged};

/// Time between two reads: short enough to look live.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(300);

/// Show the logs of services since their last start
#[derive(Debug, clap::Args)]
#[command(mut_arg("world", |arg| arg.help(READ_WORLD)))]
pub(crate) struct Args {
    /// Services to show
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<ServiceName>,
    /// Manifest to read
    #[arg(short, long, default_value = "lcm.yaml", value_name = "MANIFEST")]
    manifest: std::path::PathBuf,
    #[command(flatten)]
    choose: ChooseArgs,
    /// Follow the logs, across restarts, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Number of most recent lines to show of each service
    #[arg(short = 'n', long, alias = "lines", default_value_t = 100, value_name = "N")]
    tail: u16,
    /// Don't begin lines with the service's name when several services are shown
    #[arg(long)]
    no_prefix: bool,
}

/// One service, and how far its log was read.
struct Followed<'a> {
    name: &'a ServiceName,
    prefix: String,
    feed: Feed<'a>,
    mark: Option<LogMark>,
    /// Last note on the service, so that each is shown once.
    noted: Option<String>,
    /// Error of the last read.
    unread: Option<String>,
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<Exit, EarlyExit> {
    let opened = opened::open_to_look(session, &args.manifest, &args.choose).await?;
    names::check("service", &args.services, opened.desired.services.keys())?;
    let all: Vec<&ServiceName> = opened.desired.services.keys().collect();
    // In the order in which they are named; a service named twice is shown once.
    let mut named = BTreeSet::new();
    let services: Vec<ServiceName> = args.services.iter().filter(|name| named.insert(*name)).cloned().collect();
    let is_prefixed = services.len() > 1 && !args.no_prefix;
    let prefix = |name| if is_prefixed { prefix(name, &services, &all, session.stdout) } else { String::new() };
    let masker = opened.desired.masker();
    let followed = services.iter().map(|name| Followed {
        name,
        prefix: prefix(name),
        feed: Feed::new(&masker),
        mark: None,
        noted: None,
        unread: None,
    });
    let mut followed: Vec<Followed<'_>> = followed.collect();
    let mut interrupts = Interrupts::of_a_run()?;
    // The first read is shown whole, before any signal is handled: with `-f` or without, the beginning is the same.
    let mut tail = Some(usize::from(args.tail));
    loop {
        let turn = turn(session, &opened, &mut followed, tail.take());
        let reader = tokio::select! {
            reader = turn => reader?,
            exit = interrupts.exit() => return ended(session, &mut followed, exit),
        };
        if reader == ReaderState::Gone {
            return Ok(Exit::Done);
        }
        if !args.follow {
            let exit = ended(session, &mut followed, Exit::Done)?;
            return all_read(&followed).map(|()| exit);
        }
        for one in &mut followed {
            one.report_unread(session);
        }
        tokio::select! {
            () = tokio::time::sleep(FOLLOW_INTERVAL) => {}
            exit = interrupts.exit() => return ended(session, &mut followed, exit),
        }
    }
}

/// Reads all logs at once, and shows the new lines of each in turn. `tail`: maximum number of lines, at the first read.
async fn turn(
    session: &Session,
    opened: &Project,
    followed: &mut [Followed<'_>],
    tail: Option<usize>,
) -> Result<ReaderState, EarlyExit> {
    let read = join_all(followed.iter().map(|one| read(opened, one))).await;
    let mut text = Output::default();
    for (one, read) in followed.iter_mut().zip(read) {
        let lines = one.update(session, read);
        let from = tail.map_or(0, |tail| lines.len().saturating_sub(tail));
        text.extend(lines[from..].iter().map(|line| one.line(session, line)));
    }
    if text.is_empty() {
        return Ok(ReaderState::There);
    }
    print::stream(&text).map_err(|error| unwritten(&error))
}

async fn read(opened: &Project, one: &Followed<'_>) -> Result<Option<Logged>, DriverError> {
    let Some(service) = opened.desired.services.get(one.name) else { return Ok(None) };
    opened.driver().log_from(&opened.desired.project, service, one.mark.as_ref()).await
}

/// Prints the unfinished last lines.
fn ended(session: &Session, followed: &mut [Followed<'_>], exit: Exit) -> Result<Exit, EarlyExit> {
    let rests: Vec<Option<String>> = followed.iter_mut().map(|one| one.feed.end()).collect();
    let lines = followed.iter().zip(rests).filter_map(|(one, rest)| Some(one.line(session, &rest?)));
    print::data(&lines.collect::<Output>()).map_err(|error| unwritten(&error))?;
    Ok(exit)
}

/// Returns the error of the logs that can't be read: without `-f` the exit code reports them, too.
fn all_read(followed: &[Followed<'_>]) -> Result<(), EarlyExit> {
    let unread: Vec<String> = followed.iter().filter_map(Followed::why_unread).collect();
    if unread.is_empty() { Ok(()) } else { Err(EarlyExit::refused(Code::Log, unread.join("; "))) }
}

impl Followed<'_> {
    fn update(&mut self, session: &Session, read: Result<Option<Logged>, DriverError>) -> Vec<String> {
        let (lines, note) = match read {
            Ok(Some(Logged { bytes, mark, is_gapless, is_torn })) => {
                if is_torn {
                    self.feed.skip();
                }
                // Another instance does not continue a line of the last one.
                let is_new = self.mark.as_ref().is_some_and(|before| before.life != mark.life);
                let rest = if is_new { self.feed.end() } else { None };
                let mut lines: Vec<String> = rest.into_iter().collect();
                lines.extend(self.feed.push(&bytes));
                self.mark = Some(mark);
                (lines, (!is_gapless).then(|| "some lines were lost before they could be shown".to_owned()))
            }
            Ok(None) if self.mark.is_some() => (Vec::new(), Some("removed, together with its log".to_owned())),
            Ok(None) => (Vec::new(), Some("no output yet".to_owned())),
            Err(error) => {
                self.unread = Some(error.to_string());
                return Vec::new();
            }
        };
        self.unread = None;
        if let Some(note) = note.as_ref().filter(|note| self.noted.as_ref() != Some(note)) {
            session.note(&format!("{}: {note}", self.name));
        }
        self.noted = note;
        lines
    }

    /// Reports an unreadable log, also with `--quiet`: a reader with `-f` would wait for it.
    fn report_unread(&mut self, session: &Session) {
        if let Some(why) = self.why_unread().filter(|why| self.noted.as_ref() != Some(why)) {
            session.say(&why);
            self.noted = Some(why);
        }
    }

    fn why_unread(&self) -> Option<String> {
        self.unread.as_ref().map(|error| format!("can't read the log of {}: {error}", self.name))
    }

    fn line(&self, session: &Session, line: &str) -> Output {
        shown(&self.prefix, line, session.stdout)
    }
}
