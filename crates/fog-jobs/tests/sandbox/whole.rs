//! A useful program, and a whole job.

use super::{ECHO, Run, program, runtime, sandbox};
use fog_jobs::spec::Limits;
use fog_jobs::{Events, RunHandle};

pub(super) fn word_count_counts_as_wc_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/word-count/word-count.wasm");
    let mut run = Run::new(std::fs::read(path).unwrap());
    let text: String = (0..200_000u32)
        .map(|n| if n % 11 == 0 { "tea\tfor two\n".to_owned() } else { format!("{n} ") })
        .collect();
    assert!(text.len() > 1_000_000);
    run.input = Some(text.clone().into_bytes());
    assert_eq!(run.run().unwrap().exit_code, 0);
    let expected = [text.matches('\n').count(), text.split_ascii_whitespace().count(), text.len()];
    let counted: Vec<usize> = String::from_utf8(run.output())
        .unwrap()
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    assert_eq!(counted, expected);
}

/// Both engines, a real run between them, and the order to pay at the end.
pub(super) fn a_job_from_offer_to_pay() {
    use fog_jobs::{Action, BlobStore, Engine, EngineConfig, JobState, NewJob, migrate};
    use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};

    async fn side(folder: &std::path::Path, key: u8) -> (Engine, SqliteConnection) {
        let folder = folder.join(key.to_string());
        let blobs = BlobStore::open(folder.join("blobs")).unwrap();
        let options = SqliteConnectOptions::new().filename(folder.join("db")).create_if_missing(true);
        let mut conn = options.connect().await.unwrap();
        migrate(&mut conn).await.unwrap();
        let key = ed25519_dalek::SigningKey::from_bytes(&[key; 32]);
        (Engine::new(key, blobs, EngineConfig::new(folder.join("scratch")), [9; 32]), conn)
    }

    runtime().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let (submitter, mut s) = side(folder.path(), 1).await;
        let (worker, mut w) = side(folder.path(), 2).await;
        let module = program(ECHO).module;
        let text = b"the quick brown fox ".repeat(40_000);
        let new = NewJob {
            name: "echo".into(),
            module: submitter.blobs().put_bytes(&module).unwrap(),
            input: Some(submitter.blobs().put_bytes(&text).unwrap()),
            args: Vec::new(),
            limits: Limits { seconds: 20, memory_bytes: 64 << 20, output_bytes: 1 << 20 },
            price_limit: None,
            worker: worker.me(),
        };
        let (job, mut actions) = submitter.submit(&mut s, new, 1).await.unwrap();
        let mut paid = Vec::new();
        for now in 2..200 {
            actions.extend(worker.tick(&mut w, now, true, 1).await.unwrap());
            for action in std::mem::take(&mut actions) {
                match action {
                    Action::Send { to, message } if to == worker.me() => {
                        let more = worker.on_message(&mut w, submitter.me(), message, now).await;
                        actions.extend(more.unwrap());
                    }
                    Action::Send { message, .. } => {
                        let more = submitter.on_message(&mut s, worker.me(), message, now).await;
                        actions.extend(more.unwrap());
                    }
                    Action::Run(plan) => {
                        let outcome = sandbox().run(plan.request, &RunHandle::new(1.0), Events::none()).await;
                        actions.extend(worker.on_outcome(&mut w, plan.job, outcome, now).await.unwrap());
                    }
                    Action::Settle { settlement, .. } => paid.push(settlement),
                    _ => {}
                }
            }
        }
        let sent = submitter.get(&mut s, &job.id()).await.unwrap();
        assert_eq!(sent.state(), JobState::Completed, "{}", sent.note);
        assert_eq!(submitter.blobs().read(&sent.output.unwrap().hash).unwrap(), text);
        assert!(paid.len() == 2 && paid[0] == paid[1] && paid[0].receipt.receipt.price > 0);
    });
}
