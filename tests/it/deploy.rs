use std::process::Command;

use crate::command_line::install_script;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn command_archive_has_binary_completions_and_systemd_unit_and_is_reproducible() {
    let folder = tempfile::tempdir().unwrap();
    // The command itself would take half a minute to compress: it is built without optimization.
    let command = folder.path().join("envsnap");
    install_script(&format!("exec '{}' \"$@\"", env!("CARGO_BIN_EXE_envsnap")), &command);
    let make = |into: &str| {
        let into = folder.path().join(into);
        let script = format!("{ROOT}/deploy/command-archive");
        let made =
            Command::new(script).arg("linux-x86_64").args([&command, &into]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        into.join("envsnap-linux-x86_64.tar.gz")
    };
    let archive = make("once");
    assert!(std::fs::read(&archive).unwrap() == std::fs::read(make("again")).unwrap());

    let unpack =
        Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder.path()).status();
    assert!(unpack.unwrap().success());
    let unpacked = folder.path().join("envsnap-linux-x86_64");
    for file in [
        "CHANGELOG.md",
        "LICENSE",
        "completions/envsnap.bash",
        "completions/envsnap.fish",
        "completions/envsnap.zsh",
        "envsnap.service",
    ] {
        assert!(unpacked.join(file).metadata().unwrap().len() > 500, "{file}");
    }
    let version = Command::new(unpacked.join("envsnap")).arg("--version").output().unwrap();
    assert!(version.stdout.starts_with(b"envsnap "), "{version:?}");
}

#[test]
fn compose_file_uses_the_paths_port_and_user_of_the_image() {
    let read = |path: &str| std::fs::read_to_string(format!("{ROOT}/deploy/{path}")).unwrap();
    let (image, compose) = (read("Dockerfile"), read("compose.yaml"));
    for (of_image, of_composition) in [
        ("--db\", \"/var/lib/envsnap/snapshots.db", "snapshots:/var/lib/envsnap\n"),
        ("--token-file\", \"/etc/envsnap/tokens\"", "./tokens:/etc/envsnap/tokens:ro\n"),
        ("USER 65532:65532", "chown 65532 tokens"),
        ("HEALTHCHECK", "condition: service_healthy"),
    ] {
        assert!(image.contains(of_image), "{of_image}");
        assert!(compose.contains(of_composition), "{of_composition}");
    }
    assert!(compose.contains("dockerfile: deploy/Dockerfile"));
    assert!(compose.contains("./Caddyfile.compose:/etc/caddy/Caddyfile:ro"));
    assert!(read("Caddyfile.compose").contains("reverse_proxy recorder:8080"));
    assert!(image.contains("\"0.0.0.0:8080\""));
    // What the image starts is what the recorder's own command line takes.
    let (_, arguments) = image.split_once("\nCMD ").unwrap();
    let arguments: Vec<String> = serde_json::from_str(arguments.trim()).unwrap();
    assert_eq!(arguments[0], "serve");
    let help = Command::new(env!("CARGO_BIN_EXE_envsnap")).args(["serve", "--help"]).output();
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    for option in arguments.iter().filter(|argument| argument.starts_with("--")) {
        assert!(help.contains(option.as_str()), "{option}");
    }
}
