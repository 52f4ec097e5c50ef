//! `lcm logs`.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;

use crate::cli::answer::unwritten;
use crate::cli::args::{ChooseArgs, names};
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

/// Looks live to a reader.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(300);

/// Show what services wrote since they were last started
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Services to show
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<ServiceName>,
    /// Manifest to read
    #[arg(short, long, default_value = "lcm.yaml", value_name = "MANIFEST")]
    manifest: std::path::PathBuf,
    #[command(flatten)]
    choose: ChooseArgs,
    /// Go on showing what they write, through restarts, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Last lines to show of each
    #[arg(short = 'n', long, alias = "lines", default_value_t = 100, value_name = "N")]
    tail: u16,
    /// Leave out which service wrote a line, where several are shown
    #[arg(long)]
    no_prefix: bool,
}

/// One service, and how far it was read.
struct Followed<'a> {
    name: &'a ServiceName,
    prefix: String,
    feed: Feed<'a>,
    mark: Option<LogMark>,
    /// What was said of it last, so that it is said once.
    said: Option<String>,
    /// Why it could not be read just now.
    unread: Option<String>,
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<Exit, EarlyExit> {
    let opened = opened::open_to_look(session, &args.manifest, &args.choose).await?;
    names::check("service", &args.services, opened.desired.services.keys())?;
    let all: Vec<&ServiceName> = opened.desired.services.keys().collect();
    // In the order in which they are named; what is named twice is shown once.
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
        said: None,
        unread: None,
    });
    let mut followed: Vec<Followed<'_>> = followed.collect();
    let mut interrupts = Interrupts::of_a_run()?;
    // What is there is shown whole, before anything is heard: with `-f` or without, the beginning is the same.
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
            one.tell_unread(session);
        }
        tokio::select! {
            () = tokio::time::sleep(FOLLOW_INTERVAL) => {}
            exit = interrupts.exit() => return ended(session, &mut followed, exit),
        }
    }
}

/// Reads all at once, and shows what is new of each, the one after the other. `tail`: at the first time, so much of it.
async fn turn(
    session: &Session,
    opened: &Project,
    followed: &mut [Followed<'_>],
    tail: Option<usize>,
) -> Result<ReaderState, EarlyExit> {
    let read = join_all(followed.iter().map(|one| read(opened, one))).await;
    let mut text = Output::default();
    for (one, read) in followed.iter_mut().zip(read) {
        let lines = one.learn(session, read);
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

/// Lines that never came to their ends.
fn ended(session: &Session, followed: &mut [Followed<'_>], exit: Exit) -> Result<Exit, EarlyExit> {
    let rests: Vec<Option<String>> = followed.iter_mut().map(|one| one.feed.end()).collect();
    let lines = followed.iter().zip(rests).filter_map(|(one, rest)| Some(one.line(session, &rest?)));
    print::data(&lines.collect::<Output>()).map_err(|error| unwritten(&error))?;
    Ok(exit)
}

/// Whoever asks once is told by the exit code, too, and of each that can't be read.
fn all_read(followed: &[Followed<'_>]) -> Result<(), EarlyExit> {
    let unread: Vec<String> = followed.iter().filter_map(Followed::why_unread).collect();
    if unread.is_empty() { Ok(()) } else { Err(EarlyExit::refused(Code::Log, unread.join("; "))) }
}

impl Followed<'_> {
    fn learn(&mut self, session: &Session, read: Result<Option<Logged>, DriverError>) -> Vec<String> {
        let (lines, say) = match read {
            Ok(Some(Logged { bytes, mark, is_gapless, is_torn })) => {
                if is_torn {
                    self.feed.skip();
                }
                // Another life does not go on with a line of the last one.
                let is_new = self.mark.as_ref().is_some_and(|before| before.life != mark.life);
                let rest = if is_new { self.feed.end() } else { None };
                let mut lines: Vec<String> = rest.into_iter().collect();
                lines.extend(self.feed.push(&bytes));
                self.mark = Some(mark);
                (lines, (!is_gapless).then(|| "some of it was gone before it could be shown".to_owned()))
            }
            Ok(None) if self.mark.is_some() => (Vec::new(), Some("it is gone, and its log with it".to_owned())),
            Ok(None) => (Vec::new(), Some("it has written nothing yet".to_owned())),
            Err(error) => {
                self.unread = Some(error.to_string());
                return Vec::new();
            }
        };
        self.unread = None;
        if let Some(say) = say.as_ref().filter(|say| self.said.as_ref() != Some(say)) {
            session.note(&format!("{}: {say}", self.name));
        }
        self.said = say;
        lines
    }

    /// Whoever follows goes on waiting for it, and must know of it, quiet or not.
    fn tell_unread(&mut self, session: &Session) {
        if let Some(why) = self.why_unread().filter(|why| self.said.as_ref() != Some(why)) {
            session.say(&why);
            self.said = Some(why);
        }
    }

    fn why_unread(&self) -> Option<String> {
        self.unread.as_ref().map(|error| format!("the log of {} can't be read: {error}", self.name))
    }

    fn line(&self, session: &Session, line: &str) -> Output {
        shown(&self.prefix, line, session.stdout)
    }
}
