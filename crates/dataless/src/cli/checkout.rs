//! Commands on the checkout and this machine.

use clap::Args;

use crate::commands::test::parts::Part;

#[derive(Args, Debug)]
pub struct Doctor {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Look at the AWS account and Region of your own credentials instead, by calls that only read. Exit status 1 when
    /// something would stop a deployment.
    #[arg(long)]
    pub aws: bool,
    #[command(flatten)]
    pub account: Account,
}

/// What of an account is looked at. Without a stack's name: both ways to deploy, under their default names.
#[derive(Args, Debug)]
pub struct Account {
    /// The warehouse that `sam deploy` deploys; by default the one that samconfig.toml names.
    #[arg(long, value_name = "NAME", requires = "aws")]
    pub stack: Option<String>,
    /// The stack of build.yaml, and the warehouse that it deploys; by default the one that docs/delivery.md names.
    #[arg(long, value_name = "NAME", requires = "aws")]
    pub pipeline_stack: Option<String>,
    /// The branch that the pipeline delivers; by default main.
    #[arg(long, value_name = "NAME", requires = "aws")]
    pub branch: Option<String>,
    /// The Region; by default yours, as for any tool of AWS.
    #[arg(long, value_name = "R", requires = "aws")]
    pub region: Option<String>,
    /// The profile of your credentials; by default yours, as for any tool of AWS.
    #[arg(long, value_name = "P", requires = "aws")]
    pub profile: Option<String>,
}

#[derive(Args, Debug)]
pub struct Lock {
    /// Take the newest versions that the sources allow, also of what the tools themselves depend on.
    #[arg(long)]
    pub upgrade: bool,
}

#[derive(Args, Debug)]
pub struct Test {
    /// The parts to run; all by default.
    #[arg(value_enum, value_name = "PART")]
    pub parts: Vec<Part>,
    /// Run what ends in less than three minutes on a warm checkout: format, clippy, unit and scripts.
    #[arg(long, conflicts_with = "parts")]
    pub fast: bool,
    /// Run what buildspec.yml holds each commit to: everything in Rust, the templates, and the jobs on Spark. No emulator.
    #[arg(long, conflicts_with_all = ["parts", "fast"])]
    pub no_e2e: bool,
    /// List the parts that would run, and what they cover.
    #[arg(long)]
    pub list: bool,
}
