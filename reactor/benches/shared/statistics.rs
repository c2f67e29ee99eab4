//! What a machine that changes its mind from second to second is compared with: orders without rhythm, and medians.

use std::time::SystemTime;

/// The median, and half the distance of the quartiles.
pub fn median_and_spread(values: &mut [f64]) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |part: f64| values[((values.len() - 1) as f64 * part).round() as usize];
    let middle = values.len() / 2;
    let median = if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    };
    (median, (at(0.75) - at(0.25)) / 2.0)
}

/// Fisher and Yates, with Marsaglia's xorshift: any order will do that the machine's own rhythms do not know.
pub fn shuffle<T>(turns: &mut [T]) {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut state = since.as_nanos() as u64 | 1;
    for last in (1..turns.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        turns.swap(last, state as usize % (last + 1));
    }
}
