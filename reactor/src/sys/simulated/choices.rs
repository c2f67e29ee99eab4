//! Choices: what decides, wherever a kernel is free to do one thing or another.

/// Every decision of a run, in order: how many ways there were, and which one was taken. The first way (0) is always the
/// kindest: nothing is delayed, cut short or interrupted.
#[derive(Clone, Debug)]
pub(crate) struct Choices {
    source: Source,
    made: Vec<Choice>,
    /// From now on the kindest.
    calm: bool,
    /// What was to be repeated came out otherwise.
    strayed: bool,
}

/// One decision.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) taken: u32,
    pub(crate) ways: u32,
}

#[derive(Clone, Debug)]
enum Source {
    /// A pseudo-random generator, and how many out of 256 choices are unkind.
    Seed { state: u64, unkind: u64 },
    /// These, and then the kindest. Where there is no telling how many ways there were, it says 0.
    Given(Vec<Choice>),
}

impl Choices {
    fn new(source: Source) -> Choices {
        Choices { source, made: Vec::new(), calm: false, strayed: false }
    }

    /// Those that belong to a number. How unkind they are on the whole belongs to it as well.
    pub(crate) fn of_seed(seed: u64) -> Choices {
        let mut state = seed;
        let unkind = [8, 32, 96, 192][(next(&mut state) % 4) as usize];
        Choices::new(Source::Seed { state, unkind })
    }

    /// These first, and then the kindest.
    pub(crate) fn given(first: Vec<Choice>) -> Choices {
        Choices::new(Source::Given(first))
    }

    /// One of so many ways.
    pub(crate) fn choose(&mut self, ways: u32) -> u32 {
        if ways < 2 || self.calm {
            return 0;
        }
        let taken = match &mut self.source {
            Source::Given(first) => match first.get(self.made.len()) {
                Some(before) => {
                    self.strayed |= before.ways != 0 && before.ways != ways;
                    before.taken.min(ways - 1)
                }
                None => 0,
            },
            Source::Seed { state, unkind } => {
                let (kind, other) = (next(state) % 256 >= *unkind, next(state));
                if kind { 0 } else { 1 + (other % u64::from(ways - 1)) as u32 }
            }
        };
        self.made.push(Choice { taken, ways });
        taken
    }

    /// An index below `length`, which must not be zero.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        self.choose(u32::try_from(length).unwrap_or(u32::MAX)) as usize
    }

    /// How much of `most` is moved: all of it, one, or half.
    pub(crate) fn portion(&mut self, most: usize) -> usize {
        match self.choose(if most > 2 { 3 } else { most as u32 }) {
            0 => most,
            1 => 1,
            _ => most / 2,
        }
    }

    pub(crate) fn calm(&mut self) {
        self.calm = true;
    }

    /// What was decided so far.
    pub(crate) fn made(&self) -> &[Choice] {
        &self.made
    }

    /// Whether there were other ways where a run was to be repeated: it depends on something that is not simulated.
    pub(crate) fn strayed(&self) -> bool {
        self.strayed
    }
}

/// The choices of the run that comes after this one, when all runs with at most `unkind` unkind choices are gone through: the
/// last decision that can be taken one way further is, and what comes after it is kind again. `None` after the last.
pub(crate) fn following(made: &[Choice], unkind: usize) -> Option<Vec<Choice>> {
    (0..made.len()).rev().find_map(|last| {
        let Choice { taken, ways } = made[last];
        let possible = taken + 1 < ways && unkind_among(&made[..last]) < unkind;
        let further = Choice { taken: taken + 1, ways };
        possible.then(|| made[..last].iter().copied().chain([further]).collect())
    })
}

/// How many of them are not the kindest.
pub(crate) fn unkind_among(made: &[Choice]) -> usize {
    made.iter().filter(|choice| choice.taken > 0).count()
}

/// SplitMix64 (Steele, Lea, Flood, 2014): small, and good enough to choose with.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// All runs of three decisions among two, three and two ways.
    fn runs(unkind: usize) -> Vec<Vec<u32>> {
        let (mut all, mut given) = (Vec::new(), Some(Vec::new()));
        while let Some(taken) = given {
            let mut choices = Choices::given(taken);
            all.push([2, 3, 2].map(|ways| choices.choose(ways)).to_vec());
            given = following(choices.made(), unkind);
        }
        all
    }

    #[test]
    fn every_run_is_gone_through_once() {
        let all = runs(3);
        assert_eq!(all.len(), 12);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 12);
    }

    #[test]
    fn a_bound_on_unkind_choices_is_kept_and_used_up() {
        let all = runs(1);
        assert_eq!(all.len(), 1 + 1 + 2 + 1);
        assert!(all.iter().all(|run| run.iter().filter(|taken| **taken > 0).count() <= 1));
        assert_eq!(runs(0), [[0, 0, 0]]);
    }

    #[test]
    fn a_seed_decides_the_same_again() {
        let run = |seed| {
            let mut choices = Choices::of_seed(seed);
            (0..200).map(|_| choices.choose(4)).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn after_a_calm_everything_is_kind() {
        let mut choices = Choices::given(vec![Choice { taken: 1, ways: 2 }; 3]);
        assert_eq!(choices.choose(2), 1);
        choices.calm();
        assert_eq!(choices.choose(2), 0);
    }

    #[test]
    fn a_run_that_has_other_ways_than_before_has_strayed() {
        let mut choices = Choices::given(vec![Choice { taken: 1, ways: 2 }, Choice { taken: 3, ways: 0 }]);
        choices.choose(2);
        choices.choose(7); // nobody knows how many there were
        assert!(!choices.strayed());
        let mut choices = Choices::given(vec![Choice { taken: 1, ways: 2 }]);
        choices.choose(3);
        assert!(choices.strayed());
    }
}
