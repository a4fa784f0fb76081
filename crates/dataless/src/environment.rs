//! What of the user's environment reaches the tools.

use std::ffi::OsString;
use std::process::Command;

/// What a program takes that is started with an environment of its own.
pub const NEEDED: [&str; 5] = ["HOME", "JAVA_HOME", "LOGNAME", "PATH", "USER"];

/// How packages are reached from here, which only the user knows. It is kept.
const PACKAGES: [&str; 20] = [
    "PIP_CACHE_DIR",
    "PIP_CERT",
    "PIP_CLIENT_CERT",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_NO_INDEX",
    "PIP_PROXY",
    "PIP_RETRIES",
    "PIP_TRUSTED_HOST",
    "UV_CACHE_DIR",
    "UV_DEFAULT_INDEX",
    "UV_FIND_LINKS",
    "UV_HTTP_TIMEOUT",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_INSECURE_HOST",
    "UV_NATIVE_TLS",
    "UV_OFFLINE",
];

/// Whether a variable changes how Python, pip, uv, Java, Hadoop or Spark work.
pub fn is_of_tools(name: &str) -> bool {
    const PREFIXES: [&str; 9] = ["HADOOP_", "HDFS_", "HIVE_", "PIP_", "PYSPARK_", "PYTHON", "SPARK_", "UV_", "YARN_"];
    const NAMES: [&str; 4] = ["CLASSPATH", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"];
    let is_prefixed = PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    (is_prefixed || NAMES.contains(&name)) && !PACKAGES.contains(&name)
}

/// Whether a variable leads tools of AWS to an account, a Region or an endpoint, or changes what they do.
pub fn is_of_aws(name: &str) -> bool {
    ["AWS_", "BOTO", "SAM_"].iter().any(|prefix| name.starts_with(prefix))
}

/// The variables of this process that are such.
pub fn inherited(is_such: impl Fn(&str) -> bool) -> impl Iterator<Item = OsString> {
    std::env::vars_os().map(|(name, _)| name).filter(move |name| is_such(&name.to_string_lossy()))
}

/// Keeps variables of this process from a command.
pub fn without(command: &mut Command, is_foreign: impl Fn(&str) -> bool) -> &mut Command {
    for name in inherited(is_foreign) {
        command.env_remove(name);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_tools_are_kept_from_them_and_the_way_to_packages_is_not() {
        for name in
            ["PYTHONPATH", "PIP_USER", "PIP_TARGET", "UV_PYTHON", "_JAVA_OPTIONS", "HADOOP_CONF_DIR", "SPARK_HOME"]
        {
            assert!(is_of_tools(name), "{name}");
        }
        for name in [
            "PATH",
            "JAVA_HOME",
            "PIP_INDEX_URL",
            "PIP_FIND_LINKS",
            "UV_CACHE_DIR",
            "HTTPS_PROXY",
            "CARGO_HOME",
            "RUSTUP_HOME",
        ] {
            assert!(!is_of_tools(name), "{name}");
        }
    }

    #[test]
    fn settings_of_aws_are_more_than_a_profile() {
        for name in
            ["AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE", "AWS_USE_FIPS_ENDPOINT", "SAM_CLI_BETA_FEATURES"]
        {
            assert!(is_of_aws(name), "{name}");
        }
        assert!(!is_of_aws("LAWS_OF"));
    }

    #[test]
    fn only_what_a_process_has_is_inherited() {
        assert_eq!(inherited(|name| name == "PATH").collect::<Vec<_>>(), ["PATH"]);
    }
}
