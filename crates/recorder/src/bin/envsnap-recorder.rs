//! The `envsnap-recorder` binary.

fn main() -> std::process::ExitCode {
    envsnap_recorder::command::run()
}
