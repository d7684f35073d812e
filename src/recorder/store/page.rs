//! Part of a listing.

use std::ops::RangeInclusive;

/// Part of a listing.
#[derive(Debug, Clone, Copy)]
pub(in crate::recorder) struct Page {
    /// From 1.
    pub(in crate::recorder) number: u32,
    /// At least 1.
    pub(in crate::recorder) size: u32,
}

impl Page {
    /// How many stand before it.
    pub(in crate::recorder) fn offset(self) -> u64 {
        u64::from(self.number.saturating_sub(1)) * u64::from(self.size)
    }

    /// How many pages of this size `total` make.
    pub(in crate::recorder) fn count(self, total: u64) -> u64 {
        total.div_ceil(self.size.into())
    }

    /// Which of `indexes` are on it, counted from the last one unless `ascending`; `None` where
    /// none are.
    pub(super) fn of(
        self,
        indexes: &RangeInclusive<u32>,
        ascending: bool,
    ) -> Option<RangeInclusive<u32>> {
        let offset = u32::try_from(self.offset()).ok()?;
        let (first, last) = if ascending {
            let first = indexes.start().checked_add(offset)?;
            (first, first.saturating_add(self.size - 1).min(*indexes.end()))
        } else {
            let last = indexes.end().checked_sub(offset)?;
            (last.saturating_sub(self.size - 1).max(*indexes.start()), last)
        };
        (first <= last).then_some(first..=last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pages_are_the_whole_cut_into_pieces(
            start in 1..50_u32, length in 0..50_u32, size in 1..60_u32, ascending: bool,
        ) {
            let indexes = start..=start + length;
            let mut expected: Vec<_> = indexes.clone().collect();
            if !ascending {
                expected.reverse();
            }
            let mut seen = Vec::new();
            for number in 1.. {
                let Some(page) = Page { number, size }.of(&indexes, ascending) else { break };
                let mut page: Vec<_> = page.collect();
                prop_assert!(page.len() <= size as usize);
                if !ascending {
                    page.reverse();
                }
                seen.extend(page);
            }
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn no_page_panics(number: u32, size in 1..=u32::MAX, end in 1..=u32::MAX, ascending: bool) {
            let page = Page { number, size };
            page.of(&(1..=end), ascending);
            page.count(u64::MAX);
        }
    }
}
