//! `lcm logs`.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};

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

/// Logs that are read at once: each may have some megabytes to show.
const READ_AT_ONCE: usize = 8;

/// Show the logs of services since their last start
#[derive(Debug, clap::Args)]
#[command(mut_arg("world", |arg| arg.help(READ_WORLD)))]
pub(crate) struct Args {
    /// Services to show [default: all services of the manifest]
    #[arg(value_name = "SERVICE")]
    services: Vec<ServiceName>,
    /// Manifest to read
    #[arg(short, long, default_value = "lcm.yaml", value_name = "MANIFEST")]
    manifest: std::path::PathBuf,
    #[command(flatten)]
    choose: ChooseArgs,
    /// Follow the logs, across restarts, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Number of most recent lines to show of each service; with 0 and `-f`, only new lines
    #[arg(short = 'n', long, alias = "lines", default_value_t = 100, value_name = "N")]
    tail: u16,
    /// Don't begin lines with the service's name when several services, or all, are shown
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
    /// True if an operator named the service: then it is reported that it has no output.
    is_named: bool,
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<Exit, EarlyExit> {
    let opened = opened::open_to_look(session, &args.manifest, &args.choose).await?;
    names::check("service", &args.services, opened.desired.services.keys())?;
    let all: Vec<&ServiceName> = opened.desired.services.keys().collect();
    // In the order in which they are named; a service named twice is shown once.
    let mut named = BTreeSet::new();
    let is_named = !args.services.is_empty();
    let of = if is_named { args.services.iter().collect() } else { all.clone() };
    let services: Vec<ServiceName> = of.into_iter().filter(|name| named.insert(*name)).cloned().collect();
    let is_prefixed = (services.len() > 1 || !is_named) && !args.no_prefix;
    let prefix = |name| if is_prefixed { prefix(name, &services, &all, session.stdout) } else { String::new() };
    let masker = opened.desired.masker();
    let followed = services.iter().map(|name| Followed {
        name,
        prefix: prefix(name),
        feed: Feed::new(&masker),
        mark: None,
        noted: None,
        unread: None,
        is_named,
    });
    let mut followed: Vec<Followed<'_>> = followed.collect();
    let mut interrupts = Interrupts::of_a_run()?;
    // The first read is shown whole, before any signal is handled: with `-f` or without, the beginning is the same.
    let mut tail = Some(usize::from(args.tail));
    loop {
        let show = LinesShown { tail: tail.take(), is_last: !args.follow };
        let turn = turn(session, &opened, &mut followed, show);
        let reader = tokio::select! {
            reader = turn => reader?,
            exit = interrupts.exit() => return ended(session, &mut followed, exit),
        };
        if reader == ReaderState::Gone {
            return Ok(Exit::Done);
        }
        if !args.follow {
            if !is_named && followed.iter().all(|one| one.mark.is_none() && one.unread.is_none()) {
                session.note(&format!("no service of project {} has output yet", opened.desired.project));
            }
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

/// Lines of one read to show of each service.
#[derive(Clone, Copy)]
struct LinesShown {
    /// Maximum number of lines, at the first read.
    tail: Option<usize>,
    /// True if no read follows: then a line without an end is a line, too.
    is_last: bool,
}

/// Reads all logs, and shows the new lines of each in turn.
async fn turn(
    session: &Session,
    opened: &Project,
    followed: &mut [Followed<'_>],
    show: LinesShown,
) -> Result<ReaderState, EarlyExit> {
    let from: Vec<_> = followed.iter().map(|one| (one.name, one.mark.clone())).collect();
    let reads = from.into_iter().map(|(name, mark)| read(opened, name, mark));
    let mut reads = stream::iter(reads).buffered(READ_AT_ONCE);
    for one in followed.iter_mut() {
        let Some(read) = reads.next().await else { break };
        let mut lines = one.update(session, read);
        if show.is_last {
            lines.extend(one.feed.end());
        }
        let from = show.tail.map_or(0, |tail| lines.len().saturating_sub(tail));
        let text: Output = lines[from..].iter().map(|line| one.line(session, line)).collect();
        if !text.is_empty() && print::stream(&text).map_err(|error| unwritten(&error))? == ReaderState::Gone {
            return Ok(ReaderState::Gone);
        }
    }
    Ok(ReaderState::There)
}

async fn read(opened: &Project, name: &ServiceName, mark: Option<LogMark>) -> Result<Option<Logged>, DriverError> {
    let Some(service) = opened.desired.services.get(name) else { return Ok(None) };
    opened.driver().log_from(&opened.desired.project, service, mark.as_ref()).await
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
            Ok(None) => (Vec::new(), self.is_named.then(|| "no output yet".to_owned())),
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
