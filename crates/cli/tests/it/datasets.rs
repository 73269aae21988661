//! Datasets as their users meet them.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

const PROJECTION: &str = "CREATE PROJECTION customer ON shop AS SELECT count(*) AS orders";
const DATASET: &str = "CREATE DATASET returning ON customer AT EVENTS
    HORIZON INTERVAL '30 days' AS SELECT count(*) AS later";

/// A topic with events of 2024, a projection and a dataset of it.
fn shop(folder: &Path) -> std::path::PathBuf {
    let data = folder.join("data");
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let orders = file(
        "orders.csv",
        "who,day\na,2024-01-01\nb,2024-01-05\na,2024-01-20\na,2024-03-01\n",
    );
    let (projection, dataset) = (file("p.sql", PROJECTION), file("d.sql", DATASET));
    crate::support::text(&data, &["topic", "create", "shop"]);
    import(&data, &orders);
    crate::support::text(&data, &["projection", "create", "customer", &projection]);
    crate::support::text(&data, &["dataset", "create", "returning", &dataset]);
    data
}

/// Imports orders: who, and on which day.
fn import(data: &Path, orders: &str) {
    let columns = ["--subject", "who", "--type-value", "order", "--time", "day"];
    crate::support::text(data, &[&["import", "shop", orders][..], &columns].concat());
}

#[test]
fn a_dataset_is_built_with_and_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let data = shop(folder.path());
    let out = folder.path().join("out.parquet");
    let path = out.to_str().unwrap();
    let told = crate::support::text(&data, &["dataset", "build", "returning", "--out", path]);
    assert!(
        told.ends_with("out.parquet: 4 rows, out of 4 events; the horizon of 1 row isn't over\n"),
        "{told}"
    );
    let alone = std::fs::read(&out).unwrap();
    let manifest = folder.path().join("out.manifest.json");
    let text: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    assert_eq!(
        (&text["counts"]["rows"], &text["topics"][0]["head"]),
        (&4.into(), &4.into())
    );
    let described = crate::support::json(&data, &["dataset", "describe", path]);
    assert_eq!(described["columns"][4]["name"], "later");
    assert_eq!(described["columns"][4]["nulls"], 1);

    let server = crate::support::Server::start(&data, &[]);
    std::fs::remove_file(&out).unwrap();
    let built = crate::support::json(&data, &["dataset", "build", "returning", "--out", path]);
    assert_eq!(
        (&built["rows"], &built["incomplete"]),
        (&4.into(), &1.into())
    );
    assert!(
        std::fs::read(&out).unwrap() == alone,
        "a server builds the same bytes"
    );
    let again = folder.path().join("again.parquet");
    let (again_path, manifest) = (again.to_str().unwrap(), manifest.to_str().unwrap());
    for from in [manifest, path] {
        crate::support::text(
            &data,
            &["dataset", "build", "--manifest", from, "--out", again_path],
        );
        assert!(
            std::fs::read(&again).unwrap() == alone,
            "built again from {from}"
        );
    }
    let told = crate::support::text(
        &data,
        &[
            "dataset",
            "build",
            "returning",
            "--at-head",
            "2",
            "--out",
            again_path,
        ],
    );
    assert!(told.contains("2 rows, out of 2 events"), "{told}");
    drop(server);

    let listed = crate::support::text(&data, &["dataset", "list"]);
    assert!(
        listed.contains("returning  customer    events  ready"),
        "{listed}"
    );
    let shown = crate::support::text(&data, &["dataset", "show", "returning"]);
    assert!(
        shown.contains("label_complete  Boolean") && shown.contains(DATASET),
        "{shown}"
    );
    let output = crate::support::run(&data, &["dataset", "build", "nothing", "--out", again_path]);
    assert_eq!(output.status.code(), Some(3));
    let output = crate::support::run(&data, &["dataset", "build", "--out", again_path]);
    assert_eq!(output.status.code(), Some(2));
    let parts = folder.path().join("parts");
    let build = ["dataset", "build", "returning", "--out"];
    let by = [parts.to_str().unwrap(), "--partition-by", "key,month"];
    let output = crate::support::run(&data, &[&build[..], &by].concat());
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("no column \"month\"") && told.contains("key, time, position, orders"),
        "{told}"
    );
    assert!(!parts.exists());
    crate::support::text(&data, &["dataset", "delete", "returning"]);
    let left = std::fs::read_dir(folder.path()).unwrap().flatten();
    assert!(
        left.into_iter()
            .all(|entry| !entry.path().to_string_lossy().ends_with(".partial"))
    );
}

#[test]
fn a_build_that_is_interrupted_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = shop(folder.path());
    let dataset = folder.path().join("long.sql");
    let text = "CREATE DATASET long ON customer AT EVERY INTERVAL '20 seconds' FROM '2024-01-01' TO '2024-01-24'";
    std::fs::write(&dataset, text).unwrap();
    crate::support::text(
        &data,
        &["dataset", "create", "long", dataset.to_str().unwrap()],
    );
    // Each key at 99,360 instants, again and again.
    let rows: String = (0..60).map(|n| format!("k{n},2024-01-01\n")).collect();
    let more = folder.path().join("more.csv");
    std::fs::write(&more, format!("who,day\n{rows}")).unwrap();
    import(&data, more.to_str().unwrap());
    for server in [false, true] {
        let _server = server.then(|| crate::support::Server::start(&data, &[]));
        let out = folder.path().join("long.parquet");
        let mut build = crate::support::foretell(&data)
            .args(["dataset", "build", "long", "--out", out.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let partial = folder.path().join("long.parquet.partial");
        let give_up = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !partial.exists() {
            assert!(std::time::Instant::now() < give_up, "it never begins");
            assert!(
                build.try_wait().unwrap().is_none(),
                "it ended before it was interrupted"
            );
            std::thread::yield_now();
        }
        let process = build.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &process])
                .status()
                .unwrap()
                .success()
        );
        let output = build.wait_with_output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), told.as_str()),
            (Some(1), "error: interrupted\n")
        );
        assert!(!partial.exists() && !out.exists());
    }
}

/// The whole way of examples/cdnow/run, and its numbers by plain loops over the purchases.
#[test]
fn the_purchases_of_cdnow() {
    use std::io::Read;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("cdnow.parquet");
    let run = Command::new(root.join("examples/cdnow/run"))
        .arg(&out)
        .env("FORETELL_BIN", env!("CARGO_BIN_EXE_foretell"))
        .output()
        .unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let told = String::from_utf8(run.stdout).unwrap();
    assert!(
        told.contains(
            "1,704,261 rows, out of 69,659 events; the horizon of 919,230 rows isn't over"
        ),
        "{told}"
    );
    let mut text = String::new();
    let file = std::fs::File::open(root.join("examples/shop/CDNOW_master.txt.gz")).unwrap();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    // Rows, frequency, monetary value in cents, and purchases of the next 39 weeks, over all rows.
    let mut purchases: std::collections::HashMap<&str, Vec<(i64, i64)>> = Default::default();
    for line in text.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let cents: i64 = words[3].replace('.', "").parse().unwrap();
        purchases
            .entry(words[0])
            .or_default()
            .push((day(words[1]), cents));
    }
    let (first, last) = (day("19970107"), day("19980630"));
    let (mut rows, mut frequency, mut cents, mut later, mut labelled) = (0i64, 0, 0, 0, 0);
    for of_customer in purchases.values() {
        for at in (first..=last).step_by(7) {
            let before = of_customer.iter().filter(|(day, _)| *day <= at);
            let count = before.clone().count() as i64;
            if count == 0 {
                continue;
            }
            rows += 1;
            frequency += count;
            cents += before.map(|(_, cents)| cents).sum::<i64>();
            if at + 273 <= last {
                labelled += 1;
                let within = |day: i64| day > at && day <= at + 273;
                later += of_customer.iter().filter(|(day, _)| within(*day)).count() as i64;
            }
        }
    }
    let data = folder.path().join("data");
    let described = crate::support::json(&data, &["dataset", "describe", out.to_str().unwrap()]);
    let sum = |name: &str, of: i64| {
        let columns = described["columns"].as_array().unwrap();
        let column = columns
            .iter()
            .find(|column| column["name"] == name)
            .unwrap();
        column["distribution"]["mean"].as_f64().unwrap() * of as f64
    };
    assert_eq!(described["rows"], rows);
    let near = |found: f64, expected: i64| {
        assert!(
            (found / expected as f64 - 1.0).abs() < 1e-9,
            "{found}, not {expected}"
        )
    };
    near(sum("frequency", rows), frequency);
    near(sum("monetary", rows) * 100.0, cents);
    near(sum("purchases_39w", labelled), later);
    near(sum("label_complete", rows), labelled);
}

/// Days since 1997-01-01.
fn day(text: &str) -> i64 {
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    let (year, month, day) = (number(0..4), number(4..6), number(6..8));
    let months = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before: i64 = months[..month as usize - 1].iter().sum();
    (year - 1997) * 365 + before + day - 1
}

/// The examples of the documentation, as a user would paste them.
#[test]
fn the_examples_of_the_docs_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("docs/datasets.md")).unwrap();
    let blocks: Vec<&str> = text
        .split("\n```sh\n")
        .skip(1)
        .map(|block| block.split("\n```").next().unwrap())
        .collect();
    assert_eq!(blocks.len(), 4);
    let folder = tempfile::tempdir().unwrap();
    let script = format!("set -euo pipefail\n{}\n", blocks.join("\n"));
    let bin = Path::new(env!("CARGO_BIN_EXE_foretell")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("FORETELL_DATA", folder.path().join("data"))
        .env_remove("FORETELL_SERVER")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        told.contains("returning.parquet: 23 rows, out of 5 events"),
        "{told}"
    );
    assert!(
        told.contains("train.parquet: 2 rows, 5 columns, out of 5 events"),
        "{told}"
    );
    built_again_of_tables(folder.path());
}

/// `train.parquet` was built of `labels.csv` and others.
fn built_again_of_tables(folder: &Path) {
    let file = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let again = |from: &str| {
        let mut build = crate::support::foretell(&folder.join("data"));
        build.args([
            "dataset",
            "build",
            "--out",
            "again.parquet",
            "--manifest",
            from,
        ]);
        build.current_dir(folder).output().unwrap()
    };
    for from in ["train.manifest.json", "train.parquet"] {
        assert!(again(from).status.success(), "{from}");
        assert!(file("again.parquet") == file("train.parquet"), "{from}");
        std::fs::remove_file(folder.join("again.parquet")).unwrap();
    }
    let manifest: Value = serde_json::from_slice(&file("train.manifest.json")).unwrap();
    let labels = folder.join(manifest["labels"]["path"].as_str().unwrap());
    let mut changed = std::fs::read(&labels).unwrap();
    changed.push(b'\n');
    std::fs::write(&labels, changed).unwrap();
    let output = again("train.manifest.json");
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("isn't the file") && told.contains("BLAKE3"),
        "{told}"
    );
    assert!(!folder.join("again.parquet").exists());
}
