//! Calls that a run has committed itself to: hooks after a change, and notifications of changes. Each is recorded
//! before the effect that it follows, so that a run which is killed leaves a record of the calls that are left.
//!
//! Not here: when a recorded call is due in a given snapshot, which `plan` judges, and the calling, which is `apply`'s.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::call::Call;
use crate::model::desired::Desired;
use crate::model::hooks::{HookPayload, Point};
use crate::model::lifecycle::State;
use crate::model::names::ServiceName;
use crate::model::secret::Masker;
use crate::model::spec;

/// Deliveries of one notification that a run may try in vain before it is dropped: a notifier that never answers must
/// not keep a project from converging.
pub const TRIES_MAX: u32 = 3;

/// Age up to which an acknowledged hook before a change counts for the run that repeats the change. Permission that is
/// an hour old means little now.
const ACKNOWLEDGED_FOR: SignedDuration = SignedDuration::from_hours(1);

/// One recorded call of a hook or a notifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PendingCall {
    /// Key of the call's record in lcm's store.
    pub id: u64,
    pub due: Due,
    /// Digest of the masked call and its folder; it shows whether the manifest still has the same hook.
    pub digest: String,
    /// The call in one masked line, for messages.
    pub call: String,
    /// Payload at the time when the call was recorded.
    pub payload: HookPayload,
    /// Number of runs that failed to deliver the call.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tries: u32,
}

/// Condition under which a recorded call is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// The call is due at once: the change has been made.
    Now,
    /// The call is due once the service is in this state; the step that leads to this state has begun.
    Reached(State),
    /// The call is not due any more: it was made before a change, as it had to be, but that change was then not
    /// completed.
    Acknowledged,
}

impl PendingCall {
    /// Returns true for a hook of a service, false for a notification.
    #[must_use]
    pub fn is_hook(&self) -> bool {
        !matches!(self.payload.hook, Point::NotifyBefore | Point::NotifyAfter)
    }

    #[must_use]
    pub fn service(&self) -> &ServiceName {
        &self.payload.service
    }

    /// Returns the call for messages: `post_start hook ./warm.sh`, `notification by POST http://localhost:9000/lcm`.
    #[must_use]
    pub fn what(&self) -> String {
        if self.is_hook() {
            format!("{} hook {}", self.payload.hook, self.call)
        } else {
            format!("notification ({} → {}) by {}", self.payload.from, self.payload.to, self.call)
        }
    }

    /// Returns true if the manifest still has the hook or notifier that was recorded.
    #[must_use]
    pub fn is_in(&self, desired: &Desired, masker: &Masker) -> bool {
        let point = self.payload.hook;
        if self.is_hook() {
            let Some(service) = desired.services.get(self.service()) else { return false };
            service.hooks.at(point).iter().any(|hook| self.digest == digest(masker, point, &hook.call, &hook.cwd))
        } else {
            let mut notifiers = desired.notify.iter();
            notifiers.any(|notifier| self.digest == digest(masker, point, &notifier.call, &notifier.cwd))
        }
    }

    /// Returns true if an acknowledged hook still counts for a change that is made now.
    #[must_use]
    pub fn is_acknowledged_at(&self, now: Timestamp) -> bool {
        let age = now.duration_since(self.payload.at);
        self.due == Due::Acknowledged && age >= SignedDuration::ZERO && age < ACKNOWLEDGED_FOR
    }
}

/// Returns the identity of a call across runs. It is a digest of masked text: a secret can't be guessed from it, and a
/// new secret is no new call.
#[must_use]
pub fn digest(masker: &Masker, point: Point, call: &Call, cwd: &Path) -> String {
    let body = match call {
        Call::Http { json: Some(json), .. } => json.to_string(),
        Call::Http { json: None, .. } | Call::Exec(_) => String::new(),
    };
    let parts = [point.as_str().to_owned(), call.to_string(), body, cwd.display().to_string()];
    let masked = parts.map(|part| masker.mask(&part));
    spec::digest(&masked.each_ref().map(String::as_bytes))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::digest;
    use crate::model::call::Call;

    use crate::model::hooks::Point;
    use crate::model::secret::{Masker, Secret};

    fn exec(words: &[&str]) -> Call {
        Call::Exec(words.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_digest_distinguishes_calls_and_not_their_secrets() {
        let secrets = [Secret::new("hunter2-hunter2"), Secret::new("correct-horse-battery")];
        let masker = Masker::of(secrets.iter());
        let of = |call: &Call, point, cwd: &str| digest(&masker, point, call, Path::new(cwd));
        let call = exec(&["./warm.sh", "--now"]);
        assert_eq!(of(&call, Point::PostStart, "/srv"), of(&call, Point::PostStart, "/srv"));
        assert_ne!(of(&call, Point::PostStart, "/srv"), of(&call, Point::PostStop, "/srv"));
        assert_ne!(of(&call, Point::PostStart, "/srv"), of(&call, Point::PostStart, "/opt"));
        assert_ne!(of(&call, Point::PostStart, "/srv"), of(&exec(&["./warm.sh"]), Point::PostStart, "/srv"));
        let with = |token: &str| exec(&["./warm.sh", "--token", token]);
        let (one, other) = (with("hunter2-hunter2"), with("correct-horse-battery"));
        assert_eq!(of(&one, Point::PostStart, "/srv"), of(&other, Point::PostStart, "/srv"));
        let post = |json| Call::Http { method: "POST".to_owned(), url: "http://localhost:1/".to_owned(), json };
        assert_ne!(
            of(&post(None), Point::NotifyAfter, "/"),
            of(&post(Some(serde_json::json!({ "a": 1 }))), Point::NotifyAfter, "/")
        );
    }
}
