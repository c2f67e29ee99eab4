//! What is known to differ, and why. Each scene is played to everybody; who says something else than the blocking conversation
//! has to stand in the table, with just that, and who stands in the table has to say it.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use zen_tests::{backends, run};

use super::library::{UNLIKE, Unlike};
use super::reference::{Outcome, Setup};
use super::servers::{Host, Way, triggers, ways_undressed};
use super::{dissent, reference};

/// Something that happens between a client and a server, where time or an error plays a part.
struct Scene {
    name: &'static str,
    setup: Setup,
    script: &'static str,
}

const NOTHING: Setup = Setup { delay: None, idle: None, request: None };
const SOON: Option<Duration> = Some(Duration::from_millis(200));

const SCENES: &[Scene] = &[
    Scene {
        name: "a client says nothing until the idle limit",
        setup: Setup { idle: SOON, ..NOTHING },
        script: "zen: wait",
    },
    Scene {
        name: "a client does not finish its question until the request limit",
        setup: Setup { request: SOON, ..NOTHING },
        script: "zen: say \"Why?Simple is\"; wait",
    },
    Scene {
        name: "a client asks for much and takes nothing until the idle limit",
        setup: Setup { idle: SOON, ..NOTHING },
        script: "bytes: say \"200000000\\n\"; hear 1; stay",
    },
    Scene {
        name: "a client leaves in the middle of an answer",
        setup: NOTHING,
        script: "bytes: say \"200000000\\n\"; hear 1; close",
    },
    Scene {
        name: "a client resets in the middle of an answer",
        setup: NOTHING,
        script: "bytes: say \"200000000\\n\"; hear 1; reset",
    },
    Scene {
        name: "a client resets while an answer is worked on",
        setup: Setup { delay: SOON, ..NOTHING },
        script: "zen: say \"Simple is better than?Why?\"; hear 8; reset",
    },
    Scene {
        name: "a client finishes while answers are worked on",
        setup: Setup { delay: SOON, ..NOTHING },
        script: "zen: say \"Simple is better than?Why?Wh\"; finish",
    },
    Scene {
        name: "a client says much and reads slowly",
        setup: NOTHING,
        script: "echo: say \"0123456789abcdef\" 300000 times; finish",
    },
    Scene {
        name: "a client makes the protocol panic",
        setup: NOTHING,
        script: "panics: say \"fine\"; hear; say \"!\"; wait",
    },
];

/// A row: in this scene, these say this.
struct Difference {
    scene: &'static str,
    who: &'static str,
    is_one: fn(&Way) -> bool,
    reason: &'static str,
    why: &'static str,
}

const DIFFERENCES: &[Difference] = &[Difference {
    scene: "a client resets while an answer is worked on",
    who: "loops with edges",
    is_one: |way| way.trigger == Some("edge"),
    reason: "reset by the peer",
    why: "an edge tells of the reset at once, and an error is not kept waiting; who blocks, or wants nothing to be told while it \
          pauses, hears of it when it sends the answer, which is then unsent",
}];

/// A row: what cannot be asked for.
struct Refused {
    what: &'static str,
    arguments: &'static [&'static str],
    /// The values of the last argument.
    values: &'static [&'static str],
    why: &'static str,
}

const REFUSED: &[Refused] = &[
    Refused {
        what: "edges over select, poll or polling",
        arguments: &["--trigger", "edge", "--backend"],
        values: &["select", "poll", "polling"],
        why: "these have no edges, and a loop that knows what it waits for loses by emulating them",
    },
    Refused {
        what: "a trigger for models that block",
        arguments: &["--trigger", "level", "--max-connections", "9", "--model"],
        values: &["threads", "fork"],
        why: "they wait in `recv`, and have nothing to be told",
    },
    Refused {
        what: "a trigger for models with workers that block, or with a single thread",
        arguments: &["--trigger", "level", "--model"],
        values: &["single", "prethreaded", "pool", "prefork", "fd-passing"],
        why: "as above",
    },
];

/// What everybody says in a scene: the reference, and those who differ.
fn played(scene: &Scene) -> (Outcome, Vec<(Way, Outcome)>) {
    let script = scene.script.parse().expect("a script");
    let reference = reference::of(&script, scene.setup);
    let play = |way: &Way| {
        let host = Host::start(way, script.service, scene.setup);
        host.play(&script, &reference.due).outcome()
    };
    let outcomes: Vec<(Way, Outcome)> = thread::scope(|scope| {
        let threads: Vec<_> =
            ways_undressed().into_iter().map(|way| (way.clone(), scope.spawn(move || play(&way)))).collect();
        threads.into_iter().map(|(way, thread)| (way, thread.join().expect("it is played"))).collect()
    });
    (reference.outcome, outcomes)
}

#[test]
fn what_differs_stands_in_the_table_and_what_stands_there_differs() {
    let mut complaints = Vec::new();
    for scene in SCENES {
        let (reference, outcomes) = played(scene);
        let rows = || DIFFERENCES.iter().filter(|row| row.scene == scene.name);
        for row in rows() {
            let is_somebody = outcomes.iter().any(|(way, _)| (row.is_one)(way));
            if row.reason == reference.reason || !is_somebody {
                complaints.push(format!("{}: {} do not differ", scene.name, row.who));
            }
        }
        for (way, found) in &outcomes {
            let row = rows().find(|row| (row.is_one)(way));
            let reason = row.map_or_else(|| reference.reason.clone(), |row| row.reason.to_owned());
            let expected = Outcome { reason, ..reference.clone() };
            complaints.extend(dissent(way, found, &expected).map(|told| format!("{}: {told}", scene.name)));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn every_row_is_about_a_scene() {
    for row in DIFFERENCES {
        assert!(SCENES.iter().any(|scene| scene.name == row.scene), "{}", row.scene);
    }
}

#[test]
fn what_is_said_to_be_refused_is_refused_and_all_else_is_served() {
    for row in REFUSED {
        for value in row.values {
            let ran = run("zen-server", &[row.arguments, &[*value]].concat());
            assert_eq!(ran.code, Some(2), "{}: {value}: {ran:?}", row.what);
        }
    }
    let edgeless = REFUSED[0].values;
    for backend in backends() {
        assert_eq!(edgeless.contains(&backend), !triggers(backend).contains(&"edge"), "{backend}");
    }
}

// ------------------------------------------------------------------------------------------------------------ the guide

fn rows() -> String {
    let mut text = String::from("| what happens | where | what it says | why |\n|---|---|---|---|\n");
    for Difference { scene, who, reason, why, .. } in DIFFERENCES {
        text += &format!("| {scene} | {who} | {reason} | {why} |\n");
    }
    for Unlike { what, loops, why, .. } in UNLIKE {
        text += &format!("| {what} | loops | {loops} | {why} |\n");
    }
    for Refused { what, values, why, .. } in REFUSED {
        text += &format!("| somebody asks for {what} | {} | (refused) | {why} |\n", values.join(", "));
    }
    text
}

/// `WRITE_DIFFERENCES=1` writes it anew.
#[test]
fn the_guide_has_the_table() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../reactor/src/guide/who_waits.md");
    let chapter = fs::read_to_string(&path).expect("the chapter is there");
    let (before, rest) = chapter.split_once("<!-- differences -->\n").expect("the table begins");
    let (published, after) = rest.split_once("<!-- end of differences -->").expect("the table ends");
    if std::env::var_os("WRITE_DIFFERENCES").is_some() {
        let text = format!("{before}<!-- differences -->\n{}<!-- end of differences -->{after}", rows());
        return fs::write(&path, text).expect("it can be written");
    }
    assert_eq!(published, rows(), "WRITE_DIFFERENCES=1 writes it anew");
}
