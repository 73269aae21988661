//! Apps that fail, hang and die.

use crate::support::{app_dir, start, start_with};
use foretell_delivery::{FailureKind, Outcome};
use foretell_functions::Status;

fn failed(status: &Status) -> &str {
    match status {
        Status::Failed { reason } => reason,
        other => panic!("{other:?}"),
    }
}

fn pid_of(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.blobs[0].content).into_owned()
}

#[tokio::test]
async fn an_app_that_cannot_be_imported_says_so_and_recovers() {
    let source = tempfile::tempdir().unwrap();
    let script = source.path().join("function_app.py");
    std::fs::copy(app_dir("broken_import").join("function_app.py"), &script).unwrap();
    let test = start_with("", |options| options.dir = source.path().to_owned());
    let status = test.app.started().await;
    assert!(
        failed(&status).contains("No module named 'a_module_that_is_not_there'"),
        "{status}"
    );
    assert!(failed(&status).contains("Traceback"), "{status}");
    std::fs::copy(app_dir("rough").join("function_app.py"), &script).unwrap();
    // The attempt after a failure is made by the next invocation that is due.
    let outcome = loop {
        match test.call("pid", "{}").await {
            Ok(outcome) => break outcome,
            Err(failure) => {
                assert_eq!(failure.kind, FailureKind::InvalidAzureFunctionDestination);
                tokio::task::yield_now().await;
            }
        }
    };
    assert!(!pid_of(&outcome).is_empty());
    assert_eq!(test.app.status(), Status::Ready);
}

#[tokio::test]
async fn requirements_that_cannot_be_installed_are_named() {
    let test = start("broken_requirements");
    let status = test.app.started().await;
    assert!(
        failed(&status).contains("the requirements can't be installed"),
        "{status}"
    );
    assert!(failed(&status).contains("no-such-package-here"), "{status}");
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let test = start_with("", |options| options.dir = empty.path().to_owned());
    assert!(failed(&test.app.started().await).contains("there is no function_app.py"));
    let test = start_with("", |options| options.dir = empty.path().join("nowhere"));
    assert!(failed(&test.app.started().await).contains("there is no folder"));
    let test = start_with("rough", |options| {
        options.python = Some("/no/python".into())
    });
    assert!(failed(&test.app.started().await).contains("there is no /no/python"));
    std::fs::write(empty.path().join("host.json"), "{").unwrap();
    let test = start_with("", |options| options.dir = empty.path().to_owned());
    assert!(failed(&test.app.started().await).contains("host.json"));
}

#[tokio::test]
async fn a_hanging_function_times_out_and_its_worker_is_replaced() {
    let test = start("rough");
    let first = pid_of(&test.call("pid", "{}").await.unwrap());
    let failure = test.call("hanging", "{}").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::TimedOut);
    assert_ne!(pid_of(&test.call("pid", "{}").await.unwrap()), first);
}

/// What is broken off because another function hangs begins anew, and no attempt of it failed.
#[tokio::test]
async fn a_neighbour_of_a_hanging_function_is_not_to_blame() {
    let test = start("rough");
    let first = pid_of(&test.call("pid", "{}").await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("called");
    let data = format!("{{\"marker\":{:?}}}", marker.display().to_string());
    let later = async {
        // The hanging one is well on its way before this begins: only its time runs out.
        for _ in 0..200 {
            test.call("pid", "{}").await.unwrap();
        }
        test.call("second_try", &data).await
    };
    let (hanging, neighbour) = tokio::join!(test.call("hanging", "{}"), later);
    assert_eq!(hanging.unwrap_err().kind, FailureKind::TimedOut);
    assert_ne!(pid_of(&neighbour.unwrap()), first);
    assert!(marker.exists());
}

#[tokio::test]
async fn a_hanging_coroutine_is_cancelled_and_the_worker_lives() {
    let test = start("rough");
    let first = pid_of(&test.call("pid", "{}").await.unwrap());
    let failure = test.call("hanging_async", "{}").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::TimedOut);
    assert_eq!(pid_of(&test.call("pid", "{}").await.unwrap()), first);
}

#[tokio::test]
async fn functions_that_wait_for_each_other_run_at_the_same_time() {
    let test = start("rough");
    let (a, b, c, d) = tokio::join!(
        test.call("meeting", "{}"),
        test.call("meeting", "{}"),
        test.call("meeting", "{}"),
        test.call("meeting", "{}"),
    );
    assert!([a, b, c, d].iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_worker_that_dies_is_followed_by_another() {
    let test = start("rough");
    for _ in 0..2 {
        let failure = test.call("dying", "{}").await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Aborted);
        assert!(failure.message.contains("exit status: 7"), "{failure}");
        assert!(failure.message.contains("famous last words"), "{failure}");
        test.call("pid", "{}").await.unwrap();
    }
}

#[tokio::test]
async fn workers_end_with_their_app() {
    let test = start("rough");
    let alive = |pid: &str| std::path::Path::new("/proc").join(pid).exists();
    let stopped = pid_of(&test.call("pid", "{}").await.unwrap());
    assert!(alive(&stopped));
    test.app.stop().await;
    assert!(!alive(&stopped));
    let test = start("rough");
    let dropped = pid_of(&test.call("pid", "{}").await.unwrap());
    drop(test);
    while alive(&dropped) {
        tokio::task::yield_now().await;
    }
}
