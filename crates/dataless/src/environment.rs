//! Which of the user's environment variables are passed on to tools.

use std::ffi::OsString;
use std::process::Command;

/// The variables of a program that gets an environment of its own.
pub const NEEDED: [&str; 5] = ["HOME", "JAVA_HOME", "LOGNAME", "PATH", "USER"];

/// How to reach package registries. Only the user knows, so they are passed on.
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

/// How this machine reaches the network, and its compilers.
const MACHINE: [&str; 29] = [
    "ALL_PROXY",
    "AR",
    "CARGO",
    "CARGO_BUILD_JOBS",
    "CARGO_HOME",
    "CARGO_INCREMENTAL",
    "CARGO_TARGET_DIR",
    "CC",
    "CURL_CA_BUNDLE",
    "CXX",
    "DEVELOPER_DIR",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LD_LIBRARY_PATH",
    "NO_PROXY",
    "PKG_CONFIG_PATH",
    "REQUESTS_CA_BUNDLE",
    "RUSTUP_DIST_SERVER",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "SDKROOT",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// The same, for names that contain the name of a registry, and for variables of this project.
const MACHINE_PREFIXES: [&str; 6] =
    ["CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "DATALESS_", "NIX_"];

/// Whether tools need a variable. All others are settings for something else: compiler flags, Java options, Python paths,
/// AWS accounts, the location of a Git repository.
pub fn is_needed(name: &str) -> bool {
    NEEDED.contains(&name)
        || PACKAGES.contains(&name)
        || MACHINE.contains(&name)
        || MACHINE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether tools do not need it.
pub fn is_foreign(name: &str) -> bool {
    !is_needed(name)
}

/// Whether a variable selects an AWS account, Region or endpoint, or changes how AWS tools work.
pub fn is_aws_setting(name: &str) -> bool {
    ["AWS_", "BOTO", "SAM_"].iter().any(|prefix| name.starts_with(prefix))
}

/// The matching variables of this process.
pub fn inherited(matches: impl Fn(&str) -> bool) -> impl Iterator<Item = OsString> {
    std::env::vars_os().map(|(name, _)| name).filter(move |name| matches(&name.to_string_lossy()))
}

/// Does not pass on such variables of this process to a command.
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
    fn tools_inherit_registries_and_no_other_settings() {
        for name in [
            "AWS_PROFILE",
            "BASH_ENV",
            "CARGO_BUILD_TARGET",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_PROFILE_DEV_OPT_LEVEL",
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER",
            "GIT_DIR",
            "GZIP",
            "HADOOP_CONF_DIR",
            "JAVA_TOOL_OPTIONS",
            "LANG",
            "LC_ALL",
            "LD_PRELOAD",
            "PIP_TARGET",
            "PIP_USER",
            "PYTHONPATH",
            "PYTHONWARNINGS",
            "RUSTC_WRAPPER",
            "RUSTFLAGS",
            "SAM_CLI_BETA_FEATURES",
            "SPARK_HOME",
            "TZ",
            "UV_PYTHON",
            "_JAVA_OPTIONS",
        ] {
            assert!(is_foreign(name), "{name}");
        }
        for name in [
            "PATH",
            "JAVA_HOME",
            "PIP_INDEX_URL",
            "PIP_FIND_LINKS",
            "UV_CACHE_DIR",
            "HTTPS_PROXY",
            "SSL_CERT_FILE",
            "CARGO_HOME",
            "CARGO_REGISTRIES_COMPANY_TOKEN",
            "CARGO_TARGET_DIR",
            "RUSTUP_HOME",
        ] {
            assert!(is_needed(name), "{name}");
        }
    }

    #[test]
    fn settings_of_aws_are_more_than_a_profile() {
        for name in
            ["AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE", "AWS_USE_FIPS_ENDPOINT", "SAM_CLI_BETA_FEATURES"]
        {
            assert!(is_aws_setting(name), "{name}");
        }
        assert!(!is_aws_setting("LAWS_OF"));
    }

    #[test]
    fn only_variables_that_are_set_are_inherited() {
        assert_eq!(inherited(|name| name == "PATH").collect::<Vec<_>>(), ["PATH"]);
    }
}
