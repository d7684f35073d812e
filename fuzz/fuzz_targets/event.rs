//! An event is understood or refused, and never does harm.
#![cfg_attr(not(test), no_main)]

use envsnap::report::Trigger;

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
