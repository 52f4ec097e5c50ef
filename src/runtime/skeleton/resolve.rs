//! Resolution of a service's block.

use serde_json::json;

use crate::manifest::resolve::context::ResolveContext;
use crate::manifest::resolve::resolved::ResolvedRuntime;
use crate::manifest::wire::service::ServiceBlock;
use crate::model::names::ObjectName;
use crate::model::spec::Spec;
use crate::runtime::skeleton::intent::SkeletonSpec;
use crate::runtime::skeleton::wire::SkeletonBlock;
use crate::syntax::located::Located;

/// Resolves the block.
pub(crate) fn resolve(
    context: &mut ResolveContext<'_>,
    _: &Located<String>,
    _: &ServiceBlock,
    written: &Located<SkeletonBlock>,
) -> Option<ResolvedRuntime> {
    let Some(name) = &written.skeleton_name else {
        context.missing(written, "an object needs a `skeleton_name`", "write `skeleton_name: web`");
        return None;
    };
    let spec = SkeletonSpec { name: ObjectName::new(&name.value) };
    Some(ResolvedRuntime {
        workload: spec.into(),
        spec: Spec::plain(json!({ "skeleton_name": name.value })),
        missing_secrets: Vec::new(),
        published: None,
        object: Some(name.span),
    })
}
