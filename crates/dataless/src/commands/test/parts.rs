//! The parts of the test suite.

use clap::ValueEnum;

use crate::local::tools::ToolSet;

/// A part that can be run by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Part {
    /// rustfmt, and ruff for Python
    Format,
    /// Clippy on all of the workspace; ruff and mypy on the code in Python
    Clippy,
    /// The crates' documentation builds without a warning
    Docs,
    /// Unit tests and property tests in Rust
    Unit,
    /// Tests in Python that need neither Spark nor a warehouse
    Scripts,
    /// cfn-lint, `sam validate`, checkov, cargo-deny; what CloudFormation would make of the templates, and may
    Templates,
    /// The optional stacks, deployed by moto; Redshift's SQL on PostgreSQL
    Stacks,
    /// The jobs in Python, Scala and HiveQL, on Spark
    Jobs,
    /// The deployed API against api.yaml
    Contract,
    /// The example page in a browser
    Browser,
    /// The dashboards, and what happens when CloudWatch refuses calls
    RealTime,
    /// What the deployed functions may do, and CodeDeploy's checks of them
    Delivery,
    /// The deployed state machine of the nightly batch
    Nightly,
    /// The command line as a user runs it
    EndToEnd,
}

/// What a part needs beside cargo and the tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// Spark in its own process.
    Spark,
    /// A warehouse that is deployed for the tests.
    Stack,
    /// Warehouses that it deploys for itself.
    Warehouses,
}

impl Part {
    /// What says within minutes whether a change is sound.
    pub const FAST: [Self; 4] = [Self::Format, Self::Clippy, Self::Unit, Self::Scripts];

    /// What `buildspec.yml` holds each commit to: everything in Rust, the templates, and the jobs on Spark.
    pub const DELIVERY: [Self; 6] = [Self::Format, Self::Clippy, Self::Docs, Self::Unit, Self::Templates, Self::Jobs];

    pub const fn needs(self) -> Needs {
        match self {
            Self::Format | Self::Clippy | Self::Docs | Self::Unit | Self::Scripts | Self::Templates | Self::Stacks => {
                Needs::Nothing
            }
            Self::Jobs => Needs::Spark,
            Self::Contract | Self::Browser | Self::RealTime | Self::Delivery | Self::Nightly => Needs::Stack,
            Self::EndToEnd => Needs::Warehouses,
        }
    }

    /// The tools that it runs with.
    pub fn tools(self) -> &'static [ToolSet] {
        match self {
            Self::Docs => &[],
            Self::Format | Self::Unit => &[ToolSet::Code],
            // mypy takes the types of the jobs' libraries from the second one.
            Self::Clippy => &[ToolSet::Code, ToolSet::Spark],
            Self::Scripts => &[ToolSet::Emulator, ToolSet::Sam, ToolSet::Tests, ToolSet::Chaos],
            Self::Stacks => &[ToolSet::Tests],
            Self::Templates => &[ToolSet::Sam, ToolSet::Audit, ToolSet::Tests],
            Self::Jobs => &[ToolSet::Spark],
            Self::Contract | Self::Browser | Self::RealTime | Self::Delivery | Self::Nightly => {
                &[ToolSet::Emulator, ToolSet::Sam, ToolSet::Spark, ToolSet::Tests]
            }
            Self::EndToEnd => &[ToolSet::Emulator, ToolSet::Sam, ToolSet::Spark, ToolSet::Code],
        }
    }

    /// Its tests in Python.
    pub const fn folders(self) -> &'static [&'static str] {
        match self {
            Self::Scripts => &[
                "tests/chaos",
                "tests/costs",
                "tests/dashboard/test_bodies.py",
                "tests/delivery/test_all_at_once.py",
                "tests/delivery/test_api_import.py",
                "tests/delivery/test_boundary.py",
                "tests/delivery/test_build.py",
                "tests/delivery/test_claims.py",
                "tests/delivery/test_configuration.py",
                "tests/delivery/test_glue.py",
                "tests/delivery/test_published.py",
                "tests/delivery/test_reference.py",
                "tests/delivery/test_rights.py",
                "tests/delivery/test_security.py",
                "tests/delivery/test_stack_names.py",
                "tests/delivery/test_undelivered.py",
                "tests/doctor",
                "tests/documents",
                "tests/stacks/test_resolver.py",
            ],
            Self::Templates => &["tests/readiness"],
            Self::Stacks => &["tests/stacks"],
            Self::Jobs => &["glue", "pipeline/redshift"],
            Self::Contract => &["tests/contract"],
            Self::Browser => &["tests/browser"],
            Self::RealTime => &["tests/dashboard"],
            Self::Delivery => &["tests/delivery"],
            Self::Nightly => &["tests/pipeline"],
            _ => &[],
        }
    }

    /// Its name on the command line, and what it covers.
    pub fn described(self) -> (String, String) {
        let value = self.to_possible_value();
        let name = value.as_ref().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let help = value.as_ref().and_then(|value| value.get_help()).map(ToString::to_string).unwrap_or_default();
        (name, help)
    }

    pub fn name(self) -> String {
        self.described().0
    }
}

/// What of the folders of one part another part has.
pub fn excluded(part: Part) -> Vec<&'static str> {
    let inside = |path: &&str| part.folders().iter().any(|folder| path.starts_with(folder) && path != folder);
    let others = Part::value_variants().iter().filter(|other| **other != part);
    others.flat_map(|other| other.folders()).copied().filter(inside).collect()
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn test_files(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                test_files(&path, found);
            } else if name.starts_with("test_") && name.ends_with(".py") {
                found.push(path);
            }
        }
    }

    #[test]
    fn every_test_in_python_is_in_exactly_one_part() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut files = Vec::new();
        test_files(&root, &mut files);
        assert!(files.len() > 30);
        for file in files {
            let relative = file.strip_prefix(&root).unwrap();
            let has = |part: &&Part| {
                let below = |folders: &[&str]| folders.iter().any(|folder| relative.starts_with(folder));
                below(part.folders()) && !below(&excluded(**part))
            };
            let parts: Vec<_> = Part::value_variants().iter().filter(has).collect();
            assert_eq!(parts.len(), 1, "{}: {parts:?}", relative.display());
        }
        assert!(excluded(Part::Delivery).contains(&"tests/delivery/test_build.py"));
        assert_eq!(excluded(Part::Scripts), Vec::<&str>::new());
    }
}
