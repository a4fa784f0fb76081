//! The `loadgen` program. Its code is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    loadgen::cli::main()
}
