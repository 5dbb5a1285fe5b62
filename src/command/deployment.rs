//! `verify --template`: compares what a deployment template says about a function with the ZIP that it names.

use camino::{Utf8Path, Utf8PathBuf};

use crate::audit::Finding;
use crate::baseline::{DEFAULT_RUNTIME, starts_bootstrap};
use crate::disk;
use crate::error::{Error, Result};
use crate::template::{self, Function, TemplateSetting, Zip};
use crate::ui::Ui;

/// A parsed template.
pub(super) struct Template {
    /// The path as the user named it.
    path: Utf8PathBuf,
    /// Its functions, each with the file or directory of its code if that exists, links followed.
    functions: Vec<(Function, Option<Utf8PathBuf>)>,
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
        let directory = path.parent().unwrap_or(Utf8Path::new(""));
        let located = functions.into_iter().map(|function| {
            // Code that does not exist, or not yet, is no ZIP of this run.
            let at = function.code.value().and_then(|code| disk::canonicalize(&directory.join(code)).ok());
            (function, at)
        });
        Ok(Template { path: path.to_owned(), functions: located.collect() })
    }

    /// Returns the ZIPs that the template names, each once. For each function without one, the reason is printed.
    ///
    /// # Errors
    ///
    /// If the template names no existing ZIP.
    pub fn archives(&self, ui: &Ui) -> Result<Vec<Utf8PathBuf>> {
        let mut archives: Vec<Utf8PathBuf> = Vec::new();
        for (function, at) in &self.functions {
            let why = match (at, &function.code) {
                (Some(at), _) if disk::is_directory(at) => format!("its code is the directory {at}"),
                (Some(at), _) => {
                    if !archives.contains(at) {
                        archives.push(at.clone());
                    }
                    continue;
                }
                (None, TemplateSetting::Unknown(why)) => why.clone(),
                (None, code) => format!("{} does not exist", code.value().unwrap_or_default()),
            };
            ui.status("Skipping", &format!("{} of {}: {why}", function.name, self.path));
        }
        if archives.is_empty() {
            return Err(Error::new(format!("`{}` names no existing ZIP", self.path))
                .help("also name the ZIP: `verify bootstrap.zip --template FILE`"));
        }
        Ok(archives)
    }

    /// Returns the functions whose code is this ZIP, else those whose code is the nearest directory that contains it.
    fn functions_of(&self, zip: &Utf8Path) -> Vec<&Function> {
        let Ok(zip) = disk::canonicalize(zip) else { return Vec::new() };
        // From the file upwards: the first path that a function names.
        let found = zip.ancestors().find_map(|path| {
            let of_path = self.functions.iter().filter(|(_, at)| at.as_deref() == Some(path));
            let of_path: Vec<&Function> = of_path.map(|(function, _)| function).collect();
            (!of_path.is_empty()).then_some(of_path)
        });
        found.unwrap_or_default()
    }

    /// Returns the runtime to prove a ZIP for: its functions' runtime, unless the command line names one.
    pub fn runtime_of(&self, zip: &Utf8Path, configured: &str) -> Option<String> {
        let mut runtimes: Vec<&str> =
            self.functions_of(zip).iter().filter_map(|function| function.runtime.value()).collect();
        runtimes.dedup();
        match runtimes[..] {
            [one] if configured == DEFAULT_RUNTIME && starts_bootstrap(one) => Some(one.to_owned()),
            _ => None,
        }
    }

    /// Compares the template with a ZIP: reports differences, and values that cannot be resolved.
    pub fn findings(&self, zip: &Zip) -> Vec<Finding> {
        template::compare(self.path.as_str(), &self.functions_of(Utf8Path::new(zip.path)), zip)
    }
}
