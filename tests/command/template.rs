//! `verify --template`: templates that fit their ZIPs, and those that do not.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use crate::support::command::Ran;
use crate::support::elf::Object;
use crate::support::scene::Scene;

/// A directory with out/x86.zip and out/arm.zip, functions for either architecture.
fn scene() -> Scene {
    let scene = Scene::new();
    let program = || Object::static_program().text("AWS_LAMBDA_RUNTIME_API");
    scene.dir("out");
    for (name, program) in [("x86", program()), ("arm", program().arm64())] {
        scene.file(name, program.bytes());
        scene.run(&format!("--binary {name} -o out/{name}.zip")).exits(0);
    }
    scene
}

fn verify(scene: &Scene, template: &str, arguments: &str) -> Ran {
    scene.file("template.yaml", template);
    scene.run(&format!("verify --template template.yaml {arguments}"))
}

fn function(name: &str, properties: &str) -> String {
    format!("  {name}:\n    Type: AWS::Serverless::Function\n    Properties: {{{properties}}}\n")
}

const SILENT: [&str; 2] = ["template-mismatch", "template-unknown"];

#[test]
fn architectures() {
    let scene = scene();
    let template = |architectures: &str, code: &str| {
        let properties = format!("CodeUri: {code}, Runtime: provided.al2023{architectures}");
        format!(
            "Parameters:\n  Arch: {{Type: String, Default: arm64}}\n  Open: {{Type: String}}\nResources:\n{}",
            function("Orders", &properties)
        )
    };
    let check = |architectures: &str, name: &str| {
        verify(&scene, &template(architectures, &format!("out/{name}.zip")), &format!("out/{name}.zip"))
    };
    check("", "x86").exits(0).keeps_silent_about(&SILENT);
    check(", Architectures: [arm64]", "arm").exits(0).keeps_silent_about(&SILENT);
    check(", Architectures: [!Ref Arch]", "arm").exits(0).keeps_silent_about(&SILENT);
    check("", "arm").exits(1).says(&[
        "error[template-mismatch]: `bootstrap` is for arm64, and `Orders` of `template.yaml` is for x86_64 by default\n",
        "help: set the function's architecture to arm64, or build for x86_64\n",
    ]);
    check(", Architectures: [arm64]", "x86").exits(1).says(&[
        "error[template-mismatch]: `bootstrap` is for x86_64, and `Orders` of `template.yaml` is for arm64\n",
    ]);
    check(", Architectures: [!Ref Arch]", "x86").exits(1).says(&["is for arm64 by default\n"]);
    check(", Architectures: [!Ref Open]", "arm")
        .exits(0)
        .says(&["warning[template-unknown]: the architecture of `Orders` of `template.yaml` is not known: it is `!Ref Open`\n"])
        .keeps_silent_about(&["template-mismatch"]);
    let ran = verify(&scene, &template("", "out/arm.zip"), "out/arm.zip --message-format json").exits(1);
    let artifact = &ran.json()["artifacts"][0];
    assert_eq!(
        (&artifact["verdict"], &artifact["findings"][0]["code"]),
        (&"fails".into(), &"template-mismatch".into())
    );
}

#[test]
fn runtimes() {
    let scene = scene();
    let check = |runtime: &str, more: &str| {
        let template =
            format!("Resources:\n{}", function("Orders", &format!("CodeUri: out/x86.zip{runtime}")));
        verify(&scene, &template, &format!("out/x86.zip {more}"))
    };
    check(", Runtime: provided.al2023", "")
        .exits(0)
        .says(&["starts on provided.al2023"])
        .keeps_silent_about(&SILENT);
    // It is proved for what the template says.
    check(", Runtime: provided.al2", "")
        .exits(0)
        .says(&["`Orders` (out/x86.zip): starts on provided.al2 (x86_64)\n"])
        .keeps_silent_about(&SILENT);
    check(", Runtime: provided.al2023", "--runtime provided.al2").exits(1).says(&[
        "error[template-mismatch]: `Orders` of `template.yaml` runs on provided.al2023, and `out/x86.zip` was verified for provided.al2\n",
        "help: set the function's runtime to provided.al2, or use `--runtime provided.al2023`\n",
    ]);
    check(", Runtime: nodejs22.x", "").exits(1).says(&[
        "error[not-started]: nodejs22.x starts no `bootstrap`, and `out/x86.zip` has no other file that it could run\n",
    ]);
    check(", Runtime: !Ref R", "").exits(0).says(&["warning[template-unknown]: the runtime of `Orders` of `template.yaml` is not known: it is `!Ref R`\n"]);
    check("", "").exits(0).says(&["is not known: it has no `Runtime`\n"]);
    // A captured table has a name of its own.
    scene.file("mine.txt", "/lib64/libc.so.6\n");
    check(", Runtime: provided.al2023", "--baseline mine.txt").exits(0).keeps_silent_about(&SILENT);
}

#[test]
fn which_functions_have_the_zip() {
    let scene = scene();
    let template = format!(
        "Globals: {{Function: {{Runtime: provided.al2023}}}}\nResources:\n{}{}{}{}{}",
        function("X", "CodeUri: ./out/../out/x86.zip"),
        function("A", "CodeUri: out/arm.zip, Architectures: [arm64]"),
        function("Dir", "CodeUri: out, Architectures: [arm64]"),
        function("Gone", "CodeUri: out/gone.zip"),
        function("Far", "CodeUri: s3://bucket/key"),
    );
    // All that it names.
    let ran = verify(&scene, &template, "").exits(101).keeps_silent_about(&["template-mismatch"]).says(&[
        "`X` (out/x86.zip): starts on provided.al2023",
        "`A` (out/arm.zip): starts on provided.al2023 (arm64)",
        "error[bootstrap-missing]: `",
        "error: `out/gone.zip`, the code of `Gone` in `template.yaml`, does not exist\nhelp: build it, then verify again\n",
        "warning[template-unknown]: the code of `Far` of `template.yaml` is not verified: its code is in S3\n",
    ]);
    // Nothing is skipped in silence.
    let quiet = verify(&scene, &template, "-q").exits(101);
    quiet
        .says(&["error: `out/gone.zip`, the code of `Gone`", "warning[template-unknown]: the code of `Far`"]);
    drop(ran);
    let without = template.replace("out/../out/x86.zip", "other.zip");
    verify(&scene, &without, "out/x86.zip")
        .exits(1)
        .says(&["`bootstrap` is for x86_64, and `Dir` of `template.yaml` is for arm64\n"]);
    let without = without.replace("CodeUri: out,", "CodeUri: other,");
    verify(&scene, &without, "out/x86.zip").exits(0).says(&[
        "warning[template-unknown]: no function of `template.yaml` is known to have the code `out/x86.zip`\n",
    ]);
    verify(&scene, &without, "out/x86.zip --deny template-unknown").exits(1);
    let none = format!("Resources:\n{}", function("Far", "CodeUri: s3://bucket/key"));
    verify(&scene, &none, "").exits(101).says(&["error: `template.yaml` names no file and no directory\n"]);
}

#[test]
fn functions_are_in_json() {
    let scene = scene();
    let template = format!(
        "Globals: {{Function: {{Runtime: provided.al2023}}}}\nResources:\n{}{}{}{}",
        function("X", "CodeUri: out/x86.zip"),
        function("Gone", "CodeUri: out/gone.zip"),
        function("Far", "CodeUri: s3://bucket/key, Architectures: [arm64]"),
        function("Inline", "InlineCode: x, Runtime: nodejs22.x"),
    );
    let ran = verify(&scene, &template, "--message-format json").exits(101);
    let document = ran.json();
    let functions: Vec<String> = document["functions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|function| {
            let file = |path: &str| path.rsplit('/').next().unwrap().to_owned();
            let path = function["path"].as_str().map(file);
            let word = |key: &str| function[key].as_str().unwrap_or("-").to_owned();
            let path = path.unwrap_or_else(|| "-".into());
            format!("{} {path} {} {} {}", word("name"), word("runtime"), function["verified"], word("reason"))
        })
        .collect();
    assert_eq!(
        functions,
        [
            "Far - provided.al2023 false its code is in S3",
            "Gone gone.zip provided.al2023 false its code does not exist",
            "Inline - nodejs22.x false its code is in the template",
            "X x86.zip provided.al2023 true -",
        ]
    );
    assert_eq!(
        document["error"]["message"],
        "`out/gone.zip`, the code of `Gone` in `template.yaml`, does not exist"
    );
    // The code that nobody has seen is an artifact, whose finding can be denied.
    let artifact = |at: usize| (&document["artifacts"][at]["name"], &document["artifacts"][at]["verdict"]);
    assert_eq!(artifact(0), (&"bootstrap".into(), &"starts".into()));
    assert_eq!(artifact(1), (&"Far".into(), &"unknown".into()));
    let far = template.replace("out/gone.zip", "out/x86.zip");
    verify(&scene, &far, "").exits(0);
    verify(&scene, &far, "--deny template-unknown").exits(1);
}

#[test]
fn functions_of_a_language_are_verified_for_it() {
    let scene = scene();
    scene.file("node/index.js", "exports.h = 1");
    scene.file("py/app.py", "");
    scene.file("node/addon.node", Object::library("addon.node").needs("libfnord.so.7").bytes());
    let with = |code: &str| {
        format!(
            "Resources:\n{}{}{}",
            function("N", &format!("CodeUri: {code}, Handler: index.h, Runtime: nodejs22.x")),
            function("P", "CodeUri: py, Handler: app.h, Runtime: python3.13, Architectures: [arm64]"),
            function("R", "CodeUri: out/x86.zip, Runtime: provided.al2"),
        )
    };
    verify(&scene, &with("node"), "")
        .exits(1)
        .says(&[
            "error[missing-library]: `addon.node` needs `libfnord.so.7`",
            "`P` (py): its libraries load on python3.13 (arm64)",
            "`R` (out/x86.zip): starts on provided.al2 (x86_64)\n",
        ])
        .keeps_silent_about(&["template-", "bootstrap-missing"]);
    scene.remove("node/addon.node");
    // One `--runtime` does not count for functions of another kind.
    for flag in ["", "--runtime nodejs22.x", "--runtime provided.al2"] {
        let template = match flag {
            "--runtime nodejs22.x" => with("node").replace("python3.13", "nodejs22.x"),
            _ => with("node"),
        };
        verify(&scene, &template, flag)
            .exits(0)
            .says(&[
                "`N` (node): its libraries load on nodejs22.x",
                "`R` (out/x86.zip): starts on provided.al2 (x86_64)\n",
            ])
            .keeps_silent_about(&["template-", "bootstrap-missing"]);
    }
}

#[test]
fn an_unknown_runtime_is_one_warning() {
    let scene = scene();
    scene.file("node/index.js", "exports.h = 1");
    for (code, runtime) in [
        ("out/x86.zip", "provided.al2027"),
        ("out/x86.zip", "custom"),
        ("node", "nodejs28.x"),
        ("node", "nodejs12.x"),
        ("node", "custom"),
    ] {
        let template =
            format!("Resources:\n{}", function("F", &format!("CodeUri: {code}, Runtime: {runtime}")));
        let ran = verify(&scene, &template, "--message-format json").exits(0);
        let artifact = &ran.json()["artifacts"][0];
        let codes: Vec<&str> = artifact["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["code"].as_str().unwrap())
            .collect();
        assert_eq!(
            (&codes[..], &artifact["verdict"]),
            (&["template-unknown"][..], &"unknown".into()),
            "{ran}"
        );
        let why = match runtime {
            "custom" => "whose libraries are those of its own image\n",
            "nodejs12.x" => "whose functions cannot be updated since 2023-04-30\n",
            _ => "which is not known\n",
        };
        let unchecked = "  the libraries that it loads are not checked\n";
        let help = match runtime {
            "custom" => {
                "baseline capture --root <DIR> --name custom -o <FILE>`, and name that with `--baseline <FILE>`"
            }
            "nodejs12.x" => "help: move to a newer runtime, such as nodejs26.x, ",
            _ => "`--baseline <FILE>`",
        };
        let what = "warning[template-unknown]: `F` of `template.yaml` has the runtime";
        ran.says(&[&format!("{what} {runtime}, {why}{unchecked}"), help]);
    }
    // No runtime of that family starts without a `bootstrap`.
    let template = format!("Resources:\n{}", function("F", "CodeUri: node, Runtime: provided.al2027"));
    verify(&scene, &template, "").exits(1).says(&["error[bootstrap-missing]"]);
    // The way out.
    scene.file("own", "runtime provided.al2027\nroot provided.al2023\narch x86_64\n");
    let template = format!("Resources:\n{}", function("F", "CodeUri: out/x86.zip, Runtime: provided.al2027"));
    verify(&scene, &template, "--baseline own")
        .exits(0)
        .says(&["starts on provided.al2027 (x86_64)\n"])
        .keeps_silent_about(&SILENT);
}

#[test]
fn plans_of_terraform_and_output_of_cdk() {
    let scene = scene();
    let json = |text: &str| text.replace('\'', "\"");
    let ran = scene.run("verify out/arm.zip --message-format json").exits(0);
    let hash = ran.json()["artifacts"][0]["archive"]["code_sha256"].as_str().unwrap().to_owned();
    let plan = |architecture: &str, hash: &str| {
        json(&format!(
            "{{'format_version': '1.2', 'planned_values': {{'root_module': {{'resources': [{{
               'address': 'aws_lambda_function.orders', 'type': 'aws_lambda_function', 'values': {{
               'filename': './out/arm.zip', 'runtime': 'provided.al2023', 'architectures': ['{architecture}'],
               'source_code_hash': '{hash}'}}}}]}}}}}}"
        ))
    };
    verify(&scene, &plan("arm64", &hash), "").exits(0).keeps_silent_about(&SILENT);
    verify(&scene, &plan("x86_64", &hash), "")
        .exits(1)
        .says(&["and `aws_lambda_function.orders` of `template.yaml` is for x86_64\n"]);
    verify(&scene, &plan("arm64", "AAAA"), "").exits(1).says(&["arm.zip` is not the ZIP that `aws_lambda_function.orders` of `template.yaml` was planned with: the hash differs\n"]);
    scene.dir("cdk.out");
    scene.copy("out/arm.zip", "cdk.out/asset.1.zip");
    let stack = json(
        "{'Resources': {'Orders1': {'Type': 'AWS::Lambda::Function',
          'Properties': {'Code': {'S3Bucket': 'b', 'S3Key': '1.zip'}, 'Runtime': 'provided.al2023'},
          'Metadata': {'aws:asset:path': 'asset.1.zip', 'aws:asset:property': 'Code'}}}}",
    );
    scene.file("cdk.out/App.template.json", &stack);
    scene
        .run("verify --template cdk.out/App.template.json")
        .exits(1)
        .says(&["and `Orders1` of `cdk.out/App.template.json` is for x86_64 by default\n"]);
    // Without the path in the stack, its list of assets has it.
    scene.file("cdk.out/App.template.json", stack.replace("aws:asset:path", "x"));
    scene
        .run("verify --template cdk.out/App.template.json")
        .exits(101)
        .says(&["error: `cdk.out/App.template.json` names no file and no directory\n"]);
    let assets = "{'files': {'1': {'source': {'path': 'asset.1.zip', 'packaging': 'file'},
        'destinations': {'current': {'bucketName': 'b', 'objectKey': '1.zip'}}}}}";
    scene.file("cdk.out/App.assets.json", json(assets));
    scene
        .run("verify --template cdk.out/App.template.json")
        .exits(1)
        .says(&["and `Orders1` of `cdk.out/App.template.json` is for x86_64 by default\n"]);
}

#[test]
fn what_is_no_template_is_refused() {
    let scene = scene();
    for (text, expected) in [
        ("a: [", "caused by: it is not YAML\n"),
        ("{", "caused by: it is not JSON\n"),
        ("a: b", "caused by: it has no `Resources`"),
    ] {
        verify(&scene, text, "out/x86.zip")
            .exits(101)
            .says(&["error: `template.yaml` is not a template\n", expected]);
    }
    verify(&scene, "Resources: {B: {Type: AWS::S3::Bucket}}", "out/x86.zip")
        .exits(101)
        .says(&["error: `template.yaml` has no function whose code is a ZIP\n"]);
    scene.run("verify --template nothing.yaml").exits(101).says(&["error: `nothing.yaml` does not exist\n"]);
    scene.run("verify").exits(2);
}
