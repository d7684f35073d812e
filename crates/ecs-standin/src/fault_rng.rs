//! Reproducible pseudo-random faults.

use std::collections::HashMap;

/// A deterministic random number generator.
///
/// A draw depends on the seed, on its subject, and on how many draws that subject had before, not
/// on the order of the draws: a reader that sends requests for many clusters at once meets the same
/// faults on every run.
#[derive(Debug, Clone, Default)]
pub(super) struct FaultRng {
    seed: u64,
    drawn: HashMap<u64, u64>,
}

impl FaultRng {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, drawn: HashMap::new() }
    }

    /// Whether an event of this `rate`, from 0 (never) to 1 (always), happens to `subject`.
    pub(super) fn hits(&mut self, rate: f64, subject: &[&[u8]]) -> bool {
        if rate <= 0.0 {
            return false;
        }
        let key = mix(self.seed ^ fnv1a(subject));
        let times = self.drawn.entry(key).or_default();
        *times += 1;
        fraction(mix(key.wrapping_add(*times))) < rate
    }
}

/// The 64-bit FNV-1a hash of the parts, each closed by a byte that no UTF-8 text holds.
fn fnv1a(parts: &[&[u8]]) -> u64 {
    parts
        .iter()
        .flat_map(|part| part.iter().chain(&[0xff]))
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

/// `SplitMix64`: every bit of the result depends on every bit of `state`.
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// From 0 (included) to 1 (excluded), by the highest 32 bits, which `f64` holds exactly.
fn fraction(bits: u64) -> f64 {
    let high = u32::try_from(bits >> 32).unwrap_or(u32::MAX);
    f64::from(high) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(rng: &mut FaultRng, rate: f64, subjects: &[u32]) -> Vec<bool> {
        subjects.iter().map(|subject| rng.hits(rate, &[&subject.to_be_bytes()])).collect()
    }

    #[test]
    fn share_of_draws_that_hit_is_close_to_the_rate() {
        let subjects: Vec<u32> = (0..10_000).collect();
        for (rate, fewest, most) in [(0.0, 0, 0), (0.1, 900, 1_100), (1.0, 10_000, 10_000)] {
            let mut rng = FaultRng::new(7);
            let struck =
                hits(&mut rng, rate, &subjects).into_iter().filter(|struck| *struck).count();
            assert!((fewest..=most).contains(&struck), "{struck} at {rate}");
        }
    }

    #[test]
    fn draws_depend_on_the_seed_and_not_on_the_order_of_subjects() {
        let there: Vec<u32> = (0..200).collect();
        let back: Vec<u32> = (0..200).rev().collect();
        let forward = hits(&mut FaultRng::new(1), 0.5, &there);
        let mut backward = hits(&mut FaultRng::new(1), 0.5, &back);
        backward.reverse();
        assert_eq!(forward, backward);
        assert_ne!(forward, hits(&mut FaultRng::new(2), 0.5, &there));
    }

    #[test]
    fn repeated_draws_of_one_subject_have_different_results() {
        let same = [42; 100];
        let struck = hits(&mut FaultRng::new(1), 0.5, &same);
        assert!(struck.contains(&true) && struck.contains(&false));
    }
}
