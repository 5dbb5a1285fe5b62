//! `verify --template`: what a deployment template says about its functions, and the files and directories that it
//! names.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use super::runtime::Baselines;
use crate::audit::Finding;
use crate::baseline::{DEFAULT_RUNTIME, starts_bootstrap};
use crate::disk;
use crate::elf::Arch;
use crate::error::{Error, Result};
use crate::report::FunctionReport;
use crate::settings::Target;
use crate::template::{self, Function, FunctionLayer, INLINE_CODE, TemplateSetting, Zip};

/// A parsed template.
pub(super) struct Template {
    /// The path as the user named it.
    path: Utf8PathBuf,
    /// Its functions, each with the file or directory of its code if that exists, links followed.
    functions: Vec<(Function, Option<Utf8PathBuf>)>,
}

/// A file or directory to verify, for functions that agree on runtime, architecture and layers.
pub(super) struct Deployed<'a> {
    pub path: Utf8PathBuf,
    /// The runtime to verify it for.
    pub runtime: String,
    /// The architecture of the functions, if it is known.
    pub arch: Option<Arch>,
    pub layers: &'a [FunctionLayer],
    /// The value of `AWS_LAMBDA_EXEC_WRAPPER`.
    pub wrapper: Option<String>,
    /// The functions of the template; none if it names another file, or if there is no template.
    pub functions: Vec<&'a Function>,
}

impl Deployed<'_> {
    /// Returns what an archive is verified for that no template names.
    pub fn alone(path: &Utf8Path, runtime: &str, target: &Target) -> Deployed<'static> {
        let functions = Vec::new();
        let wrapper = target.wrapper.clone();
        let (path, runtime) = (path.to_owned(), runtime.to_owned());
        Deployed { path, runtime, arch: None, layers: &[], wrapper, functions }
    }

    /// The path for messages: from the current directory, if it is below that.
    pub fn shown<'p>(&'p self, current_dir: &Utf8Path) -> &'p Utf8Path {
        let below = self.path.strip_prefix(current_dir).ok();
        // Of the current directory itself nothing would be left.
        below.filter(|path| !path.as_str().is_empty()).unwrap_or(&self.path)
    }

    /// Names it for the user: by its functions in the template, and by its path.
    pub fn label(&self, current_dir: &Utf8Path) -> String {
        let path = self.shown(current_dir);
        let names: Vec<String> =
            self.functions.iter().map(|function| format!("`{}`", function.name)).collect();
        match names.is_empty() {
            true => path.to_string(),
            false => format!("{} ({path})", names.join(", ")),
        }
    }

    /// The layers whose files are not on this machine.
    pub fn distant_layers(&self) -> Vec<&str> {
        let layers = self.layers.iter().filter(|layer| matches!(layer, FunctionLayer::Elsewhere(_)));
        layers.map(FunctionLayer::name).collect()
    }
}

impl Template {
    /// # Errors
    ///
    /// If the file is no template, or has no function with a ZIP.
    pub fn read(path: &Utf8Path) -> Result<Template> {
        const HELP: &str =
            "name a SAM or CloudFormation template, or a file with the output of `terraform show -json`";
        let refused =
            |error: Error| Error::new(format!("`{path}` is not a template")).because(error).help(HELP);
        let text = disk::text(path, "a template").map_err(|error| error.or_help(HELP))?;
        // CDK's list of the files that it writes beside the template.
        let assets = path.as_str().strip_suffix(".template.json").map(|stack| format!("{stack}.assets.json"));
        let assets = assets.filter(|assets| disk::exists(Utf8Path::new(assets)));
        let assets = assets.map(|assets| disk::read(Utf8Path::new(&assets))).transpose()?;
        let assets = assets.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let functions = template::functions(&text, assets.as_deref()).map_err(refused)?;
        if functions.is_empty() {
            return Err(Error::new(format!("`{path}` has no function whose code is a ZIP")).help(HELP));
        }
        let directory = directory(path);
        let located = functions.into_iter().map(|function| {
            let at = function.code.value().and_then(|code| disk::canonicalize(&directory.join(code)).ok());
            (function, at)
        });
        Ok(Template { path: path.to_owned(), functions: located.collect() })
    }

    /// Returns the existing files and directories that the template names, each once.
    pub fn codes(&self) -> Vec<Utf8PathBuf> {
        let mut codes: Vec<Utf8PathBuf> = Vec::new();
        for at in self.functions.iter().filter_map(|(_, at)| at.as_ref()) {
            if !codes.contains(at) {
                codes.push(at.clone());
            }
        }
        codes
    }

    /// Returns an error for each function whose code is named and cannot be found.
    pub fn missing(&self) -> Vec<Error> {
        let lost = self.functions.iter().filter(|(_, at)| at.is_none());
        lost.filter_map(|(function, _)| Some(self.lost(function, function.code.value()?))).collect()
    }

    fn lost(&self, function: &Function, code: &str) -> Error {
        let path = directory(&self.path).join(code);
        let of = format!("the code of `{}` in `{}`", function.name, self.path);
        let error = match disk::canonicalize(&path) {
            Err(error) if disk::exists(&path) => {
                Error::new(format!("could not read `{path}`, {of}")).because(error)
            }
            _ => Error::new(format!("`{path}`, {of}, does not exist")),
        };
        error.help(match function.is_built {
            true => "build it: `sam build`, then `verify --template .aws-sam/build/template.yaml`",
            false => "build it, then verify again",
        })
    }

    /// Returns the functions whose code is not on this machine, with the reasons; those with inline code, which needs
    /// no look, are left out.
    pub fn distant(&self) -> Vec<(&Function, &str)> {
        let unknown = self.functions.iter().filter_map(|(function, _)| match &function.code {
            TemplateSetting::Unknown(why) if why != INLINE_CODE => Some((function, why.as_str())),
            _ => None,
        });
        unknown.collect()
    }

    /// Returns what to verify a file or directory for: once for each runtime, architecture and list of layers among
    /// its functions.
    pub fn deployed<'a>(
        &'a self,
        path: &Utf8Path,
        target: &Target,
        baselines: &Baselines,
    ) -> Vec<Deployed<'a>> {
        let configured = baselines.configured(target);
        let mut groups: Vec<Deployed<'a>> = Vec::new();
        for function in self.functions_of(path) {
            let runtime = match target.baseline {
                Some(_) => configured,
                None => runtime_for(function, configured),
            };
            let arch = function.architecture.value();
            let arch = [Arch::X86_64, Arch::Arm64].into_iter().find(|known| Some(known.as_str()) == arch);
            let layers = &*function.layers;
            // The command line comes first.
            let wrapper = target.wrapper.clone().or_else(|| function.wrapper.clone());
            let is_alike = |group: &&mut Deployed| {
                (group.runtime.as_str(), group.arch, group.layers) == (runtime, arch, layers)
                    && group.wrapper == wrapper
            };
            match groups.iter_mut().find(is_alike) {
                Some(group) => group.functions.push(function),
                None => groups.push(Deployed {
                    arch,
                    layers,
                    wrapper,
                    functions: vec![function],
                    ..Deployed::alone(path, runtime, target)
                }),
            }
        }
        if groups.is_empty() {
            groups.push(Deployed::alone(path, configured, target));
        }
        groups
    }

    /// Returns the paths of the layers whose files are on this machine.
    ///
    /// # Errors
    ///
    /// If one of them does not exist.
    pub fn layer_paths(&self, code: &Deployed) -> Result<Vec<Utf8PathBuf>> {
        let path_of = |layer: &FunctionLayer| match layer {
            FunctionLayer::Local { name, path } => {
                let path = directory(&self.path).join(path);
                Some(disk::canonicalize(&path).map_err(|_| {
                    let of = code.functions.first().map_or("a function", |function| &function.name);
                    let message =
                        format!("`{path}`, the layer `{name}` of `{of}` in `{}`, does not exist", self.path);
                    Error::new(message).help("build the layer, then verify again")
                }))
            }
            FunctionLayer::Elsewhere(_) | FunctionLayer::Nothing(_) => None,
        };
        code.layers.iter().filter_map(path_of).collect()
    }

    /// Returns the functions whose code is this file or directory, else those whose code is the nearest directory that
    /// contains it.
    fn functions_of(&self, path: &Utf8Path) -> Vec<&Function> {
        let Ok(path) = disk::canonicalize(path) else { return Vec::new() };
        // From the file upwards: the first path that a function names.
        let found = path.ancestors().find_map(|path| {
            let of_path = self.functions.iter().filter(|(_, at)| at.as_deref() == Some(path));
            let of_path: Vec<&Function> = of_path.map(|(function, _)| function).collect();
            (!of_path.is_empty()).then_some(of_path)
        });
        found.unwrap_or_default()
    }

    /// Compares the template with a file or directory: reports differences, and values that cannot be resolved.
    pub fn findings(&self, code: &Deployed, zip: &Zip) -> Vec<Finding> {
        template::compare(self.path.as_str(), &code.functions, zip)
    }

    /// Describes the functions for JSON; `verified` has the names of those whose code was verified.
    pub fn reports(&self, verified: &BTreeSet<String>, current_dir: &Utf8Path) -> Vec<FunctionReport> {
        let report = |(function, at): &(Function, Option<Utf8PathBuf>)| {
            let named = function.code.value().map(|code| directory(&self.path).join(code));
            let reason = match (at, &function.code) {
                (Some(_), _) => None,
                (None, TemplateSetting::Unknown(why)) => Some(why.clone()),
                (None, _) => Some("its code does not exist".to_owned()),
            };
            FunctionReport {
                name: function.name.clone(),
                path: at.clone().or(named).map(|path| current_dir.join(path).into_string()),
                runtime: function.runtime.value().map(str::to_owned),
                arch: function.architecture.value().map(str::to_owned),
                verified: verified.contains(&function.name),
                reason,
            }
        };
        self.functions.iter().map(report).collect()
    }

    pub fn path(&self) -> &Utf8Path {
        &self.path
    }
}

/// Returns the directory to which the paths of a template are relative.
fn directory(template: &Utf8Path) -> &Utf8Path {
    template.parent().unwrap_or(Utf8Path::new(""))
}

/// Returns the runtime to verify a function for: the template's, unless the command line names another one that starts
/// functions of the same kind. A template has functions of several languages, and one `--runtime` is not for all.
fn runtime_for<'a>(function: &'a Function, configured: &'a str) -> &'a str {
    match function.runtime.value() {
        Some(own) if configured == DEFAULT_RUNTIME => own,
        Some(own) if starts_bootstrap(own) != starts_bootstrap(configured) => own,
        _ => configured,
    }
}
