//! `lcm status`.

use crate::cli::answer::data;
use crate::cli::exit::Exit;
use crate::cli::status_look::{StatusArgs, StatusFormat, seen, shown};
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::session::Session;
use crate::cli::watch;
use crate::report::json;
use crate::report::metrics::{self, Beside};

pub(crate) async fn run(session: &Session, args: &StatusArgs) -> Result<Exit, EarlyExit> {
    if args.watch {
        return watch::run(session, args).await;
    }
    let inspection = seen(session, args).await?;
    let text = match args.format {
        StatusFormat::Json => json::document(&inspection.status),
        StatusFormat::Text => shown(session, &inspection, session.stdout),
        StatusFormat::Prometheus => metrics::metrics(
            &inspection.status,
            Beside { wanted: &inspection.wanted, version: env!("CARGO_PKG_VERSION") },
        ),
    };
    data(&text)?;
    inspection.known.map(|()| if args.exit_code && inspection.is_unhealthy { Exit::Failed } else { Exit::Done })
}
