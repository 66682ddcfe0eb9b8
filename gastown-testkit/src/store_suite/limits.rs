//! Names and sizes: what is taken at the limit, what is refused beyond it.

use std::time::Duration;

use gastown_core::effects::NotifyMayor;
use gastown_core::events::{AgentExited, AgentStarted, ExitStatus, PrObserved};
use gastown_core::{Effect, Event, EventKind, Finish, Lease, Row, RowKey, Store, Timestamp};

use super::samples::{
    ask, assert_refused, at, effect, entry, event, finished_row, history, key, new_town, put, row,
    show, tell,
};

/// Names that nothing in a store may have.
const BAD_NAMES: [&str; 6] = ["", "__", "__none__", "__null_rig__", "a\u{0}b", "a\nb"];

/// Text that adapters like to get wrong.
const ODD_NAMES: [&str; 8] = [
    "naïve",
    "nai\u{308}ve",
    "🦀🦀",
    "مرحبا",
    "a'b\"c;--%_*?[x]\\",
    " spaces around ",
    "_",
    "__half",
];

/// An empty, reserved or unprintable name of a row is refused, to put and to delete.
pub async fn bad_names_of_rows_are_refused(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    for name in BAD_NAMES {
        for row in [
            row(name, "b1", "x"),
            row("bead", name, "x"),
            finished_row("bead", name, "x"),
        ] {
            let mut delete = put(1, vec![]);
            delete.changes.delete = vec![row.key.clone()];
            assert_refused(store.commit(&town, delete).await, "commit");
            assert_refused(store.commit(&town, put(1, vec![row])).await, "commit");
        }
    }
    assert_eq!(store.load(&town).await.unwrap().version, 1);
}

/// The same for effects, history and holders of leases.
pub async fn bad_names_of_the_rest_are_refused(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    for name in BAD_NAMES {
        let mut bad_kind = effect("n1", 1);
        bad_kind.key.kind = name.into();
        let told = entry(gastown_core::HistoryKind::BeadEvent, Some(name), "x");
        let commits = [
            ask(1, vec![bad_kind]),
            ask(1, vec![effect(name, 1)]),
            tell(1, vec![told]),
        ];
        for commit in commits {
            assert_refused(store.commit(&town, commit).await, "commit");
        }
        let said = store
            .lease(&town, name, Duration::from_secs(1), at(0))
            .await;
        assert_refused(said, "lease");
    }
    assert_eq!(store.load(&town).await.unwrap().version, 1);
}

/// A stand-in for "no rig" is refused; null is how it is said.
pub async fn a_stand_in_for_no_rig_is_refused(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let with_rig = |rig: &str| Row {
        body: format!(r#"{{"rig_id":{rig}}}"#),
        ..row("bead", "b1", "")
    };
    for bad in [r#""""#, r#""__null_rig__""#, "0", "[]"] {
        assert_refused(
            store.commit(&town, put(1, vec![with_rig(bad)])).await,
            "commit",
        );
    }
    for (version, good) in (1..).zip(["null", r#""r1""#]) {
        let _put = store
            .commit(&town, put(version, vec![with_rig(good)]))
            .await
            .unwrap();
    }
}

/// A record that is about something else than its row is refused, and one that says its id or its rig
/// twice: readers differ in which of the two they take.
pub async fn a_record_that_contradicts_itself_is_refused(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let with = |kind: &str, body: &str| Row {
        body: body.into(),
        ..row(kind, "b1", "")
    };
    for (kind, bad) in [
        ("bead", r#"{"id":"b2"}"#),
        ("agent", r#"{"id":7}"#),
        ("rig", r#"{"id":"b1","id":"b1"}"#),
        ("nudge", r#"{"rig_id":null,"rig_id":"r1"}"#),
    ] {
        let bad = with(kind, bad);
        assert_refused(store.commit(&town, put(1, vec![bad])).await, "commit");
    }
    let good = [r#"{"id":"b1"}"#, r#"{"id":null}"#].map(|body| with("bead", body));
    for (version, good) in (1..).zip(good) {
        let _put = store.commit(&town, put(version, vec![good])).await.unwrap();
    }
    let of_another_kind = with("town", r#"{"id":"t1"}"#);
    let _put = store
        .commit(&town, put(3, vec![of_another_kind]))
        .await
        .unwrap();
}

/// A body that is not one JSON object is refused.
pub async fn bodies_are_json_objects(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    for bad in [
        "",
        "null",
        "[]",
        "{",
        "{} {}",
        "{'a':1}",
        "{\"a\":1,}",
        "\u{feff}{}",
    ] {
        let bad_row = Row {
            body: bad.into(),
            ..row("bead", "b1", "")
        };
        assert_refused(store.commit(&town, put(1, vec![bad_row])).await, "commit");
        let mut told = entry(gastown_core::HistoryKind::Tick, None, "");
        told.body = bad.into();
        assert_refused(store.commit(&town, tell(1, vec![told])).await, "commit");
    }
    assert_eq!(history(store, &town).await, []);
}

/// A row that is named twice is refused, as one can't tell which was meant.
pub async fn a_row_that_is_named_twice_is_refused(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let twice = vec![row("bead", "b1", "x"), row("bead", "b1", "y")];
    assert_refused(store.commit(&town, put(1, twice)).await, "commit");
    let mut both = put(1, vec![row("bead", "b1", "x")]);
    both.changes.delete = vec![key("bead", "b1")];
    assert_refused(store.commit(&town, both).await, "commit");
}

/// Names of all languages, and those that look like SQL or patterns, come back as they were.
pub async fn odd_names_come_back_as_they_were(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let mut commit = put(1, ODD_NAMES.map(|name| row(name, name, name)).to_vec());
    commit.effects = ODD_NAMES.map(|name| effect(name, 1)).to_vec();
    commit.changes.history = ODD_NAMES
        .map(|name| entry(gastown_core::HistoryKind::BeadEvent, Some(name), name))
        .to_vec();
    let _put = store.commit(&town, commit.clone()).await.unwrap();
    let mut expected = commit.changes.put;
    expected.sort_by(|one, other| one.key.cmp(&other.key));
    let shown = show(store, &town).await;
    assert_eq!(shown.rows, expected);
    assert_eq!(shown.effects, commit.effects);
    let told: Vec<_> = shown
        .history
        .into_iter()
        .map(|stored| stored.entry)
        .collect();
    assert_eq!(told, commit.changes.history);
    for row in &expected {
        let found = store
            .rows(&town, std::slice::from_ref(&row.key))
            .await
            .unwrap();
        assert_eq!(&found, std::slice::from_ref(row));
    }
}

/// The ids of towns and events may be of any language and of full length.
pub async fn odd_ids_come_back_as_they_were(store: &dyn Store) {
    for id in ["é".repeat(64), "🦀".repeat(32), "x'--%".into()] {
        let town = new_town(store, &id).await;
        store
            .append_events(&town, vec![event(&id, at(0))])
            .await
            .unwrap();
        assert_eq!(
            store.pending_events(&town, 9).await.unwrap(),
            [event(&id, at(0))]
        );
    }
}

/// Names are taken up to their limit and refused beyond it.
pub async fn names_end_at_their_limit(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let longest = "é".repeat(RowKey::PART_BYTES_MAX / 2);
    let mut commit = put(1, vec![row(&longest, &longest, "x")]);
    commit.effects = vec![effect(&longest, 1)];
    let _put = store.commit(&town, commit).await.unwrap();
    assert_eq!(
        store.load(&town).await.unwrap().rows,
        [row(&longest, &longest, "x")]
    );
    let lease = store
        .lease(&town, &longest, Duration::MAX, at(0))
        .await
        .unwrap();
    assert_eq!(
        lease,
        Lease {
            holder: longest.clone(),
            expires_at: Timestamp::MAX,
            ..lease.clone()
        }
    );
    let longer = format!("{longest}x");
    assert_refused(
        store
            .commit(&town, put(2, vec![row("bead", &longer, "x")]))
            .await,
        "commit",
    );
    assert_refused(
        store.commit(&town, ask(2, vec![effect(&longer, 1)])).await,
        "commit",
    );
}

/// Bodies are taken up to their limit and refused beyond it.
pub async fn bodies_end_at_their_limit(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let frame = row("bead", "b1", "").body.len();
    let longest = row("bead", "b1", &"x".repeat(Row::BODY_BYTES_MAX - frame));
    assert_eq!(longest.body.len(), Row::BODY_BYTES_MAX);
    let _put = store
        .commit(&town, put(1, vec![longest.clone()]))
        .await
        .unwrap();
    let longer = row("bead", "b2", &"x".repeat(Row::BODY_BYTES_MAX - frame + 1));
    assert_refused(store.commit(&town, put(2, vec![longer])).await, "commit");
    assert_eq!(store.load(&town).await.unwrap().rows, [longest]);
}

/// An event is taken up to its limit and refused beyond it, whether it is appended or a result:
/// one that no tick could record would stop its town for good.
pub async fn events_end_at_their_limit(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let asked = effect("n1", 1);
    let _asked = store
        .commit(&town, ask(1, vec![asked.clone()]))
        .await
        .unwrap();
    let longest = event_of(Event::BYTES_MAX);
    let longer = event_of(Event::BYTES_MAX + 1);
    let both = vec![event("e2", at(0)), longer.clone()];
    assert_refused(store.append_events(&town, both).await, "append_events");
    let finished = store.finish_effect(&town, &asked.key, Finish::Done, vec![longer], at(0));
    assert_refused(finished.await, "finish_effect");
    assert_eq!(store.pending_events(&town, 9).await.unwrap(), []);
    assert_eq!(
        store.pending_effects(&town).await.unwrap(),
        std::slice::from_ref(&asked)
    );
    store
        .append_events(&town, vec![longest.clone()])
        .await
        .unwrap();
    assert_eq!(store.pending_events(&town, 9).await.unwrap(), [longest]);
}

/// An event that is no form of its kind, or names something at more length than a town keeps, is refused: in the
/// inbox it would keep its town from every tick.
pub async fn events_that_nobody_could_read_back_are_refused(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let look = PrObserved {
        bead_id: "b1".parse().unwrap(),
        pr_url: None,
        observation: None,
        error: None,
    };
    let started = AgentStarted {
        agent_id: "a1".parse().unwrap(),
        session: None,
        container_instance: Some("x".repeat(Event::NAME_BYTES_MAX)),
    };
    for kind in [EventKind::from(look), started.into()] {
        let bad = Event {
            kind,
            ..event("e1", at(0))
        };
        assert_refused(store.append_events(&town, vec![bad]).await, "append_events");
    }
    assert_eq!(store.pending_events(&town, 9).await.unwrap(), []);
}

/// An event of so many bytes.
fn event_of(bytes: usize) -> Event {
    let with_note = |note: String| Event {
        kind: EventKind::AgentExited(AgentExited {
            agent_id: "a1".parse().unwrap(),
            session: None,
            bead_id: None,
            status: ExitStatus::Failed,
            reason: None,
            note: Some(note),
        }),
        ..event("e1", at(0))
    };
    let frame = serde_json::to_string(&with_note(String::new())).unwrap();
    with_note("x".repeat(bytes - frame.len()))
}

/// An effect with a long message comes back whole.
pub async fn a_long_effect_comes_back_whole(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let message = "\u{1f980}\n\u{0}\"\\".repeat(100_000);
    let asked = vec![Effect::new(
        "n1",
        1,
        NotifyMayor {
            topic: "n1".into(),
            message,
        },
    )];
    let _asked = store.commit(&town, ask(1, asked.clone())).await.unwrap();
    assert_eq!(store.pending_effects(&town).await.unwrap(), asked);
}

/// A commit of many parts is written whole.
pub async fn a_large_commit_is_written_whole(store: &dyn Store) {
    const MANY: u64 = 2_000;
    let town = new_town(store, "t1").await;
    let name = |n: u64| format!("n{n:05}");
    let events: Vec<_> = (0..MANY).map(|n| event(&name(n), at(n))).collect();
    let ids: Vec<_> = events.iter().map(|event| event.id.clone()).collect();
    assert_eq!(
        store.append_events(&town, events).await.unwrap() as u64,
        MANY
    );
    let mut commit = ask(1, (0..MANY).map(|n| effect(&name(n), 1)).collect());
    commit.consumed = ids;
    commit.changes.put = (0..MANY).map(|n| row("bead", &name(n), "x")).collect();
    let _committed = store.commit(&town, commit.clone()).await.unwrap();
    let shown = show(store, &town).await;
    assert_eq!(shown.rows, commit.changes.put);
    assert_eq!(shown.effects, commit.effects);
    assert_eq!(shown.events, []);
}
