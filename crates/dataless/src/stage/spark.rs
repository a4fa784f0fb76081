//! Real Spark on the deployed Glue jobs: their scripts and arguments come from the emulator's Glue, their data from its S3.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use chrono::NaiveDate;
use serde::Deserialize;

use crate::process::Tool;
use crate::stage::aws::Aws;
use crate::stage::deploy::Stack;
use crate::stage::tools::{ToolSet, Tools};
use crate::workspace::{Instance, Workspace};

/// A deployed Glue job, by the output of the template that holds its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    ImpressionsEtl,
    ClicksEtl,
    Advertising,
    AdTraffic,
    AdTrafficLoad,
}

impl Job {
    /// From raw to lake.
    pub const ETL: [Self; 2] = [Self::ImpressionsEtl, Self::ClicksEtl];

    /// From the lake to the traffic endpoint.
    pub const BATCH: [Self; 3] = [Self::Advertising, Self::AdTraffic, Self::AdTrafficLoad];

    pub const fn output(self) -> &'static str {
        match self {
            Self::ImpressionsEtl => "ImpressionsPythonETLJob",
            Self::ClicksEtl => "ClicksPythonETLJob",
            Self::Advertising => "AdvertisingJob",
            Self::AdTraffic => "AdTrafficJob",
            Self::AdTrafficLoad => "AdTrafficLoadJob",
        }
    }

    /// What it does, for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::ImpressionsEtl => "ETL impressions",
            Self::ClicksEtl => "ETL clicks",
            Self::Advertising => "batch advertising",
            Self::AdTraffic => "batch ad_traffic",
            Self::AdTrafficLoad => "load DynamoDB",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GlueJob {
    name: String,
    command: GlueCommand,
    #[serde(default)]
    default_arguments: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GlueCommand {
    script_location: String,
}

/// Spark beside a deployed stack. The emulator's S3 is the truth; Spark works on a copy of it, which is fetched before
/// jobs and put back after them.
#[derive(Debug)]
pub struct Spark<'a> {
    workspace: &'a Workspace,
    tools: &'a Tools,
    instance: &'a Instance,
    aws: &'a Aws,
    stack: &'a Stack,
}

/// Up to this much raw data a job is over before the JVM's second compiler pays for itself. On two cores that compiler
/// would take more of the processors than the job.
const SMALL_DATA_BYTES: u64 = 32 * 1024 * 1024;

/// Options for a JVM that lives for seconds.
const SHORT_LIVED_JVM: &str = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC";

/// What jobs write, below the data prefix. Raw is never written.
const WRITTEN: [&str; 3] = ["lake", "rejected", "ledger"];

impl<'a> Spark<'a> {
    pub const fn new(
        workspace: &'a Workspace,
        tools: &'a Tools,
        instance: &'a Instance,
        aws: &'a Aws,
        stack: &'a Stack,
    ) -> Self {
        Self { workspace, tools, instance, aws, stack }
    }

    /// Fetches data and scripts, and makes the deployed catalog's tables in Spark's own.
    pub fn stage_in(&self) -> Result<()> {
        let bucket = self.stack.output("DataLakeBucket")?;
        for prefix in ["data", "scripts"] {
            let folder = self.instance.s3().join(bucket).join(prefix);
            std::fs::create_dir_all(&folder)?;
            self.sync(&format!("s3://{bucket}/{prefix}"), &folder.to_string_lossy())?;
        }
        let tables = self.instance.spark().join("tables.json");
        let database = self.stack.output("GlueDatabase")?;
        let catalog: serde_json::Value = self.aws.json(&["glue", "get-tables", "--database-name", database])?;
        std::fs::write(&tables, catalog.to_string())?;
        let locations = serde_json::json!({ format!("s3://{bucket}/"): self.local_uri(bucket) }).to_string();
        self.submit(&self.workspace.path("glue/local/catalog.py"), "catalog")?
            .arg("--tables")
            .arg(&tables)
            .args(["--locations", &locations])
            .run()
            .context("the catalog cannot be made")
    }

    /// Puts back what jobs wrote.
    pub fn stage_out(&self) -> Result<()> {
        let bucket = self.stack.output("DataLakeBucket")?;
        for prefix in WRITTEN {
            let folder = self.data().join(prefix);
            if folder.is_dir() {
                self.sync(&folder.to_string_lossy(), &format!("s3://{bucket}/data/{prefix}"))?;
            }
        }
        Ok(())
    }

    /// Runs a deployed job for a day.
    pub fn run(&self, job: Job, day: NaiveDate) -> Result<()> {
        let name = self.stack.output(job.output())?;
        let jobs = self.jobs()?;
        let job =
            jobs.iter().find(|deployed| deployed.name == name).with_context(|| format!("Glue has no job {name}"))?;
        let bucket = self.stack.output("DataLakeBucket")?;
        let Some(script) = job.command.script_location.strip_prefix(&format!("s3://{bucket}/")) else {
            bail!("the script {} of the job {name} is not in the bucket {bucket}", job.command.script_location);
        };
        let script = self.instance.s3().join(bucket).join(script);
        let local = self.local_uri(bucket);
        let arguments = job
            .default_arguments
            .iter()
            .flat_map(|(name, value)| [name.clone(), value.replace(&format!("s3://{bucket}/"), &local)]);
        self.submit(&script, name)?
            .args(arguments)
            .args(["--day", &day.to_string()])
            .run()
            .with_context(|| format!("the job {name} failed for {day}"))
    }

    /// Runs a script of the repository beside the jobs and takes what it prints.
    pub fn script(&self, script: &str, name: &str, args: &[&str]) -> Result<String> {
        self.submit(&self.workspace.path(script), name)?.args(args).output()
    }

    /// The local copy of the bucket's data prefix.
    pub fn data(&self) -> PathBuf {
        let bucket = self.stack.outputs.get("DataLakeBucket").map_or("", String::as_str);
        self.instance.s3().join(bucket).join("data")
    }

    fn jobs(&self) -> Result<Vec<GlueJob>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            jobs: Vec<GlueJob>,
        }
        let answer: Answer = self.aws.json(&["glue", "get-jobs"])?;
        Ok(answer.jobs)
    }

    /// Objects are never changed under their name, so that a file of the same size is the same.
    fn sync(&self, from: &str, to: &str) -> Result<()> {
        self.aws.run(["s3", "sync", "--delete", "--size-only", "--only-show-errors", "--exclude", "*.crc", from, to])
    }

    fn local_uri(&self, bucket: &str) -> String {
        format!("file://{}/", self.instance.s3().join(bucket).display())
    }

    fn submit(&self, script: &Path, log: &str) -> Result<Tool> {
        let spark = self.instance.spark();
        let scratch = spark.join("tmp");
        std::fs::create_dir_all(&scratch)?;
        let metastore = spark.join("metastore");
        let jvm = if bytes_below(&self.data().join("raw"))? <= SMALL_DATA_BYTES { SHORT_LIVED_JVM } else { "" };
        let conf = |name: &str, value: String| ["--conf".to_owned(), format!("{name}={value}")];
        let submit = self.tools.program(ToolSet::Spark, "spark-submit");
        let tool = self.aws.lead(Tool::new(submit, self.instance.logs().join(format!("spark-{log}.log"))));
        Ok(tool
            .dir(&spark)
            .env("PATH", self.tools.path_with(&[ToolSet::Spark])?)
            .env("PYSPARK_PYTHON", self.tools.program(ToolSet::Spark, "python"))
            .env("PYSPARK_DRIVER_PYTHON", self.tools.program(ToolSet::Spark, "python"))
            // An installation that the user may have must not mix in.
            .env("SPARK_HOME", self.tools.dir(ToolSet::Spark).join("lib/python3.11/site-packages/pyspark"))
            .env("SPARK_CONF_DIR", &spark)
            .env("SPARK_LOCAL_IP", "127.0.0.1")
            .env("TZ", "UTC")
            .arg("--properties-file")
            .arg(self.workspace.path("glue/local/spark-defaults.conf"))
            .args(conf("spark.sql.warehouse.dir", spark.join("warehouse").display().to_string()))
            .args(conf("spark.local.dir", scratch.display().to_string()))
            .args(conf(
                "spark.hadoop.javax.jdo.option.ConnectionURL",
                format!("jdbc:derby:;databaseName={};create=true", metastore.display()),
            ))
            .args(conf(
                "spark.driver.extraJavaOptions",
                format!(
                    "{jvm} -Dderby.stream.error.file={} -Djava.io.tmpdir={}",
                    spark.join("derby.log").display(),
                    scratch.display()
                ),
            ))
            .arg(script))
    }
}

fn bytes_below(path: &Path) -> Result<u64> {
    if !path.is_dir() {
        return Ok(path.metadata().map_or(0, |metadata| metadata.len()));
    }
    std::fs::read_dir(path)?.try_fold(0, |sum, entry| Ok(sum + bytes_below(&entry?.path())?))
}
