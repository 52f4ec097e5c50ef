//! `lcm explain`: the page of a code.

use crate::cli::answer::data;
use crate::cli::exit::Exit;
use crate::cli::pages;
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::session::Session;
use crate::report::output::Output;

/// Explain the code of a message, and what to do about it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Code to explain, in full (`lcm::plan::rule`) or only its last part (`rule`); without it, all codes are listed
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<Exit, EarlyExit> {
    let text = match &args.code {
        None => pages::list(session.stdout),
        Some(code) => {
            let found = pages::find(code)?;
            let gap = |at: usize| if at > 0 { Output::gap() } else { Output::default() };
            let found = found.iter().enumerate();
            found.flat_map(|(at, page)| [gap(at), pages::shown(*page, session.stdout)]).collect()
        }
    };
    data(&text)?;
    Ok(Exit::Done)
}
