//! A snapshot server on one file, as a program of its own.

fn main() -> std::process::ExitCode {
    envsnap_recorder::command::run()
}
