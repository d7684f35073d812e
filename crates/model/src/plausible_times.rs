//! The recording times of snapshots, although the clock was wrong for some of them.
//!
//! Snapshots are in the order of their indexes, whatever their times say. Times that contradict that
//! order, or are still to come, are wrong. Which of two contradicting times is wrong cannot be known:
//! the fewest possible are taken for it, and among equally few, the earlier ones, since clocks are
//! set right more often than wrong.

/// For each of `times`, in the order of the snapshots, the time by which its snapshot was recorded:
/// its own, or, if that is wrong, the next snapshot's that is not, or `now`. Never descending, and
/// never after `now`.
pub fn plausible_times(times: &[f64], now: f64) -> Vec<f64> {
    let mut plausible = times.to_vec();
    if !(times.is_sorted() && times.last().is_none_or(|last| *last <= now)) {
        let mut next = now;
        let mut trusted = longest_ascending(times, now).into_iter().rev().peekable();
        for (at, time) in plausible.iter_mut().enumerate().rev() {
            if trusted.next_if_eq(&at).is_some() {
                next = *time;
            } else {
                *time = next;
            }
        }
    }
    plausible
}

/// The positions of the longest subsequence of `times` that never descends and never exceeds
/// `most`; of several, the one that ends earliest.
fn longest_ascending(times: &[f64], most: f64) -> Vec<usize> {
    // The end of the earliest-ending sequence of each length, and the predecessor of each time.
    let mut ends: Vec<usize> = Vec::new();
    let mut before = vec![None; times.len()];
    for (at, time) in times.iter().enumerate().filter(|(_, time)| **time <= most) {
        let length = ends.partition_point(|end| times[*end] <= *time);
        before[at] = length.checked_sub(1).map(|shorter| ends[shorter]);
        match ends.get_mut(length) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let mut longest = Vec::with_capacity(ends.len());
    let mut next = ends.last().copied();
    while let Some(at) = next {
        longest.push(at);
        next = before[at];
    }
    longest.reverse();
    longest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn implausible_time_is_replaced_by_the_next_plausible_one_or_now() {
        for (what, times, now, expected) in [
            ("none is wrong", &[1.0, 2.0, 2.0, 3.0][..], 3.0, &[1.0, 2.0, 2.0, 3.0][..]),
            ("a minute in the future", &[1.0, 99.0, 3.0, 4.0], 5.0, &[1.0, 3.0, 3.0, 4.0]),
            ("and more than one", &[1.0, 99.0, 100.0, 3.0], 5.0, &[1.0, 3.0, 3.0, 3.0]),
            ("before any right one", &[1.0, 2.0, 99.0], 5.0, &[1.0, 2.0, 5.0]),
            (
                "after that future",
                &[1.0, 99.0, 3.0, 4.0, 101.0],
                102.0,
                &[1.0, 3.0, 3.0, 4.0, 101.0],
            ),
            ("a minute in the past", &[11.0, 12.0, 1.0, 14.0], 15.0, &[11.0, 12.0, 14.0, 14.0]),
            ("two that contradict", &[9.0, 5.0], 10.0, &[5.0, 5.0]),
            ("all to come", &[7.0, 8.0], 5.0, &[5.0, 5.0]),
            ("none at all", &[], 5.0, &[]),
        ] {
            assert_eq!(plausible_times(times, now), expected, "{what}");
        }
    }

    proptest! {
        #[test]
        fn plausible_times_never_descend_and_never_exceed_now(
            times in proptest::collection::vec(-9..9_i8, 0..12), now in -9..9_i8,
        ) {
            let times: Vec<_> = times.into_iter().map(f64::from).collect();
            let now = f64::from(now);
            let plausible = plausible_times(&times, now);
            prop_assert_eq!(plausible.len(), times.len());
            prop_assert!(plausible.is_sorted());
            prop_assert!(plausible.iter().all(|time| *time <= now));
            if times.is_sorted() && times.iter().all(|time| *time <= now) {
                prop_assert_eq!(plausible, times);
            }
        }

        /// Right times with a run of wrong ones among them, as after a start with a wrong clock.
        #[test]
        fn right_times_are_kept_and_a_short_run_of_wrong_times_among_them_is_replaced(
            before in 4..20_usize, wrong in 1..4_usize, after in 4..20_usize,
            off in prop_oneof![-1e9..-1e3_f64, 1e3..1e9_f64],
        ) {
            let mut right = 0.0;
            let mut time = || { right += 10.0; right };
            let mut times: Vec<_> = (0..before).map(|_| time()).collect();
            times.extend((0..wrong).map(|_| time() + off));
            times.extend((0..after).map(|_| time()));
            // A long time later, so that none of them is to come.
            let plausible = plausible_times(&times, 1e10);
            for (at, (time, found)) in times.iter().zip(&plausible).enumerate() {
                let expected = if (before..before + wrong).contains(&at) {
                    times[before + wrong]
                } else {
                    *time
                };
                prop_assert!((found - expected).abs() < 1e-9, "{} {} {}", at, found, expected);
            }
        }

        #[test]
        fn longest_ascending_is_as_long_as_the_longest_of_all_subsequences(
            times in proptest::collection::vec(0..6_u8, 0..9), most in 0..6_u8,
        ) {
            let times: Vec<_> = times.into_iter().map(f64::from).collect();
            let most = f64::from(most);
            let subsets = (0..1_u32 << times.len()).map(|set| {
                let is_in = |(at, _): &(usize, &f64)| set >> at & 1 == 1;
                times.iter().enumerate().filter(is_in).map(|(_, time)| *time).collect::<Vec<_>>()
            });
            let longest = subsets
                .filter(|subset| subset.is_sorted() && subset.iter().all(|time| *time <= most))
                .map(|subset| subset.len())
                .max();
            prop_assert_eq!(Some(longest_ascending(&times, most).len()), longest);
        }
    }
}
