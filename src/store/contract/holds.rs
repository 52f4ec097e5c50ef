//! Contract of holds.

use std::collections::BTreeMap;

use super::factory::{Factory, at};
use crate::model::holds::{Hold, HoldRecord, Holds, ModeOverride};
use crate::model::names::ProjectName;

pub(super) async fn last_until_they_are_released(factory: &impl Factory) {
    let (writer, reader) = (factory.open(), factory.open());
    let project = ProjectName::from("studio");
    let hold = |kind, second| HoldRecord {
        kind,
        by: "kim".to_owned(),
        since: at(second),
        reason: (kind == Hold::Maintain).then(|| "a new driver".to_owned()),
        metadata: BTreeMap::from([("ticket".to_owned(), "42".to_owned())]),
    };
    let switched = |entry: &str, mode: &str| ModeOverride {
        mode: mode.into(),
        entry: entry.to_owned(),
        own_mode: (mode == "video").then(|| "voice".into()),
        by: "kim".to_owned(),
        since: at(3),
        reason: None,
    };
    assert_eq!(reader.holds(&project).await.expect("read"), Holds::default());
    writer.set_hold(&project, &"a".into(), Some(&hold(Hold::Suspend, 1))).await.expect("set");
    writer.set_hold(&project, &"b".into(), Some(&hold(Hold::Terminate, 1))).await.expect("set");
    writer.set_hold(&project, &"a".into(), Some(&hold(Hold::Maintain, 2))).await.expect("set");
    for (entry, mode) in [("/y/lcm.yaml", "chat"), ("/x/lcm.yaml", "video")] {
        writer.set_mode_override(&project, Some(&switched(entry, mode))).await.expect("set");
    }
    let holds = reader.holds(&project).await.expect("read");
    let services = [("a".into(), hold(Hold::Maintain, 2)), ("b".into(), hold(Hold::Terminate, 1))].into();
    let mode = Some(switched("/x/lcm.yaml", "video"));
    assert_eq!(holds, Holds { services, mode }, "the newest hold replaces an earlier one");

    writer.set_hold(&project, &"a".into(), None).await.expect("released");
    writer.set_hold(&project, &"never".into(), None).await.expect("nothing to release");
    writer.set_mode_override(&project, None).await.expect("cleared");
    let holds = reader.holds(&project).await.expect("read");
    let services = [("b".into(), hold(Hold::Terminate, 1))].into();
    assert_eq!(holds, Holds { services, mode: None });
}
