//! The binary; the library has it all.

use std::process::ExitCode;

fn main() -> ExitCode {
    loadgen::cli::main()
}
