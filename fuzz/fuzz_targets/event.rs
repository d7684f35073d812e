//! Events that invoke the function: each is parsed or refused, without a panic.
#![cfg_attr(not(test), no_main)]

use envsnap::report::Trigger;

/// Checks one input of the fuzzer: its clusters can be parsed again, its errors are short.
pub(crate) fn check(data: &[u8]) {
    let Ok(event) = std::str::from_utf8(data) else { return };
    match Trigger::parse(event) {
        Ok(trigger) => {
            for cluster in &trigger.clusters {
                let again = cluster.given().parse();
                assert_eq!(again.as_ref(), Ok(cluster), "{cluster:?}");
            }
        }
        Err(refusal) => {
            let refusal = refusal.to_string();
            assert!(refusal.len() < 1_000, "{} bytes: {refusal}", refusal.len());
        }
    }
}

#[cfg(not(test))]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
