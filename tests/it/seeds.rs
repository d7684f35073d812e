//! What the fuzz targets check, on the seeds that they start from.

use std::path::Path;

#[path = "../../fuzz/fuzz_targets/ecs_answer.rs"]
mod ecs_answer;
#[path = "../../fuzz/fuzz_targets/event.rs"]
mod event;
#[path = "../../fuzz/fuzz_targets/image_reference.rs"]
mod image_reference;
#[path = "../../fuzz/fuzz_targets/recorder_request.rs"]
mod recorder_request;
#[path = "../../fuzz/fuzz_targets/server_answer.rs"]
mod server_answer;

/// Runs the check of a fuzz target on each of its committed seeds.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    // What a fuzzer added has no ending, and is not committed.
    let seeds: Vec<_> = files.filter(|path| path.extension().is_some()).collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        println!("{}", seed.display());
        check(&std::fs::read(seed).unwrap());
    }
}

#[test]
fn every_fuzz_seed_of_events_passes_its_fuzz_target() {
    replay("event", event::check);
}

#[test]
fn every_fuzz_seed_of_image_references_passes_its_fuzz_target() {
    replay("image_reference", image_reference::check);
}

#[test]
fn every_fuzz_seed_of_ecs_answers_passes_its_fuzz_target() {
    replay("ecs_answer", ecs_answer::check);
}

#[test]
fn every_fuzz_seed_of_server_answers_passes_its_fuzz_target() {
    replay("server_answer", server_answer::check);
}

#[test]
fn every_fuzz_seed_of_recorder_requests_passes_its_fuzz_target() {
    replay("recorder_request", recorder_request::check);
}
