//! `verify DIR` and templates whose code and layers are directories, as SAM, CDK and cargo-lambda leave them.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use crate::support::elf::Object;
use crate::support::scene::Scene;

/// A directory `fn` with the program `bootstrap` of these needs and `lib/libfoo.so.1`.
fn scene() -> Scene {
    let scene = Scene::new();
    let program = Object::program().needs("libc.so.6").needs("libfoo.so.1").text("AWS_LAMBDA_RUNTIME_API");
    scene.file("fn/bootstrap", program.bytes()).mode("fn/bootstrap", 0o755);
    scene.file("fn/lib/libfoo.so.1", Object::library("libfoo.so.1").needs("libc.so.6").bytes());
    scene.mode("fn/lib", 0o755).mode("fn/lib/libfoo.so.1", 0o644);
    scene
}

#[test]
fn a_directory_is_verified_like_its_archive() {
    let scene = scene();
    let ran = scene.run("verify fn --message-format json").exits(0);
    let artifact = &ran.json()["artifacts"][0];
    assert_eq!(artifact["verdict"], "starts");
    let archive = &artifact["archive"];
    assert_eq!((&archive["format"], &archive["kind"]), (&"dir".into(), &"function".into()));
    for key in ["zipped_bytes", "sha256", "code_sha256"] {
        assert!(archive[key].is_null(), "{key}: {ran}");
    }
    let names: Vec<&str> =
        archive["entries"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["bootstrap", "lib", "lib/libfoo.so.1"]);
    scene.run("verify fn/").exits(0).says(&["fn/: starts on provided.al2023 (x86_64)\n"]);
    scene.remove("fn/lib/libfoo.so.1");
    scene.run("verify fn").exits(1).says(&[
        "error[missing-library]: `bootstrap` needs `libfoo.so.1`",
        "write it; if a layer has it, name it: `--attached-layer ZIP`\n",
    ]);
    scene.file("layer/lib/libother.so.1", Object::library("libother.so.1").needs("libc.so.6").bytes());
    scene.run("verify fn --attached-layer layer").exits(1).keeps_silent_about(&["a layer has it"]);
}

#[test]
fn modes_and_links_are_those_of_the_disk() {
    let scene = scene();
    scene.mode("fn/bootstrap", 0o700);
    scene.run("verify fn").exits(1).says(&["error[not-executable]: `bootstrap` has mode 0700"]);
    scene.mode("fn/bootstrap", 0o755).mode("fn/lib", 0o700);
    scene.run("verify fn").exits(1).says(&["`lib/` has mode 0700; Lambda's user may not enter it\n"]);
    scene.mode("fn/lib", 0o755);
    scene.file("fn/lib/real", Object::library("libfoo.so.1").needs("libc.so.6").bytes());
    scene.remove("fn/lib/libfoo.so.1").link("real", "fn/lib/libfoo.so.1").mode("fn/lib/real", 0o644);
    scene.run("verify fn").exits(0);
    scene.remove("fn/lib/real");
    scene.run("verify fn").exits(1).says(&["error[missing-library]"]);
}

#[test]
fn what_no_deployment_can_carry_is_refused() {
    let scene = scene();
    scene.fifo("fn/pipe");
    scene.run("verify fn").exits(101).says(&["error: `fn/pipe` is neither a file, a directory nor a link\n"]);
    scene.remove("fn/pipe");
    // A hole of a terabyte is not read.
    std::fs::File::create(scene.at("fn/hole")).unwrap().set_len(1 << 40).unwrap();
    scene.run("verify fn").exits(1).says(&["error[size-limit]"]);
    #[cfg(target_os = "linux")]
    scene.run("verify /proc/self").exits(101).says(&["error: `/proc/self` is a directory of the kernel\n"]);
    scene.run("verify nothing").exits(101).says(&["error: `nothing` does not exist\n", "a directory\n"]);
}

#[test]
fn what_we_write_as_a_directory_holds() {
    let scene = scene();
    let flags = "--binary fn/bootstrap --library-path fn/lib --dir";
    scene.run(&format!("{flags} -o tree")).exits(0);
    scene.run("verify tree").exits(0).says(&["tree: starts on provided.al2023 (x86_64)\n"]);
    scene.run(&format!("{flags} --kind extension -o layer")).exits(0);
    scene.run("verify layer").exits(0).says(&["layer: starts on provided.al2023 (x86_64)\n"]);
}

#[test]
fn the_directory_around_the_one_that_is_deployed() {
    let scene = scene();
    scene.dir("target/lambda");
    std::fs::rename(scene.at("fn"), scene.at("target/lambda/orders")).unwrap();
    scene.run("verify target/lambda/orders").exits(0);
    scene.run("verify target/lambda").exits(1).says(&[
        "error[bootstrap-missing]: `target/lambda` has no `bootstrap` at its root\n",
        "help: name the directory that has it: `target/lambda/orders`\n",
    ]);
}

const SAM: &str = "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: fn\n      Runtime: provided.al2023\n";

#[test]
fn templates_name_directories() {
    let scene = scene();
    scene.file("template.yaml", SAM);
    let ran = scene.run("verify --template template.yaml").exits(0);
    ran.says(&["`F` (fn): starts on provided.al2023 (x86_64)\n"]).keeps_silent_about(&["template-"]);
    // Sources that `sam build` has yet to build.
    scene.file("src/main.rs", "fn main() {}");
    let built =
        SAM.replace("CodeUri: fn", "CodeUri: src") + "    Metadata: {BuildMethod: rust-cargolambda}\n";
    scene.file("template.yaml", &built);
    scene.run("verify --template template.yaml").exits(1).says(&[
        "error[bootstrap-missing]: `",
        "help: build it: `sam build`, then `verify --template .aws-sam/build/template.yaml`\n",
    ]);
    let gone = built.replace("CodeUri: src", "CodeUri: gone");
    scene.file("template.yaml", gone);
    scene.run("verify --template template.yaml").exits(101).says(&[
        "error: `gone`, the code of `F` in `template.yaml`, does not exist\n",
        "help: build it: `sam build`, ",
    ]);
    // CDK's assets are beside its template; the hash of a plan is not one of a directory.
    let cdk = "{'Resources': {'Orders1': {'Type': 'AWS::Lambda::Function',
        'Properties': {'Code': {'S3Bucket': 'b', 'S3Key': '1.zip'}, 'Runtime': 'provided.al2023'},
        'Metadata': {'aws:asset:path': 'asset.1', 'aws:asset:property': 'Code'}}}}";
    scene.dir("cdk.out");
    std::fs::rename(scene.at("fn"), scene.at("cdk.out/asset.1")).unwrap();
    scene.file("cdk.out/App.template.json", cdk.replace('\'', "\""));
    scene.run("verify --template cdk.out/App.template.json").exits(0).keeps_silent_about(&["template-"]);
}

#[test]
fn layers_of_the_template_are_attached() {
    let scene = scene();
    std::fs::create_dir_all(scene.at("layer")).unwrap();
    std::fs::rename(scene.at("fn/lib"), scene.at("layer/lib")).unwrap();
    scene.run("verify fn").exits(1).says(&["error[missing-library]"]);
    scene.run("verify fn --attached-layer layer").exits(0);
    let with = |layers: &str, more: &str| {
        scene.file("template.yaml", format!("{SAM}      Layers: {layers}\n{more}"));
        scene.run("verify --template template.yaml")
    };
    let layer = "  Lay:\n    Type: AWS::Serverless::LayerVersion\n    Properties: {ContentUri: layer}\n";
    with("[]", layer).exits(1).says(&["error[missing-library]"]);
    with("[!Ref Lay]", layer).exits(0).keeps_silent_about(&["missing-library", "warning"]);
    with("[!Ref Lay]", &layer.replace("ContentUri: layer", "ContentUri: gone")).exits(101).says(&[
        "error: `gone`, the layer `Lay` of `F` in `template.yaml`, does not exist\nhelp: build the layer, then verify again\n",
    ]);
    // No deployment finds these.
    for (nothing, shown) in [("['./nolayer.zip']", "./nolayer.zip"), ("[!Ref Nope]", "!Ref Nope")] {
        let says = format!(
            "error[template-mismatch]: the layer `{shown}` of `F` of `template.yaml` is neither an ARN"
        );
        with(nothing, "")
            .exits(1)
            .says(&[&says, "help: name the layer's ARN, or a resource of the template"]);
        with(&format!("[!Ref Lay, {}", &nothing[1..]), layer).exits(1).says(&[&says]);
    }
    let parameter = "Parameters: {Given: {Type: String}}\n";
    with("[!Ref Given]", parameter).exits(0).says(&["\n  the layer `!Ref Given` may have it\n"]);
    // The deployment puts the ARN there.
    with("['{{resolve:ssm:/layers/x}}']", "").exits(0).says(&["`{{resolve:ssm:/layers/x}}` may have it\n"]);
    // Nobody has read a layer by its ARN.
    with("['arn:aws:lambda:eu-west-1:1:layer:x:1']", "").exits(0).says(&[
        "warning[missing-library]: `bootstrap` needs `libfoo.so.1`",
        "  the layer `arn:aws:lambda:eu-west-1:1:layer:x:1` may have it\n",
        "`--attached-layer <ZIP>`\n",
        "`F` (fn): may start on provided.al2023 (x86_64)\n",
    ]);
    with("[!Ref Lay]", &layer.replace("ContentUri: layer", "ContentUri: s3://b/k"))
        .exits(0)
        .says(&["warning[missing-library]", "  the layer `Lay` may have it\n"]);
    // Named on the command line, it stands for that.
    let ran = scene.run("verify --template template.yaml --attached-layer layer").exits(0);
    ran.keeps_silent_about(&["missing-library", "warning"]);
    // Only what it lacks may be in the layer.
    scene.mode("fn/bootstrap", 0o644);
    with("['arn:aws:lambda:eu-west-1:1:layer:x:1']", "").exits(1).says(&["error[not-executable]"]);
    scene.remove("fn/bootstrap").file("fn/index.php", "");
    with("['arn:aws:lambda:eu-west-1:1:layer:x:1']", "")
        .exits(0)
        .says(&["warning[bootstrap-missing]: ", "may start on provided.al2023\n"]);
    with("[]", "").exits(1).says(&["error[bootstrap-missing]: "]);
}

#[test]
fn layers_of_cdk_and_terraform() {
    let scene = scene();
    std::fs::create_dir_all(scene.at("layer")).unwrap();
    std::fs::rename(scene.at("fn/lib"), scene.at("layer/lib")).unwrap();
    let json = |text: &str| text.replace('\'', "\"");
    let stack = "{'Resources': {
        'L1': {'Type': 'AWS::Lambda::LayerVersion', 'Properties': {'Content': {'S3Bucket': 'b', 'S3Key': '2.zip'}},
               'Metadata': {'aws:asset:path': 'layer', 'aws:asset:property': 'Content'}},
        'F1': {'Type': 'AWS::Lambda::Function', 'Properties': {'Code': {'S3Bucket': 'b', 'S3Key': '1.zip'},
               'Runtime': 'provided.al2023', 'Layers': [{'Ref': 'L1'}]},
               'Metadata': {'aws:asset:path': 'fn', 'aws:asset:property': 'Code'}}}}";
    scene.file("App.template.json", json(stack));
    scene.run("verify --template App.template.json").exits(0).keeps_silent_about(&["warning"]);
    let plan = |layers: &str, changes: &str| {
        json(&format!(
            "{{'format_version': '1.2', 'planned_values': {{'root_module': {{'resources': [{{
               'address': 'aws_lambda_function.f', 'type': 'aws_lambda_function', 'values': {{
               'filename': 'fn', 'runtime': 'provided.al2023', 'architectures': ['x86_64']{layers}}}}}]}}}},
               'resource_changes': [{{'address': 'aws_lambda_function.f', 'change': {{'after_unknown': {{{changes}}}}}}}]}}"
        ))
    };
    for (layers, changes, code) in [
        ("", "", 1),
        (", 'layers': null", "", 1),
        (", 'layers': ['arn:1']", "", 0),
        ("", "'layers': true", 0),
    ] {
        scene.file("plan.json", plan(layers, changes));
        scene.run("verify --template plan.json").exits(code).says(&["[missing-library]"]);
    }
}

#[test]
fn each_runtime_and_layer_list_of_one_archive_counts() {
    let scene = scene();
    let function = |name: &str, properties: &str| {
        format!(
            "  {name}:\n    Type: AWS::Serverless::Function\n    Properties: {{CodeUri: fn, {properties}}}\n"
        )
    };
    let template = format!(
        "Resources:\n{}{}{}",
        function("A", "Runtime: provided.al2023"),
        function("B", "Runtime: provided.al2"),
        function("C", "Runtime: provided.al2")
    );
    scene.file("template.yaml", template);
    let ran = scene.run("verify --template template.yaml --message-format json").exits(0);
    let artifacts = &ran.json()["artifacts"];
    let runtimes: Vec<&str> =
        artifacts.as_array().unwrap().iter().map(|artifact| artifact["runtime"].as_str().unwrap()).collect();
    assert_eq!(runtimes, ["provided.al2023", "provided.al2"]);
}
