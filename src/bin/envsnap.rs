//! The command line.

fn main() -> std::process::ExitCode {
    envsnap::cli::run()
}
