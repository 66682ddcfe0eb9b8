//! Rows: the working set, what stays behind it, reading by key.

use std::slice::from_ref;

use gastown_core::{PastFilter, Row, RowKey, Store};

use super::samples::{finished_row, key, new_town, put, row};

/// `load` gives the working set in order of key.
pub async fn load_is_in_order_of_key(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let unordered = [
        ("bead", "b2"),
        ("agent", "z"),
        ("bead", "B"),
        ("bead", "b10"),
        ("bead", "é"),
    ];
    let rows = unordered.map(|(kind, id)| row(kind, id, "x")).to_vec();
    let _put = store.commit(&town, put(1, rows)).await.unwrap();
    let loaded = store.load(&town).await.unwrap();
    let order: Vec<_> = loaded.rows.iter().map(|row| row.key.id.as_str()).collect();
    assert_eq!(order, ["z", "B", "b10", "b2", "é"], "by bytes");
}

/// A row that is put again has its new body and its new place.
pub async fn put_replaces(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let steps = [
        (row("bead", "b1", "first"), true),
        (finished_row("bead", "b1", "second"), false),
        (row("bead", "b1", "third"), true),
    ];
    for (version, (row, loaded)) in (1..).zip(steps) {
        let _put = store
            .commit(&town, put(version, vec![row.clone()]))
            .await
            .unwrap();
        let rows = store.load(&town).await.unwrap().rows;
        assert_eq!(rows.contains(&row), loaded, "{row:?}");
        assert_eq!(rows.len(), usize::from(loaded));
        assert_eq!(
            store
                .rows(&town, std::slice::from_ref(&row.key))
                .await
                .unwrap(),
            [row]
        );
    }
}

/// A deleted row is gone; deleting one that is not there does nothing.
pub async fn delete_removes(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let rows = vec![
        row("bead", "b1", "x"),
        row("agent", "b1", "x"),
        finished_row("bead", "b2", "x"),
    ];
    let _put = store.commit(&town, put(1, rows)).await.unwrap();
    let mut delete = put(2, vec![]);
    delete.changes.delete = vec![key("bead", "b1"), key("bead", "b2"), key("bead", "b3")];
    assert_eq!(store.commit(&town, delete).await.unwrap().version(), 3);
    assert_eq!(
        store.load(&town).await.unwrap().rows,
        [row("agent", "b1", "x")]
    );
    let gone = [key("bead", "b1"), key("bead", "b2")];
    assert_eq!(store.rows(&town, &gone).await.unwrap(), []);
}

/// Rows by key come whether they work or not, once, in order; missing ones are left out.
pub async fn rows_by_key_come_once_and_in_order(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let stored = vec![
        row("agent", "a1", "x"),
        row("bead", "b1", "x"),
        finished_row("bead", "b2", "x"),
    ];
    let _put = store.commit(&town, put(1, stored.clone())).await.unwrap();
    let asked = [
        key("bead", "b2"),
        key("bead", "missing"),
        key("bead", "b1"),
        key("bead", "b2"),
        key("agent", "a1"),
        key("agent", "b1"),
    ];
    assert_eq!(store.rows(&town, &asked).await.unwrap(), stored);
    assert_eq!(store.rows(&town, &[]).await.unwrap(), []);
}

/// `load` leaves history behind, however much there is: 5,000 rows, or 100,000 with
/// `GASTOWN_LONG=1`. It sees what comes back, not what was read on the way: that no history is
/// read, each adapter has to show by its own means (for SQLite, by the query plans).
pub async fn load_leaves_finished_rows_behind(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let is_long = std::env::var_os("GASTOWN_LONG").is_some_and(|value| value == "1");
    let batches: u64 = if is_long { 20 } else { 1 };
    for batch in 0..batches {
        let rows = (0..5_000).map(|n| finished_row("bead", &format!("b{batch}-{n}"), "done"));
        let _put = store
            .commit(&town, put(1 + batch, rows.collect()))
            .await
            .unwrap();
    }
    let working: Vec<Row> = vec![row("bead", "b0-5", "open again"), row("bead", "c", "new")];
    let last = put(1 + batches, working.clone());
    let _put = store.commit(&town, last).await.unwrap();
    assert_eq!(store.load(&town).await.unwrap().rows, working);
    let behind = [key("bead", "b0-4999")];
    assert_eq!(
        store.rows(&town, &behind).await.unwrap(),
        [finished_row("bead", "b0-4999", "done")]
    );
}

/// What `load` leaves behind comes in order of key, page by page, of all kinds or of one.
pub async fn past_rows_come_by_key_page_by_page(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let past = vec![
        finished_row("bead", "b1", "x"),
        finished_row("bead", "b3", "x"),
        finished_row("bead", "é", "x"),
        finished_row("edge", "a", "x"),
        finished_row("edge", "b1", "x"),
    ];
    let mut rows = past.clone();
    rows.push(row("bead", "b2", "working"));
    rows.push(row("agent", "b1", "working"));
    rows.reverse();
    let _put = store.commit(&town, put(1, rows)).await.unwrap();
    let (beads, edges) = past.split_at(3);
    let cases = [
        (None, &*past),
        (Some("bead"), beads),
        (Some("edge"), edges),
        (Some("rig"), &[]),
    ];
    for (kind, expected) in cases {
        for limit in 1..7 {
            let (mut paged, mut after): (Vec<Row>, Option<RowKey>) = (Vec::new(), None);
            loop {
                let filter = PastFilter {
                    kind: kind.map(Into::into),
                    after,
                    limit,
                    ..PastFilter::default()
                };
                let page = store.past_rows(&town, filter).await.unwrap();
                assert!(page.len() <= limit);
                let Some(last) = page.last() else { break };
                after = Some(last.key.clone());
                paged.extend(page);
                assert!(paged.len() <= expected.len(), "pages overlap: {paged:?}");
            }
            assert_eq!(paged, expected, "{kind:?} by {limit}");
        }
    }
    let beyond = PastFilter {
        kind: Some("bead".into()),
        after: Some(key("edge", "a")),
        limit: 9,
        ..PastFilter::default()
    };
    assert_eq!(store.past_rows(&town, beyond).await.unwrap(), []);
    assert_eq!(
        store.past_rows(&town, PastFilter::default()).await.unwrap(),
        []
    );
}

/// Of what `load` leaves behind, the edges that lead to one bead, of all kinds or of one; whatever
/// else a record says in `depends_on` leads nowhere.
pub async fn past_rows_that_lead_to_a_bead(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let to = |kind: &str, id: &str, depends_on: &str| Row {
        body: format!(r#"{{"bead_id":"x","depends_on":{depends_on}}}"#),
        ..finished_row(kind, id, "")
    };
    let past = [
        to("edge", "1", r#""b1""#),
        to("edge", "2", r#""b1""#),
        to("edge", "3", r#""b2""#),
        to("edge", "4", r#"["b1"]"#),
        to("edge", "5", "7"),
        to("edge", "6", "null"),
        to("loop", "1", r#""b1""#),
    ];
    let mut rows = past.to_vec();
    rows.push(finished_row("bead", "b1", "b1"));
    rows.push(Row {
        working: true,
        ..to("edge", "7", r#""b1""#)
    });
    let _put = store.commit(&town, put(1, rows)).await.unwrap();
    let page = async |kind: Option<&str>, depends_on: &str, after: Option<RowKey>, limit| {
        let filter = PastFilter {
            kind: kind.map(Into::into),
            depends_on: Some(depends_on.into()),
            after,
            limit,
        };
        store.past_rows(&town, filter).await.unwrap()
    };
    let [one, two, other, _, _, _, looped] = &past;
    let all = [one.clone(), two.clone(), looped.clone()];
    assert_eq!(page(None, "b1", None, 9).await, all);
    assert_eq!(page(Some("edge"), "b1", None, 9).await, all[..2]);
    assert_eq!(page(Some("loop"), "b1", None, 9).await, all[2..]);
    assert_eq!(page(None, "b2", None, 9).await, from_ref(other));
    for nothing in ["", "7", "null", r#"["b1"]"#, "b3"] {
        assert_eq!(page(None, nothing, None, 9).await, [], "{nothing}");
    }
    assert_eq!(page(None, "b1", None, 2).await, all[..2]);
    let after = Some(two.key.clone());
    assert_eq!(page(None, "b1", after.clone(), 9).await, all[2..]);
    assert_eq!(page(Some("edge"), "b1", after, 9).await, []);
    // A row that comes back to the working set, or that is gone, is not past any more.
    let mut change = put(
        2,
        vec![Row {
            working: true,
            ..one.clone()
        }],
    );
    change.changes.delete = vec![looped.key.clone()];
    let _changed = store.commit(&town, change).await.unwrap();
    assert_eq!(page(None, "b1", None, 9).await, from_ref(two));
}

/// Bodies come back byte by byte, white space and number forms included.
pub async fn bodies_come_back_byte_by_byte(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let bodies = [
        "{ }",
        "{\n  \"b\": 1.0,\t\"a\" : 1e2}",
        r#"{"n":18446744073709551615,"f":0.1,"u":"\u00e9\u0000"}"#,
        r#"{"twice":1,"twice":2}"#,
    ];
    let rows: Vec<Row> = (0..)
        .zip(bodies)
        .map(|(n, body)| Row {
            body: body.into(),
            ..row("bead", &format!("b{n}"), "")
        })
        .collect();
    let _put = store.commit(&town, put(1, rows.clone())).await.unwrap();
    assert_eq!(store.load(&town).await.unwrap().rows, rows);
}
