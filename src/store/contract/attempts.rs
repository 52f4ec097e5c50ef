//! Contract of attempts, reports and the ends of jobs.

use super::factory::{Factory, at};
use crate::model::facts::{self, FailureReport};
use crate::model::job::JobEnd;
use crate::model::names::{ProjectName, ServiceName};

pub(super) async fn are_kept_until_all_is_well(factory: &impl Factory) {
    let (writer, reader) = (factory.open(), factory.open());
    let project = ProjectName::from("studio");
    let tried = |count| facts::Attempts { count, last_at: at(i64::from(count)), spec: "v1:aa".to_owned() };
    let known = async || {
        let known = reader.last_known(&project).await.expect("read");
        known.into_iter().map(|(service, fact)| (service, fact.attempts)).collect::<Vec<_>>()
    };
    writer.set_attempts(&project, &"a".into(), Some(&tried(1))).await.expect("kept");
    writer.set_attempts(&project, &"b".into(), Some(&tried(1))).await.expect("kept");
    writer.set_attempts(&"other".into(), &"a".into(), Some(&tried(7))).await.expect("kept");
    writer.set_attempts(&project, &"a".into(), Some(&tried(2))).await.expect("kept");
    assert_eq!(known().await, [("a".into(), Some(tried(2))), ("b".into(), Some(tried(1)))]);
    writer.set_attempts(&project, &"a".into(), None).await.expect("forgotten");
    assert_eq!(known().await, [("b".into(), Some(tried(1)))]);
    assert_eq!(reader.attempts(&project).await.expect("read"), [("b".into(), tried(1))].into());
}

pub(super) async fn reports_are_kept_until_they_are_withdrawn(factory: &impl Factory) {
    let (writer, reader) = (factory.open(), factory.open());
    let (project, service) = (ProjectName::from("studio"), ServiceName::from("a"));
    let report = |second| FailureReport { error: "no answer".to_owned(), by: "kim".to_owned(), at: at(second) };
    let known = async || reader.last_known(&project).await.expect("read").remove(&service).and_then(|fact| fact.report);
    writer.set_report(&project, &service, Some(&report(1))).await.expect("kept");
    writer.set_report(&project, &service, Some(&report(2))).await.expect("kept");
    assert_eq!(known().await, Some(report(2)));
    writer.set_report(&project, &service, None).await.expect("withdrawn");
    assert_eq!(known().await, None);
}

pub(super) async fn the_last_end_of_a_job_is_kept(factory: &impl Factory) {
    let (writer, reader) = (factory.open(), factory.open());
    let (project, service) = (ProjectName::from("studio"), ServiceName::from("a"));
    let end = |exit_code, second| JobEnd { spec: "v1:aa".to_owned(), exit_code, ended_at: at(second) };
    let known = async || reader.last_known(&project).await.expect("read").remove(&service).and_then(|fact| fact.job);
    assert_eq!(known().await, None);
    writer.record_job_end(&project, &service, &end(None, 1)).await.expect("kept");
    assert_eq!(known().await, Some(end(None, 1)));
    writer.record_job_end(&project, &service, &end(Some(0), 2)).await.expect("kept");
    writer.record_job_end(&"other".into(), &service, &end(Some(7), 3)).await.expect("kept");
    assert_eq!(known().await, Some(end(Some(0), 2)));
    let forgotten = JobEnd::forgotten(at(4));
    writer.record_job_end(&project, &service, &forgotten).await.expect("kept");
    assert_eq!(known().await, Some(forgotten));
}
