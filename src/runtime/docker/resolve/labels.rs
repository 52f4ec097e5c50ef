//! Resolution of labels, of containers and of networks.

use std::collections::BTreeMap;

use crate::manifest::resolve::context::ResolveContext;
use crate::manifest::wire::shape::Pairs;
use crate::syntax::located::Located;
use crate::syntax::scalar::ScalarText;
use crate::syntax::source::Span;

/// Returns the labels that the manifest states; reports those that are reserved for lcm.
pub(super) fn labels(
    context: &mut ResolveContext<'_>,
    written: Option<&Located<Pairs<ScalarText>>>,
) -> BTreeMap<String, String> {
    let pairs: Vec<(String, String, Span)> = match written.map(|written| &written.value) {
        Some(Pairs::Map(entries)) => {
            entries.iter().map(|(name, value)| (name.value.clone(), value.0.clone(), name.span)).collect()
        }
        Some(Pairs::List(items)) => items
            .iter()
            .map(|item| {
                // As in Compose, a label without a value is an empty one.
                let (name, value) = item.split_once('=').unwrap_or((&item.value, ""));
                (name.to_owned(), value.to_owned(), item.span)
            })
            .collect(),
        None => Vec::new(),
    };
    let mut labels = BTreeMap::new();
    for (name, value, span) in pairs {
        if name.starts_with("lcm.") {
            context.error(
                "lcm::manifest::label",
                span,
                format!("the label `{name}` is reserved for lcm"),
                "choose another name",
            );
        }
        labels.insert(name, value);
    }
    labels
}
