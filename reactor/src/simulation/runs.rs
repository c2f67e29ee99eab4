//! Which runs there are: one for each seed, or all with a few unkind choices; and what repeats one of them.

use std::env;
use std::io;
use std::num::ParseIntError;
use std::panic::{self, AssertUnwindSafe};
use std::thread;

use super::{Simulation, ask};
use crate::event_loop::message_of;
use crate::sys::simulated::{Choice, Choices, following, unkind_among};

/// The environment variable that repeats one run: `seed 7` or `choices 0,1,2`.
const REPEAT: &str = "REACTOR_SIM";

/// One run for each seed. How many there were (one, if the environment variable `REACTOR_SIM` names one to repeat).
///
/// # Panics
/// If a run does, or returns an error: with that, and with a command that repeats the run.
///
/// The [module's text](crate::simulation) has an example.
pub fn seeds(
    seeds: impl IntoIterator<Item = u64>,
    mut run: impl FnMut(&Simulation) -> io::Result<()>,
) -> usize {
    if repeated(&mut run) {
        return 1;
    }
    let mut runs = 0;
    for seed in seeds {
        one(Choices::of_seed(seed), Some(seed), &mut run);
        runs += 1;
    }
    runs
}

/// Every run with at most `unkind` choices that are not the kindest: first the one without, then all with one, with two, and so
/// on, so that what fails first is as simple as can be. How many there were.
///
/// # Panics
/// As [`seeds`]; and if a run that begins as one before comes out otherwise, because it depends on something besides the
/// simulation: the real time, a thread, the order of a hash table.
///
/// ```
/// use reactor::event_loop::{Context, Protocol, Reactor};
/// use reactor::simulation;
///
/// struct Silent;
/// impl Protocol for Silent {
///     type Message = ();
///     fn received(&mut self, input: &[u8], _: &mut Context<'_, ()>) -> usize { input.len() }
/// }
///
/// let runs = simulation::explore(1, |simulation| {
///     let mut reactor = Reactor::<Silent>::builder().build()?;
///     let address = ([127, 0, 0, 1], 1060).into();
///     reactor.listen(address, |_| Some(Silent))?;
///     let client = simulation.connect(address);
///     client.finish();
///     simulation.run(&mut reactor, || client.is_finished())
/// });
/// assert!(runs > 10);
/// ```
pub fn explore(unkind: usize, mut run: impl FnMut(&Simulation) -> io::Result<()>) -> usize {
    if repeated(&mut run) {
        return 1;
    }
    let mut runs = 0;
    for level in 0..=unkind {
        let mut next = Some(Vec::new());
        while let Some(given) = next {
            let made = one(Choices::given(given), None, &mut run);
            next = following(&made, level);
            runs += usize::from(unkind_among(&made) == level); // the others were counted before
        }
    }
    runs
}

/// One run: what was chosen in it.
fn one(
    choices: Choices,
    seed: Option<u64>,
    run: &mut impl FnMut(&Simulation) -> io::Result<()>,
) -> Vec<Choice> {
    let simulation = Simulation::begin(choices);
    let result = panic::catch_unwind(AssertUnwindSafe(|| run(&simulation)));
    let (made, strayed) = ask(|kernel| (kernel.choices().made().to_vec(), kernel.choices().strayed()));
    drop(simulation);
    let problem = match result {
        _ if strayed => {
            "it began as a run before and came out otherwise: it depends on more than the simulation".into()
        }
        Ok(Ok(())) => return made,
        Ok(Err(error)) => error.to_string(),
        Err(panic) => message_of(&*panic),
    };
    panic!("a simulated run failed: {problem}\nrepeat it with: {}", command(seed, &made))
}

/// What repeats a run: of a test, whose thread has its name, or of a program.
fn command(seed: Option<u64>, made: &[Choice]) -> String {
    let which = match seed {
        Some(seed) => format!("seed {seed}"),
        None => {
            let end = made.iter().rposition(|choice| choice.taken > 0).map_or(0, |last| last + 1);
            let taken: Vec<String> = made[..end].iter().map(|choice| choice.taken.to_string()).collect();
            format!("choices {}", taken.join(","))
        }
    };
    let program = env::current_exe().map_or_else(|_| "PROGRAM".into(), |path| path.display().to_string());
    match thread::current().name() {
        Some(test) if test != "main" => format!("{REPEAT}='{which}' {program} --exact {test}"),
        _ => {
            let arguments: Vec<String> = env::args().skip(1).collect();
            format!("{REPEAT}='{which}' {program} {}", arguments.join(" "))
        }
    }
}

/// Repeats the run that the environment names, if it names one.
fn repeated(run: &mut impl FnMut(&Simulation) -> io::Result<()>) -> bool {
    let Ok(which) = env::var(REPEAT) else { return false };
    let wrong = || -> ! { panic!("{REPEAT} is {which:?}; it should be 'seed 7' or 'choices 0,1,2'") };
    let (choices, seed) = match which.split_once(' ') {
        Some(("seed", seed)) => match seed.parse() {
            Ok(seed) => (Choices::of_seed(seed), Some(seed)),
            Err(_) => wrong(),
        },
        Some(("choices", taken)) => {
            let taken = taken.split(',').filter(|taken| !taken.is_empty()).map(str::parse);
            let choices: Result<Vec<Choice>, _> =
                taken.map(|taken| Ok::<_, ParseIntError>(Choice { taken: taken?, ways: 0 })).collect();
            (Choices::given(choices.unwrap_or_else(|_| wrong())), None)
        }
        _ => wrong(),
    };
    one(choices, seed, run);
    true
}
