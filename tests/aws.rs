//! The AWS command line against a server that answers as Lambda does: it takes our ZIPs, and its CodeSha256 is ours.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

mod support;

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::command::{command, finish, run};
use support::compile::CC;
use support::tools;

/// moto in server mode, on a port of its own. It ends with the test.
struct Server {
    process: Child,
    endpoint: String,
}

impl Server {
    fn start(dir: &Path) -> Server {
        // Free a moment ago; the server cannot be given a socket.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = std::fs::File::create(dir.join("moto.log")).unwrap();
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "moto_server", "-H", "127.0.0.1", "-p", &port.to_string()])
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("setpriv starts");
        let mut server = Server { process, endpoint: format!("http://127.0.0.1:{port}") };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = server.process.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}: {}", log_of(dir));
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// What the AWS command line answers.
    #[track_caller]
    fn aws(&self, dir: &Path, arguments: &str) -> Value {
        let mut aws = command("aws", dir);
        aws.args(["--endpoint-url", &self.endpoint, "--region", "eu-central-1", "--output", "json"]);
        aws.args(arguments.split(' '));
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            aws.env(name, "test");
        }
        // Nothing of this machine's account, and nothing over a network.
        for name in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
            aws.env(name, "/dev/null");
        }
        let ran = finish(aws.env("AWS_EC2_METADATA_DISABLED", "true").env("NO_PROXY", "*"));
        assert_eq!(ran.code, Some(0), "aws {arguments}: {ran}\n{}", log_of(dir));
        ran.json()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn log_of(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("moto.log")).unwrap_or_default()
}

/// Bundles, and gives what the report says of the archive.
#[track_caller]
fn bundle(dir: &Path, arguments: &str) -> Value {
    let ran = run(dir, &format!("{arguments} --message-format json")).exits(0);
    ran.json()["artifacts"][0]["archive"].clone()
}

#[test]
fn the_aws_command_line_takes_functions_and_layers() {
    const TEST: &str = "the_aws_command_line_takes_functions_and_layers";
    if !tools::require(TEST, "aws", "awscli, or pip: awscli")
        || !tools::require(TEST, "moto_server", "none, but pip: moto[server]")
        || !tools::require(TEST, "setpriv", "util-linux")
    {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    CC.compile(
        dir,
        "int top(void) { return 0; }",
        "libs/libtop.so.1",
        "-shared -fPIC -Wl,-soname,libtop.so.1",
    );
    CC.compile(dir, "int top(void); int main(void) { return top(); }", "app", "libs/libtop.so.1");
    let server = Server::start(dir);
    let trust = r#"{"Version":"2012-10-17","Statement":[]}"#;
    let role = format!("iam create-role --role-name test --assume-role-policy-document {trust}");
    let role = server.aws(dir, &role)["Role"]["Arn"].as_str().unwrap().to_owned();

    let whole = bundle(dir, "--binary app --library-path libs -o whole.zip");
    let create = |name: &str| {
        format!(
            "lambda create-function --function-name {name} --zip-file fileb://{name}.zip --role {role} \
             --runtime provided.al2023 --handler bootstrap --architectures x86_64"
        )
    };
    let created = server.aws(dir, &create("whole"));
    assert_eq!(created["CodeSha256"], whole["code_sha256"], "{created:#}");
    assert_eq!(created["CodeSize"], whole["zipped_bytes"], "{created:#}");

    for (name, arguments) in [
        ("layer", "--kind layer --libraries-only --binary app --library-path libs -o layer.zip"),
        ("extension", "--kind extension --binary app --library-path libs -o extension.zip"),
    ] {
        let layer = bundle(dir, arguments);
        let published = server.aws(
            dir,
            &format!(
                "lambda publish-layer-version --layer-name {name} --zip-file fileb://{name}.zip \
                 --compatible-runtimes provided.al2023"
            ),
        );
        assert_eq!(published["Content"]["CodeSha256"], layer["code_sha256"], "{published:#}");
        assert_eq!(published["Content"]["CodeSize"], layer["zipped_bytes"], "{published:#}");
    }

    let thin = bundle(dir, "--binary app --library-path libs --attached-layer layer.zip -o thin.zip");
    let layers = ["layer", "extension"].map(|name| {
        let versions = server.aws(dir, &format!("lambda list-layer-versions --layer-name {name}"));
        versions["LayerVersions"][0]["LayerVersionArn"].as_str().unwrap().to_owned()
    });
    let created = server.aws(dir, &format!("{} --layers {}", create("thin"), layers.join(" ")));
    assert_eq!(created["CodeSha256"], thin["code_sha256"], "{created:#}");
    let attached: Vec<&Value> =
        created["Layers"].as_array().unwrap().iter().map(|layer| &layer["Arn"]).collect();
    assert_eq!(json!(attached), json!(layers));

    // Changed code has another sum, and what is published can be compared with it.
    let update = "lambda update-function-code --function-name thin --zip-file fileb://whole.zip";
    assert_eq!(server.aws(dir, update)["CodeSha256"], whole["code_sha256"]);
    assert_ne!(whole["code_sha256"], thin["code_sha256"]);
}
