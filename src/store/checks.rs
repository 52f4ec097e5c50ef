//! What every store owes its users, asked of each of them. `reader` is opened beside `writer`, or is the same.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Store;
use crate::model::facts::Attempts;
use crate::model::names::ProjectName;
use crate::model::words::{Said, Switched, Word, Words};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).expect("in range")
}

pub(super) fn words(writer: &dyn Store, reader: &dyn Store) {
    let project = ProjectName::from("studio");
    let said = |word, second| Said {
        word,
        by: "kim".to_owned(),
        since: at(second),
        reason: (word == Word::Maintain).then(|| "a new driver".to_owned()),
        metadata: BTreeMap::from([("ticket".to_owned(), "42".to_owned())]),
    };
    let switched = |entry: &str, mode: &str| Switched {
        mode: mode.into(),
        entry: entry.to_owned(),
        own_mode: (mode == "video").then(|| "voice".into()),
        by: "kim".to_owned(),
        since: at(3),
        reason: None,
    };
    assert_eq!(reader.words(&project).expect("read"), Words::default());
    writer.say(&project, &"a".into(), Some(&said(Word::Suspend, 1))).expect("said");
    writer.say(&project, &"b".into(), Some(&said(Word::Terminate, 1))).expect("said");
    writer.say(&project, &"a".into(), Some(&said(Word::Maintain, 2))).expect("said");
    for (entry, mode) in [("/x/lcm.yaml", "chat"), ("/y/lcm.yaml", "chat"), ("/x/lcm.yaml", "video")] {
        writer.switch(&project, entry, Some(&switched(entry, mode))).expect("said");
    }
    let mut words = reader.words(&project).expect("read");
    words.modes.sort_by(|one, other| one.entry.cmp(&other.entry));
    let services = [("a".into(), said(Word::Maintain, 2)), ("b".into(), said(Word::Terminate, 1))].into();
    let modes = vec![switched("/x/lcm.yaml", "video"), switched("/y/lcm.yaml", "chat")];
    assert_eq!(words, Words { services, modes: modes.clone() }, "the newest word takes the place of an earlier one");

    writer.say(&project, &"a".into(), None).expect("taken back");
    writer.say(&project, &"never".into(), None).expect("nothing to take back");
    writer.switch(&project, "/y/lcm.yaml", None).expect("taken back");
    let words = reader.words(&project).expect("read");
    let services = [("b".into(), said(Word::Terminate, 1))].into();
    assert_eq!(words, Words { services, modes: modes[..1].to_vec() });
}

pub(super) fn attempts(writer: &dyn Store, reader: &dyn Store) {
    let project = ProjectName::from("studio");
    let tried = |count| Attempts { count, last_at: at(i64::from(count)), spec: "v1:aa".to_owned() };
    let known = || {
        let known = reader.last_known(&project).expect("read");
        known.into_iter().map(|(service, fact)| (service, fact.attempts)).collect::<Vec<_>>()
    };
    writer.set_attempts(&project, &"a".into(), Some(&tried(1))).expect("kept");
    writer.set_attempts(&project, &"b".into(), Some(&tried(1))).expect("kept");
    writer.set_attempts(&"other".into(), &"a".into(), Some(&tried(7))).expect("kept");
    writer.set_attempts(&project, &"a".into(), Some(&tried(2))).expect("kept");
    assert_eq!(known(), [("a".into(), Some(tried(2))), ("b".into(), Some(tried(1)))]);
    writer.set_attempts(&project, &"a".into(), None).expect("forgotten");
    assert_eq!(known(), [("b".into(), Some(tried(1)))]);
}
