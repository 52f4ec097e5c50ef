//! Plans in the formats of commands, and the planner's request from the planning options.

use crate::cli::args::{NarrowArgs, PlanFormat, PlanningArgs, names};
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::session::Session;
use crate::model::plan::{Purpose, Request};
use crate::reconcile::Project;
use crate::report::output::Output;
use crate::report::text::{self, TextOptions};
use crate::report::view::PlanView;
use crate::report::{html, json, markdown, mermaid};

/// Renders a plan in a format. Only text is painted and folded: the other formats go into files.
pub(crate) fn shown(session: &Session, view: PlanView<'_>, format: PlanFormat) -> Output {
    match format {
        PlanFormat::Text => text::plan(view, TextOptions { verbose: session.verbose, style: session.stdout }),
        PlanFormat::Json => json::document(view.plan),
        PlanFormat::Markdown => markdown::plan(view),
        PlanFormat::Mermaid => mermaid::plan(view.plan),
        PlanFormat::Html => html::plan(view),
    }
}

/// Returns the request from the options. Errors: a service that the manifest does not have.
pub(crate) fn request(opened: &Project, planning: &PlanningArgs) -> Result<Request, EarlyExit> {
    let NarrowArgs { targets, excludes } = &planning.narrow;
    names::check("service", targets.iter().chain(excludes), opened.desired.services.keys())?;
    Ok(Request {
        targets: targets.iter().cloned().collect(),
        excludes: excludes.iter().cloned().collect(),
        strict: planning.strict,
        prune: planning.prune,
        repack: planning.repack,
        purpose: Purpose::Apply,
        other_checkout: opened.other_checkout(),
        ..Request::default()
    })
}
