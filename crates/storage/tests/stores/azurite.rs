//! Azure Blob Storage, as Azurite has it. Needs the program `azurite-blob` (of the package `azurite` of
//! npm): in `FORETELL_AZURITE`, or found by PATH.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use foretell_log::Blobs;
use foretell_storage::{Account, AccountBlobs};
use object_store::azure::MicrosoftAzureBuilder;

use crate::{check, program};

/// Those that every emulator has.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const CONTAINER: &str = "foretell";

struct Azurite {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Azurite {
    fn start() -> Azurite {
        let program = program("FORETELL_AZURITE", "azurite-blob");
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(&program)
            .args([
                "--blobPort",
                "0",
                "--skipApiVersionCheck",
                "--disableTelemetry",
            ])
            .arg("--location")
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}; npm install azurite"));
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let listens = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, address) = line.split_once("listens on http://")?;
            Some(address.to_owned())
        });
        // Nobody need read what else it says.
        std::thread::spawn(move || lines.for_each(drop));
        let azurite = Azurite {
            process,
            address: listens.unwrap(),
            _folder: folder,
        };
        azurite.make_container();
        azurite
    }

    /// Signed by the shared key, as the service's reference says.
    fn make_container(&self) {
        let headers = "x-ms-date:Tue, 01 Dec 2026 12:00:00 GMT\nx-ms-version:2021-08-06";
        let path = format!("/{ACCOUNT}/{CONTAINER}");
        let empty = "\n".repeat(11);
        let signed = format!("PUT\n{empty}{headers}\n/{ACCOUNT}{path}\nrestype:container");
        let key = BASE64_STANDARD.decode(KEY).unwrap();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
        let signature = BASE64_STANDARD.encode(ring::hmac::sign(&key, signed.as_bytes()));
        let headers = headers.replace('\n', "\r\n");
        let request = format!(
            "PUT {path}?restype=container HTTP/1.1\r\nhost: {}\r\n{headers}\r\n\
             authorization: SharedKey {ACCOUNT}:{signature}\r\ncontent-length: 0\r\n\
             connection: close\r\n\r\n",
            self.address
        );
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }

    fn blobs(&self) -> Arc<dyn Blobs> {
        // The client wants one, though nothing is encrypted here.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store = MicrosoftAzureBuilder::new()
            .with_account(ACCOUNT)
            .with_access_key(KEY)
            .with_container_name(CONTAINER)
            .with_endpoint(format!("http://{}/{ACCOUNT}", self.address))
            .with_allow_http(true)
            .build();
        let account = Account::over(Arc::new(store.unwrap()));
        Arc::new(AccountBlobs::new(&account).unwrap())
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "needs Azurite"]
fn a_log_lies_in_azure_blob_storage() {
    check(&Azurite::start().blobs());
}
