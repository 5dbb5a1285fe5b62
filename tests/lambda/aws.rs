//! The AWS command line and `cargo lambda deploy` against a server that answers as Lambda does: they take our ZIPs as
//! they are, and the CodeSha256 that comes back is the one we print.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::command::{command, finish, run};
use crate::support::compile::CC;
use crate::support::{readme, tools};
use serde_json::{Value, json};

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
        aws.args(["--endpoint-url", &self.endpoint, "--output", "json"]).args(arguments.split(' '));
        answer(&mut aws, dir)
    }

    /// Makes a role that functions can have; its name.
    #[track_caller]
    fn role(&self, dir: &Path) -> String {
        let trust = r#"{"Version":"2012-10-17","Statement":[]}"#;
        let role = format!("iam create-role --role-name test --assume-role-policy-document {trust}");
        self.aws(dir, &role)["Role"]["Arn"].as_str().unwrap().to_owned()
    }
}

/// The JSON that a client of AWS prints.
#[track_caller]
fn answer(client: &mut assert_cmd::Command, dir: &Path) -> Value {
    let ran = finish(alone(client));
    assert_eq!(ran.code, Some(0), "{ran}\n{}", log_of(dir));
    // cargo-lambda also says what it does, before the document.
    let document = ran.stdout.find('{').map(|at| &ran.stdout[at..]);
    serde_json::from_str(document.unwrap_or_default()).unwrap_or_else(|error| panic!("{error}: {ran}"))
}

/// Sets the account of the server, and nothing of this machine's.
fn alone(client: &mut assert_cmd::Command) -> &mut assert_cmd::Command {
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        client.env(name, "test");
    }
    // Nothing of this machine's account, and nothing over a network.
    for name in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
        client.env(name, "/dev/null");
    }
    client.env("AWS_EC2_METADATA_DISABLED", "true").env("NO_PROXY", "*").env("AWS_REGION", "eu-central-1");
    client.env("AWS_DEFAULT_REGION", "eu-central-1")
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

/// Whether this machine has the clients and the server.
#[track_caller]
fn require() -> bool {
    tools::require("aws", "awscli, or pip: awscli")
        && tools::require("moto_server", "none; pip install moto[server]")
        && tools::require("setpriv", "util-linux")
}

/// A program with a library that Lambda lacks.
fn program(dir: &Path) {
    let flags = "-shared -fPIC -Wl,-soname,libtop.so.1";
    CC.compile(dir, "int top(void) { return 0; }", "libs/libtop.so.1", flags);
    CC.compile(dir, "int top(void); int main(void) { return top(); }", "app", "libs/libtop.so.1");
}

#[test]
fn the_aws_command_line_takes_functions_and_layers() {
    if !require() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    program(dir);
    let server = Server::start(dir);
    let role = server.role(dir);

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

#[test]
fn cargo_lambda_deploys_our_archive_beside_its_own() {
    if !require() || !tools::require("cargo-lambda", "none; pip install cargo-lambda") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    program(dir);
    let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";
    std::fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    std::fs::create_dir(dir.join("src")).unwrap();
    std::fs::write(dir.join("src/main.rs"), "fn main() {}\n").unwrap();
    let cargo_lambda = |arguments: &str| {
        let mut command = command("cargo", dir);
        command.arg("lambda").args(arguments.split(' '));
        command
    };
    finish(&mut cargo_lambda("build --release --compiler cargo")).exits(0);
    assert!(dir.join("target/lambda/app/bootstrap").is_file());

    let zip = "target/lambda-bundle/app/bootstrap.zip";
    let ours = bundle(dir, &format!("--binary app --library-path libs -o {zip}"));
    let deploy = "deploy --lambda-dir target/lambda-bundle -o json";
    // As `help ci` has it, for a function of another name.
    assert!(
        readme::command_line("cargo lambda deploy")
            .ends_with("deploy --lambda-dir target/lambda-bundle orders")
    );
    let dry = answer(&mut cargo_lambda(&format!("{deploy} --dry")), dir);
    assert_eq!(json!([dry["kind"], dry["path"], dry["arch"]]), json!(["function", zip, "x86_64"]));
    assert_eq!(dry["files"], json!(["bootstrap", "lib/libtop.so.1"]), "{dry:#}");

    // In earnest, what arrives is the file.
    let server = Server::start(dir);
    let role = server.role(dir);
    answer(&mut cargo_lambda(&format!("{deploy} --endpoint-url {} --role {role}", server.endpoint)), dir);
    let deployed = server.aws(dir, "lambda get-function --function-name app");
    assert_eq!(deployed["Configuration"]["CodeSha256"], ours["code_sha256"], "{deployed:#}");
}

#[test]
fn the_script_deploys_an_archive_that_starts_and_no_other() {
    if !require() || !tools::require("zip", "zip") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    program(dir);
    let server = Server::start(dir);
    let role = server.role(dir);
    let good = bundle(dir, "--binary app --library-path libs -o good.zip");
    // The same without its library, as a tool writes it that does not know of it.
    finish(command("cp", dir).args(["app", "bootstrap"])).exits(0);
    finish(command("zip", dir).args(["-q", "bad.zip", "bootstrap"])).exits(0);
    server.aws(
        dir,
        &format!(
            "lambda create-function --function-name orders --zip-file fileb://bad.zip --role {role} \
             --runtime provided.al2023 --handler bootstrap"
        ),
    );

    std::fs::write(dir.join("deploy.sh"), readme::recipe("deploy.sh")).unwrap();
    let path = std::env::var("PATH").unwrap();
    let built = Path::new(env!("CARGO_BIN_EXE_cargo-lambda-bundle")).parent().unwrap();
    let deploy = |zip: &str| {
        let mut sh = command("sh", dir);
        sh.env("PATH", format!("{}:{path}", built.display())).env("AWS_ENDPOINT_URL", &server.endpoint);
        sh.args(["deploy.sh", zip]);
        sh
    };
    finish(&mut deploy("bad.zip")).exits(1).says(&["error[missing-library]"]).prints("");
    assert_eq!(answer(&mut deploy("good.zip"), dir)["CodeSha256"], good["code_sha256"]);
    // The same code again is not uploaded.
    finish(alone(&mut deploy("good.zip"))).exits(0).prints("");
}
