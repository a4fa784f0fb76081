//! Commands on the checkout and this machine.

use clap::Args;

use crate::commands::test::parts::Part;

#[derive(Args, Debug)]
pub struct Doctor {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Check the AWS account and Region of your credentials instead, by read-only calls. Exit status 1 if something would
    /// stop a deployment.
    #[arg(long)]
    pub aws: bool,
    #[command(flatten)]
    pub account: Account,
}

/// What to check in an account. Without the name of a stack: both ways to deploy, under their default names.
#[derive(Args, Debug)]
pub struct Account {
    /// Stack of a warehouse that is deployed by `sam deploy`. Default: that of samconfig.toml.
    #[arg(long, value_name = "NAME", requires = "aws")]
    pub stack: Option<String>,
    /// Stack of build.yaml, with the warehouse that it deploys. Default: that of docs/delivery.md.
    #[arg(long, value_name = "NAME", requires = "aws")]
    pub pipeline_stack: Option<String>,
    /// Branch that the pipeline delivers. Default: main.
    #[arg(long, value_name = "NAME", requires = "aws")]
    pub branch: Option<String>,
    /// Region. Default: that of your AWS configuration.
    #[arg(long, value_name = "R", requires = "aws")]
    pub region: Option<String>,
    /// Profile of your credentials. Default: that of your AWS configuration.
    #[arg(long, value_name = "P", requires = "aws")]
    pub profile: Option<String>,
}

#[derive(Args, Debug)]
pub struct Lock {
    /// Upgrade to the newest versions that the sources allow, including indirect dependencies.
    #[arg(long)]
    pub upgrade: bool,
}

#[derive(Args, Debug)]
pub struct Test {
    /// Parts to run. Default: all.
    #[arg(value_enum, value_name = "PART")]
    pub parts: Vec<Part>,
    /// Run only format, clippy, unit and scripts: less than three minutes once built.
    #[arg(long, conflicts_with = "parts")]
    pub fast: bool,
    /// Run what buildspec.yml runs for each commit: Rust, the templates, and the jobs on Spark, without the emulator.
    #[arg(long, conflicts_with_all = ["parts", "fast"])]
    pub no_e2e: bool,
    /// List the parts that would run, and what they cover.
    #[arg(long)]
    pub list: bool,
}
