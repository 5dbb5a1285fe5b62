//! Our answers, and the archives to which they belong.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::scenario::{Kind, Question, Scenario, System, Toolchain};
use super::start::Job;
use crate::support::command::{bundle_cmd, finish};

/// What we said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Exit 0: the archive was written, or `verify` says that it starts.
    Yes,
    /// `verify` says that it may start.
    Perhaps,
    /// Exit 1, with these findings.
    No(String),
    /// Exit 101, with this error.
    Error(String),
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Of which row.
    pub row: usize,
    /// Which question, as a word.
    pub question: &'static str,
    /// What we said.
    pub answer: Answer,
    /// What to start to see the truth. The last is what a user would zip by hand; if it starts, so does the row.
    pub jobs: Vec<Job>,
    /// All that we wrote to stdout and stderr.
    pub text: String,
}

/// Where a row is judged.
pub struct Bench<'a> {
    pub toolchain: Toolchain<'a>,
    /// `--baseline` file of each root.
    pub host: &'a Path,
    pub captured_bullseye: &'a Path,
}

impl Bench<'_> {
    fn baseline(&self, system: System) -> &Path {
        match system {
            System::Host => self.host,
            System::Bullseye => self.captured_bullseye,
        }
    }

    /// The flags that both commands have.
    fn common_flags(
        &self,
        scenario: &Scenario,
        question: Question,
        env: &[String],
        layer: Option<&Path>,
    ) -> Vec<String> {
        let mut flags = match question {
            Question::Captured => {
                vec!["--baseline".into(), self.baseline(scenario.system).display().to_string()]
            }
            Question::Table | Question::LibcBundle => Vec::new(),
        };
        flags.extend(env.iter().flat_map(|it| ["--env".to_owned(), it.clone()]));
        flags.extend(layer.iter().flat_map(|it| ["--attached-layer".to_owned(), it.display().to_string()]));
        flags
    }

    /// Builds the row in `dir` and asks all its questions.
    pub fn judge(&self, row: usize, scenario: &Scenario, dir: &Path) -> Vec<Asked> {
        scenario.build(dir, &self.toolchain);
        let layer = dir.join("layer").is_dir().then(|| zip(&dir.join("layer"), &dir.join("layer.zip")));
        let task = dir.join("task").is_dir().then(|| zip(&dir.join("task"), &dir.join("task.zip")));
        let env: Vec<String> = scenario.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let job = |zip: PathBuf| Job {
            zip,
            layer: layer.clone(),
            extensions: scenario.kind == Kind::Extensions,
            env: env.join(" "),
        };
        let mut answers = Vec::new();
        let mut bundles = BTreeSet::new();
        for question in scenario.asked {
            let common = self.common_flags(scenario, *question, &env, layer.as_deref());
            let mut written = dir.join(format!("{question:?}.zip"));
            if let Some(task) = &task.clone().filter(|_| scenario.kind == Kind::Archive) {
                let verified = verify(dir, scenario, task, &common);
                answers.push(Asked {
                    row,
                    question: word(*question, true),
                    jobs: vec![job(task.clone())],
                    ..verified
                });
                continue;
            }
            let mut said = self.bundle(dir, scenario, *question, &common, &written);
            said.row = row;
            if written.exists() {
                if let Some(absent) = scenario.absent {
                    assert!(!names(&written).contains(absent), "{}: {absent} is shipped", scenario.name);
                }
                // The same bytes are started once.
                let bytes = fs::read(&written).unwrap();
                let same = bundles.iter().find(|earlier| fs::read(earlier).unwrap() == bytes).cloned();
                written = same.unwrap_or(written);
                bundles.insert(written.clone());
                said.jobs.push(job(written.clone()));
                let verified = verify(dir, scenario, &written, &common);
                answers.push(Asked {
                    row,
                    question: word(*question, true),
                    jobs: said.jobs.clone(),
                    ..verified
                });
            }
            if said.answer != Answer::Yes
                && *question != Question::LibcBundle
                && scenario.kind == Kind::Function
                && !scenario.flags.contains("--sysroot")
            {
                said.jobs.push(job(by_hand(dir, scenario)));
            }
            answers.push(said);
        }
        answers
    }

    fn bundle(&self, dir: &Path, row: &Scenario, question: Question, common: &[String], zip: &Path) -> Asked {
        let mut command = bundle_cmd(dir);
        command.arg("lambda-bundle").args(common).arg("-o").arg(zip);
        command.args(["--message-format=json", "--compression=fast", "--write-anyway", "--force"]);
        match row.kind {
            Kind::Extensions => {
                command.arg("--kind=extension");
                let mut programs: Vec<PathBuf> = fs::read_dir(dir.join("extensions"))
                    .unwrap()
                    .map(|entry| entry.unwrap().path())
                    .collect();
                programs.sort();
                for program in programs {
                    command.arg("--binary").arg(program);
                }
            }
            Kind::Function | Kind::Archive => {
                command.args(["--binary", "prog"]);
            }
        }
        if dir.join("lib").is_dir() && !row.flags.contains("--library-path") {
            command.args(["--library-path", "lib"]);
        }
        if question == Question::LibcBundle {
            command.arg("--libc=bundle");
        }
        let bullseye = self.toolchain.bullseye.display().to_string();
        command.args(row.flags.replace("{bullseye}", &bullseye).split_whitespace());
        let ran = finish(&mut command);
        answered(&ran.stdout, &ran.stderr, ran.code, row, word(question, false))
    }
}

/// Asks `verify` about an archive.
fn verify(dir: &Path, row: &Scenario, zip: &Path, common: &[String]) -> Asked {
    let mut command = bundle_cmd(dir);
    command.args(["lambda-bundle", "verify", "--message-format=json"]).args(common).arg(zip);
    // What both commands have; the others say how to bundle.
    let words: Vec<&str> = row.flags.split_whitespace().collect();
    for (index, word) in words.iter().enumerate() {
        if matches!(*word, "--arch" | "--dlopen" | "--assume-present") {
            command.args(&words[index..index + 2]);
        }
    }
    let ran = finish(&mut command);
    answered(&ran.stdout, &ran.stderr, ran.code, row, "verify")
}

fn answered(stdout: &str, stderr: &str, code: Option<i32>, row: &Scenario, question: &'static str) -> Asked {
    let text = format!("{stderr}{stdout}");
    let document: Value = serde_json::from_str(stdout).unwrap_or_default();
    let artifacts = document["artifacts"].as_array().cloned().unwrap_or_default();
    let verdicts: Vec<&str> = artifacts.iter().filter_map(|artifact| artifact["verdict"].as_str()).collect();
    let answer = match code {
        Some(0) => {
            assert!(!verdicts.is_empty(), "{}: no verdict: {text}", row.name);
            assert!(!verdicts.contains(&"fails"), "{}: fails, but exit 0: {text}", row.name);
            match question == "verify" && verdicts.contains(&"unknown") {
                true => Answer::Perhaps,
                false => Answer::Yes,
            }
        }
        Some(1) => Answer::No(errors(&artifacts)),
        Some(101) => Answer::Error(stderr.lines().next().unwrap_or_default().to_owned()),
        other => panic!("{}: exit {other:?}: {text}", row.name),
    };
    Asked { row: 0, question, answer, jobs: Vec::new(), text }
}

/// The codes of the findings that refuse.
fn errors(artifacts: &[Value]) -> String {
    let findings =
        artifacts.iter().flat_map(|artifact| artifact["findings"].as_array().into_iter().flatten());
    let mut codes: Vec<&str> =
        findings.filter(|it| it["severity"] == "error").filter_map(|it| it["code"].as_str()).collect();
    codes.dedup();
    assert!(!codes.is_empty(), "exit 1 without an error: {artifacts:#?}");
    codes.join(",")
}

fn word(question: Question, verify: bool) -> &'static str {
    match (question, verify) {
        (Question::Table, false) => "table",
        (Question::Captured, false) => "captured",
        (Question::LibcBundle, false) => "libc bundle",
        (Question::Table, true) => "verify, table",
        (Question::Captured, true) => "verify, captured",
        (Question::LibcBundle, true) => "verify, libc bundle",
    }
}

/// What a user would zip without us: the program, and the libraries beside it.
fn by_hand(dir: &Path, row: &Scenario) -> PathBuf {
    let hand = dir.join("hand");
    if !hand.exists() {
        let script = "mkdir hand && cp prog hand/bootstrap && chmod 755 hand/bootstrap; \
                      if [ -d lib ]; then cp -rL lib hand/lib; fi; chmod -R u+w,go+rX hand";
        let status = Command::new("sh").args(["-c", script]).current_dir(dir).status();
        assert!(status.is_ok_and(|status| status.success()), "{}: {script}", row.name);
        zip(&hand, &dir.join("hand.zip"));
    }
    dir.join("hand.zip")
}

/// The names of an archive's entries, one a line.
fn names(zip: &Path) -> String {
    let output = Command::new("unzip").arg("-Z1").arg(zip).output().expect("unzip starts");
    String::from_utf8(output.stdout).expect("names in UTF-8")
}

/// Zips the contents of a directory with their modes and links.
fn zip(from: &Path, to: &Path) -> PathBuf {
    let status = Command::new("zip").arg("-1qry").arg(to).arg(".").current_dir(from).status();
    assert!(status.is_ok_and(|status| status.success()), "zip {}", from.display());
    to.to_owned()
}
